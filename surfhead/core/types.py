"""The values that flow between the components during one step.

Symbols: B views in a batch, P poses (timesteps), N surfels, F triangles, V vertices, H by W pixels.
Units: metres, radians, pixels. Matrices are named to_from: ``camera_from_world`` maps world points to
camera points. Images are channels last.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError

if TYPE_CHECKING:
    from surfhead.core.parameters import ParameterSpec
    from surfhead.maths.triangles import TriangleFrames


def check_shape(name: str, tensor: Tensor, *shape: int | None) -> None:
    """Raise ShapeError unless ``tensor`` has ``shape`` (None matches any size)."""
    if not isinstance(tensor, Tensor):
        what = f'"{name}" is a {type(tensor).__name__}.'
        raise ShapeError(what, "Expected a tensor.", "Convert it with torch.as_tensor.")
    actual = tuple(tensor.shape)
    if len(actual) != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, actual, strict=False)
    ):
        wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise ShapeError(f'"{name}" has shape {actual}.', f"Expected {wanted}.", "Check how it was built.")


def check_finite(name: str, tensor: Tensor, remedy: str = "Check where it comes from.") -> None:
    """Raise ShapeError when ``tensor`` holds NaN or infinity (reads the values: synchronises)."""
    if not bool(torch.isfinite(tensor).all()):
        bad = (~torch.isfinite(tensor)).nonzero()[0].tolist()
        what = f'"{name}" holds NaN or infinity, first at index {bad}.'
        raise ShapeError(what, "Expected finite numbers.", remedy)


def check_all_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise ShapeError naming the first of these tensors of one device that holds NaN or infinity."""
    values = [value.reshape(-1) for value in tensors.values()]
    if values and not math.isfinite(float(torch.cat(values).sum())):
        for name, value in tensors.items():
            check_finite(name, value)


Found = TypeVar("Found")


@dataclass(frozen=True)
class Cameras:
    """B pinhole cameras of one picture size, OpenCV axes (x right, y down, z forward).

    Attributes:
        camera_from_world: (B, 4, 4) rigid transforms, metres.
        intrinsics: (B, 3, 3) ``[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`` in pixels; the centre of the
            pixel in column j and row i is (j + 0.5, i + 0.5).
        height, width: picture size in pixels.
        near: surfels whose centre is at most this far in front of the camera are culled, metres.
    """

    camera_from_world: Tensor
    intrinsics: Tensor
    height: int
    width: int
    near: float = 0.01

    def __post_init__(self) -> None:
        check_shape("camera_from_world", self.camera_from_world, None, 4, 4)
        check_shape("intrinsics", self.intrinsics, len(self.camera_from_world), 3, 3)

    def __len__(self) -> int:
        return len(self.camera_from_world)

    def __getitem__(self, index: slice | Tensor | list[int] | int) -> Cameras:
        if isinstance(index, int):
            if not -len(self) <= index < len(self):  # which also ends a loop over them
                raise IndexError(f"there is no camera {index} of {len(self)}")
            index = slice(index, index + 1) if index != -1 else slice(-1, None)
        if isinstance(index, Cameras):  # PyTorch would look into them without end
            raise ShapeError("Cameras are no index.", "Expected whole numbers or a mask.", "Give such as 0.")
        poses, intrinsics = self.camera_from_world[index], self.intrinsics[index]
        return replace(self, camera_from_world=poses, intrinsics=intrinsics)

    @property
    def centre(self) -> Tensor:
        """(B, 3) camera positions in the world."""
        rotation = self.camera_from_world[:, :3, :3]
        return -(rotation.mT @ self.camera_from_world[:, :3, 3:]).squeeze(-1)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Cameras:
        """The same cameras on ``device`` (and in ``dtype``)."""
        pose, lens = (value.to(device, dtype) for value in (self.camera_from_world, self.intrinsics))
        return replace(self, camera_from_world=pose, intrinsics=lens)

    def validate(self) -> Cameras:
        """Return self; raise ShapeError for NaN, a non-rigid transform or a focal length <= 0."""
        # one look at each, and no launches: cameras are small
        poses, intrinsics = self.camera_from_world.detach().cpu(), self.intrinsics.detach().cpu()
        check_finite("camera_from_world", poses, "Mend this camera's pose.")
        check_finite("intrinsics", intrinsics, "Mend this camera's intrinsics.")
        rotation = poses[:, :3, :3].double().numpy()
        residual = rotation @ rotation.transpose(0, 2, 1) - np.eye(3)
        if np.abs(residual).max(initial=0.0) > 1e-3:
            what = '"camera_from_world" is not rigid: its upper 3x3 block is not a rotation.'
            expected = "Expected an orthonormal rotation and a translation in metres."
            raise ShapeError(what, expected, "Remove scale and shear from the camera poses.")
        size = (self.height, self.width)
        whole = all(isinstance(side, (int, np.integer)) and side >= 1 for side in size)
        if bool((intrinsics[:, [0, 1], [0, 1]] <= 0).any()) or not whole:
            what = f'"intrinsics" has a focal length <= 0, or {size} is no picture\'s size.'
            expected = "Expected fx > 0 and fy > 0 in pixels, height and width whole and >= 1."
            raise ShapeError(what, expected, "Check the camera file.")
        return self


@dataclass(frozen=True)
class Topology:
    """What never changes about a rig's mesh.

    Attributes:
        triangles: (F, 3) int64 vertex indices, wound so that normals point outward.
        neighbours: (F, 3) int64 triangle across each edge (v0v1, v1v2, v2v0); the triangle itself
            where an edge is open.
        regions: name -> (F,) bool; at least ``eyeballs``, ``teeth``, ``boundary``, ``face`` for heads.
        front: the unit vector out of the face in rest space (``+z`` in FLAME).
        uv: (F, 3, 2) texture coordinates of the corners, or None.
    """

    triangles: Tensor
    neighbours: Tensor
    regions: Mapping[str, Tensor]
    front: tuple[float, float, float] = (0.0, 0.0, 1.0)
    uv: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.triangles.device

    def to(self, device: torch.device | str) -> Topology:
        """The same topology on ``device``."""
        return replace(
            self,
            triangles=self.triangles.to(device),
            neighbours=self.neighbours.to(device),
            regions={k: v.to(device) for k, v in self.regions.items()},
            uv=None if self.uv is None else self.uv.to(device),
        )


@dataclass(frozen=True)
class RestMesh:
    """The canonical mesh of one identity: expression and pose zero. Made once, never per step.

    Attributes:
        vertices: (V, 3) metres.
        topology: triangles, neighbours and regions.
    """

    vertices: Tensor
    topology: Topology

    @cached_property
    def frames(self) -> TriangleFrames:
        """The rest triangles' frames, scales and inverse edge matrices, computed once."""
        from surfhead.maths.triangles import triangle_frames

        return triangle_frames(self.vertices, self.topology.triangles)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> RestMesh:
        """The same mesh on ``device``; the cached frames are made anew there."""
        return RestMesh(self.vertices.to(device, dtype), self.topology.to(device))


@dataclass(frozen=True)
class Mesh:
    """A rig's mesh in P poses, with the rest shape it came from.

    Attributes:
        vertices: (P, V, 3) posed vertices, metres, world space.
        rest: the canonical mesh.
    """

    vertices: Tensor
    rest: RestMesh

    @property
    def topology(self) -> Topology:
        """The shared topology."""
        return self.rest.topology

    @cached_property
    def frames(self) -> TriangleFrames:
        """The posed triangles' frames (P, F, ...), computed at most once for this mesh."""
        from surfhead.maths.triangles import triangle_frames

        return triangle_frames(self.vertices, self.topology.triangles)


@dataclass(frozen=True)
class Binding:
    """What each surfel is attached to, and the per-surfel parameters components declared.

    Attributes:
        triangle: (N,) int64 host triangle, -1 where there is no rig.
        parameters: name -> (N, ...) raw (not activated) parameters: those of the core (``offset``,
            ``log_scale``, ``quaternion``, ``opacity``) and those declared by deformer and appearance.
        regions: name -> (M,) int64 indices of the surfels whose host lies in that region, ascending.
        specs: the parameters' declarations, where known.
    """

    triangle: Tensor
    parameters: Mapping[str, Tensor]
    regions: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    specs: Mapping[str, ParameterSpec] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.triangle)


@dataclass(frozen=True)
class AffineField:
    """For every pose and surfel, the affine map from the host triangle's local frame to the world.

    A local point x lands at ``linear @ x + origin``; x is in units of the triangle's scale.

    Attributes:
        linear: (P, N, 3, 3), metres per unit.
        origin: (P, N, 3), metres.
        rotation: (P, N, 3, 3) the rotation R_d from canonical to posed space, by which view directions
            and normals are taken back before spherical functions are evaluated.
        scale: (P, N) or (1, N) the length k contained in ``linear``, metres per unit: ``linear`` is
            (affine deformation) * k * (a rotation).
    """

    linear: Tensor
    origin: Tensor
    rotation: Tensor
    scale: Tensor


@dataclass(frozen=True)
class WorldSurfels:
    """N surfels in P poses: a centre and two scaled tangents, so that stretch and shear are exact.

    Attributes:
        mean: (P, N, 3) centres, metres.
        tangents: (P, N, 3, 2) the two tangent vectors in the columns, one standard deviation long.
        normal: (P, N, 3) unit normals.
        opacity: (N,) in [0, 1].
    """

    mean: Tensor
    tangents: Tensor
    normal: Tensor
    opacity: Tensor

    def __post_init__(self) -> None:
        poses, count = self.mean.shape[0], self.mean.shape[1]
        check_shape("mean", self.mean, None, None, 3)
        check_shape("tangents", self.tangents, poses, count, 3, 2)
        check_shape("normal", self.normal, poses, count, 3)
        check_shape("opacity", self.opacity, count)

    def __len__(self) -> int:
        return self.mean.shape[1]


@dataclass(frozen=True)
class Colour:
    """What an appearance model gives.

    Attributes:
        rgb: (B, N, 3) non-negative linear combination shown in the picture.
        parts: named parts of it, each (B, N, 3), such as ``diffuse`` and ``specular``; filled only
            on request.
    """

    rgb: Tensor
    parts: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class RenderOutput:
    """What a rasterizer gives for B views of N surfels (method: 2DGS, section "Rasterising").

    Attributes:
        rgb: (B, H, W, C) composited colour over the background.
        alpha: (B, H, W) accumulated weight in [0, 1].
        normal: (B, H, W, 3) weighted sum of camera-space normals turned towards the camera.
        depth: (B, H, W) expected camera z, metres; 0 where alpha is 0.
        median_depth: (B, H, W) camera z of the last surfel met while the transmittance was over
            one half, metres; 0 if none.
        distortion: (B, H, W) depth distortion.
        visible: (B, N) bool, the surfel's footprint meets the picture.
        radius: (B, N) larger half side of the footprint's rectangle, pixels; 0 where not visible.
    """

    rgb: Tensor
    alpha: Tensor
    normal: Tensor
    depth: Tensor
    median_depth: Tensor
    distortion: Tensor
    visible: Tensor
    radius: Tensor


@dataclass(frozen=True)
class Batch:
    """B views of P poses as the data gives them.

    Attributes:
        cameras: the B cameras.
        pose_of_view: (B,) int64 index into ``timesteps`` for each view.
        timesteps: (P,) int64 timesteps of the data set.
        image: (B, H, W, 3) uint8 truth, already composited on ``background``.
        background: (B, 3) float in [0, 1].
        mask: (B, H, W) uint8 foreground mask (255 = head), or None.
        normal: (B, H, W, 3) float true normals in camera space, or None.
        depth: (B, H, W) float true camera z in metres, 0 = background, or None.
        normal_prior: (B, H, W, 3) uint8 predicted normals as in ``Frame``, or None where a view has none.
        names: the views' names, for reports.
        paired: ``pose_of_view`` is 0, 1, ..., B - 1: every view shows a pose of its own, in order.
    """

    cameras: Cameras
    pose_of_view: Tensor
    timesteps: Tensor
    image: Tensor
    background: Tensor
    mask: Tensor | None = None
    normal: Tensor | None = None
    depth: Tensor | None = None
    normal_prior: Tensor | None = None
    names: tuple[str, ...] = ()
    paired: bool = False

    @cached_property
    def target(self) -> Tensor:
        """(B, H, W, 3) the image as float in [0, 1]."""
        return self.image.to(self.background.dtype) / 255.0

    @cached_property
    def foreground(self) -> Tensor | None:
        """(B, H, W) the mask as float in [0, 1], or None."""
        return None if self.mask is None else self.mask.to(self.background.dtype) / 255.0


@dataclass(frozen=True)
class Step:
    """Everything a regularizer may look at after a batch was rendered.

    Attributes:
        images: training images seen before this step.
        batch: the views, with the truth.
        output: what was rendered.
        surfels: the world surfels that were rendered.
        binding: host triangles and raw parameters.
        field: the deformer's affine field.
        mesh: the posed mesh, or None without a rig.
        extent: the scene's extent, metres.
        rig_parameters: name -> (P, d) the poses' rig parameters as used.
    """

    images: int
    batch: Batch
    output: RenderOutput
    surfels: WorldSurfels
    binding: Binding
    field: AffineField
    mesh: Mesh | None
    extent: float
    rig_parameters: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    _found: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, work: Callable[[Step], Found]) -> Found:
        """What ``work`` gives for this step, computed when first asked for and shared by all who ask."""
        if work not in self._found:
            self._found[work] = work(self)
        found: Found = self._found[work]
        return found

    @cached_property
    def seen(self) -> Tensor:
        """(N,) bool: visible in at least one view of the batch."""
        return self.output.visible.any(dim=0)

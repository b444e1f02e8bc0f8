"""The abstract base of each kind of component. A plugin class derives from exactly one of these.

What all kinds share is ``surfhead.core.component.Component``.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from surfhead.core.component import Component
from surfhead.core.errors import OptionError
from surfhead.core.parameters import ParameterSpec, Schedule
from surfhead.core.surface import NOTHING, Surface, SurfaceWants, unlit
from surfhead.core.views import BareView

if TYPE_CHECKING:
    from surfhead.core.colour_model import ColourModel
    from surfhead.core.densification import DensifyPlan, DensifyState
    from surfhead.core.directional import Directional
    from surfhead.core.exchange import StoredAvatar
    from surfhead.core.field_model import FieldModel
    from surfhead.core.linear_rig import LinearRig
    from surfhead.core.rig_parameter import RigParameter
    from surfhead.core.scene import Motion, Scene
    from surfhead.core.types import (
        AffineField,
        Binding,
        Cameras,
        Colour,
        Mesh,
        RenderOutput,
        RestMesh,
        Step,
        WorldSurfels,
    )
    from surfhead.maths.light import Light

Pose = Mapping[str, Tensor]  # rig parameters of a timestep, name -> (1, size); missing ones are zero


class Deformer(Component):
    """Carries surfels from their host triangle's frame to the world (method: section 4).

    Attributes:
        rig_bound: False when it needs no rig (``static``).
    """

    kind = "deformer"
    rig_bound: ClassVar[bool] = True

    @property
    def max_angle(self) -> float:
        """Largest rigid rotation at which it is equivariant, radians; infinite by default."""
        return float("inf")

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """Per-surfel parameters it learns; none by default."""
        return {}

    def field_model(self, binding: Binding) -> FieldModel | None:
        """What ``__call__`` computes as plain numbers, for programs without Python; None: untold."""
        return None

    def host_weight(self, binding: Binding) -> Tensor:
        """(N,) in [0, 1]: the host triangle's share among the triangles that carry a surfel; 1 by default."""
        return torch.ones(len(binding), device=binding.triangle.device)

    @abstractmethod
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """The affine field of every pose of ``mesh`` at every surfel of ``binding``.

        ``mesh`` is None only where ``rig_bound`` is False.
        """


class Appearance(Component):
    """Gives every surfel a colour for every view (method: section 6).

    Attributes:
        wants, relightable: what its call is told of the surface; whether ``relight`` works.
    """

    kind = "appearance"
    wants: SurfaceWants = NOTHING
    relightable: bool = False

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """Per-surfel parameters it learns."""
        return {}

    def network(self) -> nn.Module | None:
        """Its network, the same object at every call, or None. The core moves, trains and saves it."""
        return None

    def network_rate(self) -> Schedule:
        """Learning rate of the network's parameters."""
        return Schedule(2.5e-3, 1.25e-4)

    def prepare(self, rest: RestMesh | None) -> None:
        """Told the canonical mesh once, before the first call (for its ``front`` and regions)."""

    def advance(self, images: int) -> None:
        """Told how many training images were seen, so that it can raise its degree or switch terms on."""

    def stage(self) -> tuple[object, ...]:
        """A value that changes whenever ``advance`` changed what ``__call__`` computes."""
        return ()

    def light(self) -> Light | None:
        """The light it draws under; None where it has none."""
        return None

    def relight(self, light: Light | None) -> None:
        """Draw under another light, or the learnt one (None). Raises OptionError where it has none."""
        raise unlit(self.name)

    def colour_model(self, binding: Binding) -> ColourModel | None:
        """What ``__call__`` computes as plain numbers, for programs without Python; None: untold."""
        return None

    def directional(self) -> Directional | None:
        """Which parameters are coefficients of functions of the view direction; None: no such."""
        return None

    @abstractmethod
    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor,
        parts: bool = False, surface: Surface | None = None,
    ) -> Colour:  # fmt: skip
        """The colours.

        Args:
            binding: raw parameters and regions of the N surfels.
            directions: (B, N, 3) unit vectors from the camera to the surfel, in rest space.
            normals: (B, N, 3) unit normals in rest space, turned towards the camera, detached.
            rotation: (B, N, 3, 3) world from rest, for terms that live in world space.
            parts: also give the named parts (``diffuse``, ``specular``, ``albedo``, ``shading``).
            surface: what ``wants`` asks for; one that asks for nothing is called without this argument.
        """


class Regularizer(Component):
    """A term of the loss (method: section 7). The trainer owns its weight, start and ramp.

    Attributes:
        weight, start: the published weight, and the fraction of the run at which it starts.
        regions: those of the surfels that it asks for beyond the rig's: ``hidden``.
    """

    kind = "regularizer"
    weight: ClassVar[float] = 0.0
    start: ClassVar[float] = 0.0
    regions: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(self, step: Step) -> Tensor:
        """A scalar >= 0, unweighted, differentiable, finite also when nothing is visible."""


class Rasterizer(Component):
    """Draws world surfels (method: section 5)."""

    kind = "rasterizer"

    @classmethod
    def supports(cls, device_type: str) -> bool:
        """Whether tensors on this type of device (``cpu``, ``cuda``) can be drawn."""
        return True

    @abstractmethod
    def __call__(
        self,
        surfels: WorldSurfels,
        colour: Tensor,
        cameras: Cameras,
        pose_of_view: Tensor,
        background: Tensor,
    ) -> RenderOutput:
        """Draw B views.

        Args:
            surfels: N surfels in P poses.
            colour: (B, N, C).
            cameras: B cameras.
            pose_of_view: (B,) int64 index of each view's pose.
            background: (B, C).
        """


class Rig(Component):
    """Turns identity and per-timestep parameters into meshes (method: section 1).

    Attributes:
        shareable: whether its licence lets anyone pass its shapes and weights on.
    """

    kind = "rig"
    shareable: ClassVar[bool] = True

    @abstractmethod
    def parameters(self) -> Mapping[str, RigParameter]:
        """The per-timestep parameters by name."""

    @abstractmethod
    def prepare(self, identity: Mapping[str, Tensor], device: torch.device | str = "cpu") -> RestMesh:
        """Load the assets, apply the identity, and return the canonical mesh (also kept in the rig)."""

    @abstractmethod
    def rest(self) -> RestMesh:
        """The canonical mesh; ``prepare`` must have been called."""

    def identity_parameters(self) -> Mapping[str, RigParameter]:
        """The identity's tensors that can learn with the avatar, by name: the same in all timesteps."""
        return {}

    def follow(self, identity: Mapping[str, Tensor]) -> None:
        """Go on with other values of ``identity_parameters``, as if prepared with them.

        Meshes made from here on are differentiable in these tensors, the new mesh at rest is not: of both,
        what carries surfels sees to first order only the posed one. The topology stays.

        Args:
            identity: name -> (size,), or fewer values; names without a parameter are as they were prepared.
        """

    @abstractmethod
    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        """Pose the mesh.

        Args:
            parameters: name -> (P, size); missing names are zero.
        """

    def fingerprint(self) -> str:
        """A hash of the assets and topology, stored in checkpoints."""
        return ""

    def linear_model(self) -> LinearRig | None:
        """The prepared rig as plain numbers, for programs without Python; None: it is not linear."""
        return None

    def pack(self, target: Path) -> Path:
        """Write the rig's assets as one safetensors file that its option ``path`` accepts; gives its path."""
        raise OptionError(
            f'Rig "{self.name}" has no assets to import.', "", "See `surfhead list rig` for others."
        )


class Dataset(Component):
    """Reads a data set: views, images, cameras, rig parameters, splits.

    Attributes:
        held_out: True where val and test are always held out (built-in data).
        writes: whether ``write`` can write a scene in this layout.
        on_disk: whether ``open`` needs a path.
        preset: what `surfhead train` starts from where no preset is named; empty: the usual one.
    """

    kind = "dataset"
    on_disk: ClassVar[bool] = False
    held_out: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    preset: ClassVar[str] = ""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the folder's (or file's) content is of this format."""
        return False

    @classmethod
    def declines(cls, path: Path) -> str:
        """Why a path that looks like this format is not recognised, in sentences; empty: it does not."""
        return ""

    @abstractmethod
    def open(self, path: Path | None) -> Scene:
        """Read the views' description (not the images)."""

    def write(self, scene: Scene, folder: Path) -> list[Path]:
        """Write ``scene``, pictures and all, in this layout; gives the description files written."""
        raise OptionError(
            f'Data set "{self.name}" cannot be written.', "", "See `surfhead list dataset` for others."
        )


class Densifier(Component):
    """Decides which surfels to clone, split and prune (method: section 8).

    Attributes:
        keeps_covered: True when every triangle that has surfels keeps at least one through any plan.
    """

    kind = "densifier"
    keeps_covered: ClassVar[bool] = False

    @abstractmethod
    def due(self, before: int, after: int, length: int) -> bool:
        """Whether a plan is wanted after the step that took the image count from before to after."""

    @abstractmethod
    def plan(self, state: DensifyState) -> DensifyPlan:
        """The plan."""

    def most(self) -> int:
        """Most surfels that there may be, with those that are added after the last step; 0: no limit."""
        return 0


class AvatarView(BareView, Protocol):
    """What a format reads of an avatar, ``surfhead.avatars.avatar.Avatar``."""

    rig: Rig
    deformer: Deformer
    appearance: Appearance
    observed: Tensor | None

    def check(self) -> None:
        """Raise ShapeError where it holds numbers without sense."""


class Format(Component):
    """Reads and/or writes a file format.

    Attributes:
        suffixes: file name endings it recognises, such as ``.ply``.
        reads, writes: what it can do.
    """

    kind = "format"
    suffixes: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[bool] = False
    writes: ClassVar[bool] = False

    def __init_subclass__(cls, **settings: Any) -> None:  # an avatar leaves by no door unchecked
        super().__init_subclass__(**settings)
        if write := vars(cls).get("write"):

            @functools.wraps(write)
            def checked(self: Any, avatar: AvatarView, *place: Path, **settings: Any) -> Any:
                avatar.check()
                return write(self, avatar, *place, **settings)

            cls.write = checked  # type: ignore[method-assign]

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write ``avatar``, or one pose of it: a timestep of its motion, or parameters. Gives the files."""
        raise OptionError(f'Format "{self.name}" cannot write.', "", "See `surfhead list format` for others.")

    def read(self, path: Path) -> StoredAvatar | Motion:
        """Read ``path``: an avatar, or what moves one."""
        raise OptionError(f'Format "{self.name}" cannot read.', "", "See `surfhead list format` for others.")


class Observer(Component):
    """Listens to a run's events. One that raises is reported and switched off; the run goes on.

    ``run`` is the running ``surfhead.training.trainer.Trainer``, to be read only.

    Attributes:
        display: True where it only shows what happens, so that a quiet run leaves it out.
    """

    kind = "observer"
    display: ClassVar[bool] = False

    def run_started(self, run: Any) -> None:
        """Before the first step."""

    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        """After a step; losses are detached tensors, still on the device: reading them synchronises."""

    def evaluated(self, run: Any, images: int, split: str, means: Mapping[str, float]) -> None:
        """After a split was evaluated."""

    def checkpointed(self, run: Any, images: int, path: Path) -> None:
        """After a checkpoint was written."""

    def run_finished(self, run: Any, error: BaseException | None) -> None:
        """At the end, with the error that ended it, if any."""


# the bases above, by kind
BASES: dict[str, type[Component]] = {base.kind: base for base in Component.__subclasses__()}

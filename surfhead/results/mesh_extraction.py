"""The mesh of an avatar in one pose: depth seen from many sides, fused, and the surface taken out.

Depth is drawn from some of the training cameras, where the run's data are at hand, and from cameras spread
evenly round the head, fused in the posed head's box (``fusion``), and the zero surface is found by marching
cubes. Vertices take the colours that the same pictures show, or the albedo without light where the avatar's
appearance has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError, OptionError, unknown_name
from surfhead.core.scene import Scene
from surfhead.core.surface import unlit
from surfhead.core.types import Cameras
from surfhead.data.feed import cameras_of
from surfhead.drawing.camera_path import around
from surfhead.meshes.depth_pictures import DepthPatches, DepthPictures, picture_colours, prepare
from surfhead.meshes.fusion import TsdfVolume
from surfhead.meshes.surface_mesh import SurfaceMesh, zero_surface
from surfhead.results.mesh_finish import finished
from surfhead.terminal.bars import waiting, watched
from surfhead.terminal.waited import end_waiting

Pose = Mapping[str, Tensor]

DEPTHS = ("median", "expected")
COVERS = ("full", "front")
CAMERAS = ("both", "training", "around")
COLOURS = ("auto", "albedo", "shown")
ALBEDO = "albedo"  # the part of a colour
MARGIN = 0.015  # metres added to the head's box on each side: hair stands off the rig's mesh
LEAST_WEIGHT = 0.05  # of a voxel: less than one picture at a slant
LEAST_BAND = 3.0  # voxels: with less, the field is cut off within a cell
COLOUR_REACH = 2.0  # voxels from a picture's surface within which a vertex takes its colour
BATCH = 4  # pictures drawn at once
SCENE_VOXELS = 256  # along the longest side of a scene without a rig
LEAST_SIZE = 16  # pixels


@dataclass(frozen=True)
class MeshSettings:
    """How a mesh is made.

    Attributes:
        voxel: side of a voxel, metres.
        depth: ``median`` or ``expected``.
        views: number of pictures, training cameras included.
        size: longer side of the pictures, pixels.
        components: parts kept, the largest first; 0: all.
        box: lowest and highest corner, metres; None: the posed head's with a margin.
        cameras: ``training``: those of the data; ``around``: spread round the head; ``both``: half of each.
        cover: ``full``: those are all round; ``front``: only before the face.
        alpha: pixels with less are left out.
        truncation: of the distance field, metres, but at least ``LEAST_BAND`` voxels: wider takes out more of
            the noise of depth, and more of what is thin.
        smooth: steps that smooth the surface; 0: none.
        cut: a head is cut off straight above the rim of its rig's mesh.
        watertight: every hole is closed, also the neck; otherwise small ones only.
        unseen: what the training views do not know is smoothed more, where that was measured.
        triangles: at most about so many; 0: as many as the voxels give.
        colours: ``albedo``: without light; ``shown``: as in pictures; ``auto``: albedo where there is one.
    """

    voxel: float = 0.001
    depth: str = "median"
    views: int = 24
    size: int = 384
    components: int = 1
    box: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    cameras: str = "both"
    cover: str = "full"
    alpha: float = 0.5
    truncation: float = 0.006
    smooth: int = 20
    colours: str = "auto"
    cut: bool = True
    watertight: bool = False
    unseen: bool = True
    triangles: int = 120_000

    def __post_init__(self) -> None:
        chosen = (
            ("depth", self.depth, DEPTHS),
            ("cover", self.cover, COVERS),
            ("cameras", self.cameras, CAMERAS),
            ("colours", self.colours, COLOURS),
        )
        for kind, value, choices in chosen:
            if value not in choices:
                raise unknown_name(kind, value, choices, f"Choose one of these with --{kind}.")
        if not self.voxel > 0.0:
            raise OptionError(f'"voxel" is {self.voxel}.', "Expected metres > 0.", "Mend --voxel-mm.")
        limits = (
            ("views", self.views, 1),
            ("size", self.size, LEAST_SIZE),
            ("components", self.components, 0),
            ("smooth", self.smooth, 0),
            ("triangles", self.triangles, 0),
        )
        for name, number, least in limits:
            if number < least:
                raise OptionError(f'"{name}" is {number}.', f"Expected at least {least}.", f"Mend --{name}.")

    @property
    def band(self) -> float:
        """The truncation that is used, metres."""
        return max(self.truncation, LEAST_BAND * self.voxel)


@dataclass(frozen=True)
class SeenFrom:
    """Cameras that depth is drawn from.

    Attributes:
        cameras: B of them.
        mask: (B, H, W) in [0, 1], 0 where the head cannot be, or None.
    """

    cameras: Cameras
    mask: Tensor | None = None


def canonical_pose(avatar: Avatar) -> dict[str, Tensor]:
    """The rig parameters (1, d) of the rest pose: all zero."""
    return {
        name: torch.zeros(1, known.size, device=avatar.device)
        for name, known in avatar.rig.parameters().items()
    }


def pose_at(avatar: Avatar, timestep: int) -> dict[str, Tensor]:
    """The rig parameters (1, d) of a timestep of the avatar's own motion.

    Raises:
        OptionError: it is outside the motion.
    """
    if not 0 <= timestep < max(avatar.timesteps, 1):
        raise OptionError(
            f"Timestep {timestep} is outside the avatar's motion.",
            f"It has timesteps 0 to {max(avatar.timesteps, 1) - 1}.",
            "Choose one of these with --timestep.",
        )
    return avatar.poses(torch.tensor([timestep], device=avatar.device))


def head_box(avatar: Avatar, pose: Pose, margin: float = MARGIN) -> tuple[Tensor, Tensor]:
    """The corners (3,) of the posed rig mesh's box, or without a rig of nearly all surfels, with a margin."""
    if avatar.deformer.rig_bound:
        with torch.no_grad():
            points = avatar.rig({name: rows.to(avatar.device) for name, rows in pose.items()}).vertices[0]
        low, high = points.amin(dim=0), points.amax(dim=0)
    else:
        points = avatar.surfels.parameters["offset"].detach()
        low, high = (torch.quantile(points[:1_000_000], q, dim=0) for q in (0.01, 0.99))
    return (low - margin).cpu(), (high + margin).cpu()


def chosen_box(avatar: Avatar, pose: Pose, settings: MeshSettings) -> tuple[Tensor, Tensor]:
    """The box of the settings, or the posed head's."""
    if settings.box is None:
        return head_box(avatar, pose)
    return torch.tensor(settings.box[0]), torch.tensor(settings.box[1])


def training_cameras(scene: Scene, count: int, size: int, timestep: int | None = None) -> list[SeenFrom]:
    """At most ``count`` training cameras, evenly spread by number, with pictures of at most ``size`` pixels.

    Args:
        timestep: where the data show it, the pictures of this timestep come first, with their masks.
    """
    views = scene.views
    rows = views.of("train")
    first: dict[int, int] = {}
    if timestep is not None:
        first = {int(views.camera[row]): int(row) for row in rows if views.timestep[row] == timestep}
    for row in rows:
        first.setdefault(int(views.camera[row]), int(row))
    known = [first[number] for number in sorted(first)]
    kept = min(count, len(known))
    known = [known[index * len(known) // kept] for index in range(kept)]
    if not known:
        return []
    groups = views.by_size(np.array(known))
    return [_seen_from(scene, group, size, timestep) for group in groups]


def _seen_from(scene: Scene, known: np.ndarray, size: int, timestep: int | None) -> SeenFrom:
    """Views of one size, with their masks at a timestep."""
    views = scene.views
    height, width = views.size(int(known[0]))
    scale = min(1.0, size / max(height, width))
    cameras = scaled(cameras_of(scene, known, "cpu"), scale)
    masks = []
    for row in known.tolist():
        known_mask = scene.picture(row).mask if views.timestep[row] == timestep else None
        full = torch.ones(height, width)
        if known_mask is not None:
            full = torch.from_numpy(known_mask / np.float32(255))
        masks.append(full)
    stacked = torch.stack(masks)[:, None]
    resized = torch.nn.functional.interpolate(stacked, (cameras.height, cameras.width), mode="area")[:, 0]
    return SeenFrom(cameras, resized)


def scaled(cameras: Cameras, scale: float) -> Cameras:
    """The same cameras with pictures of another size."""
    if scale == 1.0:
        return cameras
    height, width = (max(1, round(scale * side)) for side in (cameras.height, cameras.width))
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, 0] *= width / cameras.width
    intrinsics[:, 1] *= height / cameras.height
    return replace(cameras, intrinsics=intrinsics, height=height, width=width)


def cameras_for(
    avatar: Avatar,
    pose: Pose,
    settings: MeshSettings,
    scene: Scene | None = None,
    timestep: int | None = None,
) -> list[SeenFrom]:
    """The cameras of one mesh, as the settings choose.

    Args:
        scene: the data, for their cameras; None: only cameras round the head.
        timestep: the timestep of the data that the pose is of, whose masks then hold, or None.

    Raises:
        DataError: training cameras are asked for, and there are none.
    """
    known: list[SeenFrom] = []
    if scene is not None and settings.cameras != "around":
        count = settings.views if settings.cameras == "training" else settings.views // 2
        known = training_cameras(scene, count, settings.size, timestep)
    if settings.cameras == "training":
        if not known:
            raise DataError(
                "There are no training cameras.", "Expected the run's data.", "Use --cameras around."
            )
        return known
    others = settings.views - sum(len(seen.cameras) for seen in known)
    front = avatar.rig.rest().topology.front if avatar.deformer.rig_bound else (0.0, 0.0, 1.0)
    low, high = chosen_box(avatar, pose, settings)
    size = (settings.size, settings.size)
    orbit = around(low, high, others, size, front=front, full=settings.cover == "full")
    return [*known, SeenFrom(orbit)]


def depth_pictures(
    avatar: Avatar, pose: Pose, seen_from: list[SeenFrom], settings: MeshSettings
) -> list[DepthPictures]:
    """Draw the depth and the colours of a pose. Raises OptionError for albedo where the avatar has none."""
    made = []
    bare = settings.colours == "albedo" or (settings.colours == "auto" and avatar.appearance.relightable)
    parts = [(seen, start) for seen in seen_from for start in range(0, len(seen.cameras), BATCH)]
    for seen, start in watched(parts, "Drawing depth", len(parts)):
        rows = slice(start, start + BATCH)
        cameras = seen.cameras[rows]
        drawn = avatar.render(cameras, pose, parts=bare)
        output, colour = drawn.output, drawn.output.rgb
        if bare:
            if ALBEDO not in drawn.parts:
                raise unlit(avatar.appearance.name)
            colour = drawn.parts[ALBEDO] / output.alpha[..., None].clamp_min(1e-3)  # drawn over black
        depth = output.median_depth if settings.depth == "median" else output.depth
        weight = torch.where(output.alpha >= settings.alpha, output.alpha, 0.0)
        if seen.mask is not None:
            mask = seen.mask[rows].to(weight.device)
            weight = weight * torch.where(mask >= 0.5, mask, 0.0)
        made.append(DepthPictures(cameras.to(avatar.device), depth, weight, colour))
    return made


def scene_voxel(avatar: Avatar, settings: MeshSettings) -> float:
    """The side of a voxel, metres, for a scene without a rig, whose unit may be anything."""
    low, high = chosen_box(avatar, {}, settings)
    return max(float((high - low).max()) / SCENE_VOXELS, 1e-9)


def extract_mesh(
    avatar: Avatar,
    pose: Pose,
    settings: MeshSettings | None = None,
    seen_from: list[SeenFrom] | None = None,
) -> SurfaceMesh:
    """The mesh of an avatar in a pose, on the CPU; computed where the avatar is.

    Args:
        pose: rig parameters, name -> (1, d).
        settings: how.
        seen_from: the cameras; by default round the posed head only.

    Raises:
        DataError: there is no surface in the box.
        ShapeError: the avatar holds NaN, infinity or numbers without sense.
    """
    avatar.check()
    settings = settings or MeshSettings()
    low, high = chosen_box(avatar, pose, settings)
    pictures = depth_pictures(avatar, pose, seen_from or cameras_for(avatar, pose, settings), settings)
    waiting("Fusing depth")
    patches = prepare(pictures, avatar.device)
    volume = TsdfVolume(low, high, settings.voxel, truncation=settings.band, device=avatar.device)
    volume.fuse(patches)
    mesh = zero_surface(volume, LEAST_WEIGHT).largest(settings.components).smoothed(settings.smooth)
    if not len(mesh.triangles):
        raise DataError(
            "No surface was found.",
            f"The box goes from {_numbers(low)} to {_numbers(high)}.",
            "Check --box, or whether the run was trained.",
        )
    mesh = finished(
        mesh,
        avatar,
        pose,
        components=settings.components,
        cut=settings.cut,
        close_all=settings.watertight,
        smooth_unseen=settings.unseen,
        triangles=settings.triangles,
    )
    made = coloured(mesh, patches, COLOUR_REACH * settings.voxel)
    end_waiting()
    return made


def coloured(mesh: SurfaceMesh, patches: list[DepthPatches], reach: float) -> SurfaceMesh:
    """A mesh with the colours that pictures show; what none of them sees is coloured as the nearest seen.

    Args:
        reach: metres from a picture's surface within which a vertex is on it.
    """
    device = patches[0].projection.device
    rgb, seen = picture_colours(patches, mesh.vertices.to(device), reach)
    rgb, seen = rgb.cpu(), seen.cpu()
    if bool(seen.any()) and not bool(seen.all()):
        from scipy.spatial import cKDTree

        nearest = cKDTree(mesh.vertices[seen].numpy()).query(mesh.vertices[~seen].numpy())[1]
        rgb[~seen] = rgb[seen][torch.from_numpy(nearest)]
    return replace(mesh, colours=(255.0 * rgb.clamp(0.0, 1.0)).round().to(torch.uint8))


def _numbers(point: Tensor) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in point.tolist()) + ")"

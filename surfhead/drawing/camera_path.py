"""Camera paths for looking at an avatar."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import OptionError
from surfhead.core.types import Cameras
from surfhead.files.given import instance_of, whole_number

FULL_TURN = 360.0
MARGIN = 1.0  # distance over that at which the bounding sphere fills the picture
UP = (0.0, 1.0, 0.0)
LOWEST, HIGHEST = -20.0, 65.0  # degrees above the horizon, of cameras round a head
SIDE = 100.0  # degrees to either side, of cameras before a face: the ears are seen from behind, too
GOLDEN = (1.0 + 5.0**0.5) / 2.0


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """(B, 4, 4) camera_from_world of cameras at ``eye`` (B, 3) that look at ``target`` (3,).

    Raises:
        OptionError: a camera looks along ``up``, so that its roll is undefined.
    """
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.linalg.cross(forward, up.expand_as(forward))
    if bool((right.norm(dim=-1) < 1e-4).any()):
        raise OptionError(
            "A camera of the path looks straight along the up direction.",
            "Expected a path that crosses it nowhere.",
            "Lower --elevation, or choose another --up.",
        )
    right = torch.nn.functional.normalize(right, dim=-1)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)
    pose = torch.eye(4, dtype=eye.dtype).repeat(len(eye), 1, 1)
    pose[:, :3, :3] = rotation
    pose[:, :3, 3] = -(rotation @ eye[..., None]).squeeze(-1)
    return pose


def intrinsics_of(field_of_view: float, height: int, width: int) -> Tensor:
    """(3, 3) float64 of a camera that looks through the picture's middle.

    Args:
        field_of_view: degrees, of the shorter side of the picture.
        height, width: pixels.

    Raises:
        OptionError: an angle outside 0 to 180 degrees, or an empty picture.
    """
    for name, value in (("height", height), ("width", width)):
        whole_number(name, value, 1, f"Mend --size, or --{name}.")
    if not (isinstance(field_of_view, (int, float)) and 0.0 < field_of_view < 180.0):
        raise OptionError(
            f'"field of view" is {field_of_view}.', "Expected degrees between 0 and 180.", "Mend --fov."
        )
    focal = min(height, width) / 2 / math.tan(math.radians(field_of_view) / 2)
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)


def orbit(
    avatar: Avatar,
    frames: int,
    *,
    height: int,
    width: int,
    turn: float = 90.0,
    elevation: float = 5.0,
    field_of_view: float = 25.0,
    up: tuple[float, float, float] = UP,
) -> Cameras:
    """Cameras on an arc around an avatar, beginning in front of it.

    Args:
        avatar: what is looked at: its rig's face, or without a rig its surfels' middle.
        frames: number of cameras.
        height, width: pixels.
        turn: degrees of the arc, swept to and fro; from 360 on it goes round at even speed.
        elevation: degrees above the horizon.
        field_of_view: degrees, of the shorter side of the picture.
        up: direction that is up in the pictures.

    Raises:
        OptionError: no avatar, no frames, an empty picture, an impossible angle, or a camera that looks along
            ``up``.
    """
    frames = whole_number("frames", frames, 1, "Mend --frames.")
    turn, elevation = _angle("turn", turn), _angle("elevation", elevation)
    phase = torch.arange(frames, dtype=torch.float64) / frames
    angle = FULL_TURN * phase if turn >= FULL_TURN else turn / 2 * torch.sin(2 * math.pi * phase)
    height_angle = torch.full_like(angle, elevation)
    lens = intrinsics_of(field_of_view, height, width)
    return _around(avatar, angle, height_angle, lens, height, width, field_of_view, up)


def spiral(
    avatar: Avatar,
    frames: int,
    *,
    height: int,
    width: int,
    turn: float = 720.0,
    elevation: float = 30.0,
    field_of_view: float = 25.0,
    up: tuple[float, float, float] = UP,
) -> Cameras:
    """Cameras on a spiral round an avatar, climbing from below to above.

    Args:
        turn: degrees it goes round; halfway the camera is in front.
        elevation: degrees from which below the horizon it climbs to as many above it.
        avatar, frames, height, width, field_of_view, up: as of ``orbit``.

    Raises:
        OptionError: as ``orbit`` raises.
    """
    frames = whole_number("frames", frames, 1, "Mend --frames.")
    turn, elevation = _angle("turn", turn), _angle("elevation", elevation)
    phase = torch.linspace(-0.5, 0.5, frames, dtype=torch.float64)
    phase = phase if frames > 1 else torch.zeros_like(phase)
    lens = intrinsics_of(field_of_view, height, width)
    height_angle = 2 * elevation * phase
    return _around(avatar, turn * phase, height_angle, lens, height, width, field_of_view, up)


def _angle(name: str, given: object) -> float:
    """An angle in degrees. Raises OptionError for anything else."""
    try:
        if not isinstance(given, (str, bytes)) and math.isfinite(found := float(given)):  # type: ignore[arg-type]
            return found
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of more than one
        pass
    raise OptionError(f'"{name}" is {given!s:.200}.', "Expected a number of degrees.", f"Mend --{name}.")


def _around(
    avatar: Avatar,
    angle: Tensor,
    elevation: Tensor,
    lens: Tensor,
    height: int,
    width: int,
    field_of_view: float,
    up: tuple[float, float, float],
) -> Cameras:
    """Cameras (M,) degrees to the side and above, at the distance at which the avatar fills the picture."""
    instance_of(
        avatar,
        Avatar,
        "an avatar",
        "a surfhead.Avatar",
        "Open one: surfhead.load_avatar(RUN), or run.avatar().",
    )
    if avatar.deformer.rig_bound:
        rest = avatar.rig.rest()
        points, front = rest.vertices, rest.topology.front
    else:
        points, front = avatar.surfels.parameters["offset"], (0.0, 0.0, 1.0)
    low, high = bulk(points)
    return on_sphere(low, high, angle, elevation, lens, (height, width), field_of_view, front, up)


def bulk(points: Tensor) -> tuple[Tensor, Tensor]:
    """The corners (3,), float64, of a box round most of some points (..., 3)."""
    points = points.detach().double().cpu().reshape(-1, 3)
    return points.quantile(0.02, dim=0), points.quantile(0.98, dim=0)


def on_sphere(
    low: Tensor,
    high: Tensor,
    angle: Tensor,
    elevation: Tensor,
    lens: Tensor,
    size: tuple[int, int],
    field_of_view: float,
    front: tuple[float, float, float],
    up: tuple[float, float, float],
) -> Cameras:
    """Cameras (M,) degrees to the side of a box's front and above; its bounding sphere fills the picture."""
    target = (low + high) / 2
    distance = MARGIN * float((high - low).norm()) / 2 / math.sin(math.radians(field_of_view) / 2)
    ahead, side, axis = face_axes(front, up)
    angle, elevation = torch.deg2rad(angle)[:, None], torch.deg2rad(elevation)[:, None]
    level = torch.cos(angle) * ahead + torch.sin(angle) * side
    eye = target + distance * (torch.cos(elevation) * level + torch.sin(elevation) * axis)
    return Cameras(look_at(eye, target, axis).float(), lens.float().repeat(len(angle), 1, 1), *size)


def face_axes(front: tuple[float, float, float], up: tuple[float, float, float]) -> Tensor:
    """(3, 3) unit vectors: ahead of a face on its horizon, to its left, and up. Raises OptionError."""
    try:
        axis = torch.tensor(tuple(up), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        axis = torch.zeros(0)
    if axis.shape != (3,) or not 0.0 < float(axis.norm()) < math.inf:
        raise OptionError(f'"up" is {up}.', "Expected three numbers, not all 0.", "Give such as (0, 1, 0).")
    axis = torch.nn.functional.normalize(axis, dim=0)
    ahead = torch.tensor(front, dtype=torch.float64)
    ahead = ahead - (ahead @ axis) * axis
    if float(ahead.norm()) < 1e-6:
        raise OptionError(f'"up" {up} is where the face looks.', "", "Choose another --up.")
    ahead = torch.nn.functional.normalize(ahead, dim=0)
    return torch.stack([ahead, torch.linalg.cross(axis, ahead), axis])


def around(
    low: Tensor,
    high: Tensor,
    count: int,
    size: tuple[int, int],
    *,
    front: tuple[float, float, float] = (0.0, 0.0, 1.0),
    up: tuple[float, float, float] = UP,
    full: bool = True,
    field_of_view: float = 25.0,
) -> Cameras:
    """Cameras spread evenly round a box, looking at its middle.

    They lie on a spiral whose steps turn by the golden angle, between ``LOWEST`` and ``HIGHEST`` above the
    horizon: from further below, one would look into a head through its neck.

    Args:
        low, high: (3,) the box, metres; its bounding sphere fills the pictures.
        count: number of cameras.
        size: height and width, pixels.
        front: where the face looks.
        up: direction that is up in the pictures.
        full: all round; otherwise up to ``SIDE`` from the front.
        field_of_view: degrees, of the shorter side of the picture.
    """
    step = torch.arange(count, dtype=torch.float64)
    sines = [math.sin(math.radians(degrees)) for degrees in (LOWEST, HIGHEST)]
    height = sines[0] + (sines[1] - sines[0]) * (step + 0.5) / max(count, 1)  # equal areas for equal heights
    turn = (step * (1.0 - 1.0 / GOLDEN)) % 1.0
    angle = FULL_TURN * turn if full else SIDE * (2.0 * turn - 1.0)
    lens = intrinsics_of(field_of_view, *size)
    elevation = torch.rad2deg(torch.asin(height))
    return on_sphere(
        low.double().cpu(), high.double().cpu(), angle, elevation, lens, size, field_of_view, front, up
    )

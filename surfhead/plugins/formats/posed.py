"""An avatar's surfels in one pose, in world coordinates, as the splatting projects keep them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.surface import seen_head_on
from surfhead.avatars.surfels import apply_field
from surfhead.core.api import AvatarView, OptionError
from surfhead.maths import geometry, harmonics

CHUNK = 100_000  # surfels whose harmonics are turned at once, to bound memory
FULL = 15  # harmonics beyond the constant one at degree 3


def posed(
    avatar: AvatarView, timestep: int | None = None, parameters: Mapping[str, Tensor] | None = None
) -> dict[str, np.ndarray]:
    """Raw surfel arrays (see ``point_cloud``) of one pose, harmonics of degree 3 included.

    A surfel's tangents may be sheared; the two axes of the same Gaussian at right angles, and their lengths,
    come from the singular value decomposition of the tangents, so nothing is lost. Harmonics are turned
    with the surfel, for files hold them in world directions. Of models without ``sh_dc``, such as `lit`, the
    colours seen head on in this pose are kept.

    Args:
        avatar: any avatar.
        timestep: of its own motion; by default the first. A rig without motion is posed at rest.
        parameters: rig parameters, name -> (1, d) or (d,), instead of a timestep.

    Raises:
        OptionError: both are given, or the timestep is outside the motion.
    """
    if timestep is not None and parameters is not None:
        raise OptionError("Both a timestep and rig parameters are given.", "Expected one.", "Drop either.")
    if timestep is not None and not 0 <= timestep < max(avatar.timesteps, 1):
        raise OptionError(
            f"Timestep {timestep} is outside the avatar's motion.",
            f"It has timesteps 0 to {avatar.timesteps - 1}.",
            "Choose one of these with --timestep.",
        )
    if parameters is None:
        parameters = avatar.poses(torch.tensor([timestep or 0], device=avatar.device))
    rows = {name: value.to(avatar.device).reshape(1, -1) for name, value in parameters.items()}
    with torch.no_grad():
        mesh = avatar.rig(rows) if avatar.deformer.rig_bound else None
        binding = avatar.surfels.binding()
        field = avatar.deformer(mesh, binding)
        world = apply_field(field, binding)
        axes, lengths = principal_axes(world.tangents[0], world.normal[0])
        raw = avatar.surfels.parameters
        made: dict[str, Tensor] = {
            "offset": world.mean[0],
            "log_scale": lengths.clamp_min(1e-12).log(),
            "quaternion": geometry.matrix_to_quaternion(axes),
            "opacity": raw["opacity"],
        }
        if "sh_dc" in raw:
            rotation = field.rotation[0].expand(len(world), 3, 3)
            made["sh_dc"] = raw["sh_dc"]
            made["sh_rest"] = _turned(raw.get("sh_rest"), rotation)
        else:  # lit in this pose by the model's own light, the same from everywhere
            rest = None if mesh is None else mesh.rest
            shown = seen_head_on(avatar.appearance, binding, world, field.rotation, rest)
            made["sh_dc"] = (shown - 0.5) / harmonics.Y00
            made["sh_rest"] = shown.new_zeros(len(world), FULL, 3)
    return {name: value.detach().cpu().float().numpy() for name, value in made.items()}


def principal_axes(tangents: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal axes and standard deviations of surfels with sheared tangents.

    Args:
        tangents: (N, 3, 2).
        normal: (N, 3) unit.

    Returns:
        (N, 3, 3) rotations whose columns are the longer axis, the shorter one and the normal, and (N, 2)
        lengths.
    """
    t = tangents.double()
    u, v = t.unbind(-1)
    angle = 0.5 * torch.atan2(2 * (u * v).sum(-1), (u * u).sum(-1) - (v * v).sum(-1))
    first = torch.cos(angle)[:, None] * u + torch.sin(angle)[:, None] * v
    second = torch.cos(angle)[:, None] * v - torch.sin(angle)[:, None] * u
    n = torch.nn.functional.normalize(normal.double(), dim=-1)
    a = torch.nn.functional.normalize(first - (first * n).sum(-1, keepdim=True) * n, dim=-1)
    axes = torch.stack([a, torch.linalg.cross(n, a), n], dim=-1)
    return axes, torch.stack([first.norm(dim=-1), second.norm(dim=-1)], dim=-1)


def _turned(rest: Tensor | None, rotation: Tensor) -> Tensor:
    """(N, 15, 3) harmonics of degrees 1 to 3 turned by (N, 3, 3), absent degrees zero."""
    count = len(rotation)
    full = rotation.new_zeros(count, FULL, 3, dtype=torch.float64)
    if rest is None:
        return full
    full[:, : rest.shape[1]] = rest.double()
    for start in range(0, count, CHUNK):
        rows = slice(start, start + CHUNK)
        full[rows] = turn_harmonics(full[rows], rotation[rows].double())
    return full


def turn_harmonics(rest: Tensor, rotation: Tensor) -> Tensor:
    """Coefficients of f(Rᵀ d) as a function of d, for f with the coefficients given.

    Each degree's functions are closed under rotation, so their values at as many fixed directions as there
    are functions determine the turned coefficients.

    Args:
        rest: (N, 15, 3) coefficients of degrees 1 to 3.
        rotation: (N, 3, 3).
    """
    made = torch.zeros_like(rest)
    for degree in (1, 2, 3):
        band = slice(degree**2, (degree + 1) ** 2)
        size = 2 * degree + 1
        fixed = _directions(size).to(rest)
        values = harmonics.basis(fixed, degree)[:, band]  # (size, size)
        seen = harmonics.basis(torch.einsum("nji,sj->nsi", rotation, fixed), degree)[..., band]
        known = rest[:, band.start - 1 : band.stop - 1]
        made[:, band.start - 1 : band.stop - 1] = torch.linalg.solve(values, seen @ known)
    return made


def _directions(count: int) -> Tensor:
    """(count, 3) unit vectors well spread over a half sphere: harmonics repeat on the other half."""
    step = torch.arange(count, dtype=torch.float64)
    height = (step + 0.5) / count
    around = step * 2.399963229728653  # the golden angle, radians
    radius = (1 - height * height).sqrt()
    return torch.stack([radius * torch.cos(around), radius * torch.sin(around), height], dim=-1)

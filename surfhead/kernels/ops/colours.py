"""Where appearance models look from, and harmonic colours (method: section 6)."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.kernels.choices import chosen
from surfhead.maths import harmonics, planes
from surfhead.maths.geometry import looks_inward

TINY = 1e-12  # square metres


def rest_directions(mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Where appearance models look from.

    Args:
        mean: (B, N, 3) the surfels' world centres in each view.
        normal: (B, N, 3) their world normals, constants.
        rotation: (B, N, 3, 3) world from rest.
        centre: (B, 3) the cameras' centres.

    Returns:
        (B, N, 3) unit directions from the camera to the surfel, and (B, N, 3) normals turned towards the
        camera, which carry no gradient; both in rest space.
    """
    if kernels.serves(mean):
        from surfhead.kernels import cuda

        return cuda.rest_directions(mean, normal, rotation, centre)
    directions = mean - centre[:, None, :]
    directions = directions / directions.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    facing = (normal * directions.detach()).sum(-1, keepdim=True)
    normal = torch.where(facing > 0, -normal, normal)
    return to_rest(rotation, directions), to_rest(rotation.detach(), normal)


def rest_directions_passing(
    mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """``rest_directions``, and (B, N, 3) the centres for whoever takes them after it.

    These have a gradient of their own, and where kernels serve nothing passes over all surfels to add it.
    """
    if mean.requires_grad and torch.is_grad_enabled() and kernels.serves(mean) and chosen("sums"):
        from surfhead.kernels import cuda

        return cuda.rest_directions_passing(mean, normal, rotation, centre)
    return *rest_directions(mean, normal, rotation, centre), mean.view_as(mean)


def facing_normals(mean: Tensor, normal: Tensor, quaternion: Tensor | None, centre: Tensor) -> Tensor:
    """(B, N, 3) unit normals on the cameras' side.

    A normal of its triangle's outer side that looks away from the camera is mirrored in the plane across the
    line of sight, n - 2 (n·d) d. At an outline surfels are seen from just behind: turned round, their normals
    would be those of the opposite side of the head.

    Args:
        mean: (B, N, 3) the surfels' world centres in each view, constants.
        normal: (B, N, 3) their world normals, which alone get a gradient.
        quaternion: (N, 4) their turns in their triangles' frames, of any length; None: there is no mesh, no
            side is the outer one, and normals are turned round.
        centre: (B, 3) the cameras' centres.
    """
    if kernels.serves(mean):
        from surfhead.kernels import cuda

        return cuda.facing_normals(mean, normal, quaternion, centre)
    away = (mean - centre[:, None, :]).detach()
    with torch.no_grad():
        wrong = (away * normal).sum(-1) > 0 if quaternion is None else looks_inward(quaternion)
        side = (1.0 - 2.0 * wrong.to(normal.dtype))[..., None]
    outer = normal * side
    if quaternion is None:
        return outer
    slope = (2.0 / away.square().sum(-1, keepdim=True).clamp_min(TINY)) * (outer * away).sum(-1, keepdim=True)
    return outer - slope.clamp_min(0.0) * away


def to_rest(rotation: Tensor, vectors: Tensor) -> Tensor:
    """(B, N, 3) rotated back, R^T v, plane by plane (small batched products are slow on CPUs)."""
    rows = planes.planes(rotation.mT)  # the columns of R^T, each (B, N, 3)
    x, y, z = planes.planes(vectors)
    return rows[0] * x[..., None] + rows[1] * y[..., None] + rows[2] * z[..., None]


def harmonic_colours(constant: Tensor, rest: Tensor | None, directions: Tensor, degree: int) -> Tensor:
    """(B, N, 3) colours SH(d) + 0.5, not clamped.

    Args:
        constant: (N, 3) coefficients of the constant term.
        rest: (N, K, 3) those above, K at least (degree + 1)² - 1; None where there are none, at degree 0.
        directions: (B, N, 3) unit vectors d.
        degree: the degree in use, 0 to 3.
    """
    if rest is not None and kernels.serves(directions):
        from surfhead.kernels import cuda

        return cuda.harmonic_colours(constant, rest, directions, degree)
    base = harmonics.Y00 * constant + 0.5
    if degree == 0 or rest is None:
        return base.expand(len(directions), -1, -1)
    values = harmonics.basis(directions, degree)[..., 1:]
    return base + planes.contract(values, rest[:, : harmonics.size(degree) - 1])

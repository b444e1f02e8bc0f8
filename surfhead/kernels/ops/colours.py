"""Where appearance models look from, and harmonic colours (method: section 6)."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.kernels.choices import chosen
from surfhead.maths import harmonics, planes


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

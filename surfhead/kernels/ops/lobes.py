"""What the perceptron of a highlight looks at (method: section 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

AMPLITUDES = 2  # channels of a lobe's response
OCTAVES = 2  # of the positional encoding of the direction


def lobe_inputs(raw: Tensor, axes: Tensor, directions: Tensor, normals: Tensor, anisotropic: bool) -> Tensor:
    """(B, M, 2 L + 16) responses of L lobes to o = d - 2(d·n)n, then n·(-d), d, sin and cos of d and 2d.

    Isotropic lobes respond with a exp(λ (o·axis - 1)), anisotropic ones with
    a max(o·axis, 0) exp(-λ (o·x)² - μ (o·y)²); λ, μ = softplus(· - 1), a without activation.

    Args:
        raw: (M, (2 + k) L) amplitudes by pairs, then all λ, then all μ, before softplus; k = 2 sharpnesses a
            lobe where ``anisotropic``, else 1.
        axes: (L, 3, 3) axis, x and y of each lobe in the rows, constants.
        directions: (B, M, 3) unit vectors from the camera to the surfel.
        normals: (B, M, 3) unit normals turned towards the camera.
        anisotropic: the kind of lobe.
    """
    if not normals.requires_grad and _fused(directions, len(axes)):
        from surfhead.kernels import cuda

        return cuda.lobe_inputs(raw, axes, directions, normals, anisotropic)
    facing = -(directions * normals).sum(dim=-1, keepdim=True)
    reflected = directions + 2 * facing * normals
    octaves = torch.cat([directions * 2.0**k for k in range(OCTAVES)], dim=-1)
    answers = responses(raw, axes, reflected, anisotropic).flatten(-2)
    return torch.cat((answers, facing, directions, octaves.sin(), octaves.cos()), dim=-1)


def _fused(directions: Tensor, lobes: int) -> bool:
    """Whether so many lobes have kernels where these directions lie."""
    from surfhead.kernels import cpu_rows, cuda, cuda_highlight

    if directions.is_cuda:
        return cuda.serves_lobes(directions, lobes)
    known = cuda_highlight.serves(lobes) and cpu_rows.serves(directions)
    return known and cpu_rows.knows("highlight", "lobe_inputs")


def responses(raw: Tensor, axes: Tensor, reflected: Tensor, anisotropic: bool) -> Tensor:
    """(B, M, L, 2) what lobes answer to unit directions (B, M, 3); the rest as in ``lobe_inputs``."""
    amplitude, sharpness = shapes(raw, len(axes))
    if anisotropic:
        along, x, y = (reflected @ axes[:, row].mT for row in range(3))
        falloff = torch.exp(-sharpness[..., 0] * x * x - sharpness[..., 1] * y * y)
        response = along.clamp_min(0.0) * falloff
    else:
        response = torch.exp(sharpness[..., 0] * (reflected @ axes[:, 0].mT - 1))
    found: Tensor = amplitude * response[..., None]
    return found


def shapes(raw: Tensor, lobes: int) -> tuple[Tensor, Tensor]:
    """Amplitudes (M, L, 2) and sharpnesses (M, L, k) of L lobes, of the numbers (M, (2 + k) L)."""
    amplitude = raw[:, : AMPLITUDES * lobes].reshape(-1, lobes, AMPLITUDES)
    sharpness = nn.functional.softplus(raw[:, AMPLITUDES * lobes :] - 1)
    return amplitude, sharpness.reshape(len(raw), sharpness.shape[1] // lobes, lobes).mT

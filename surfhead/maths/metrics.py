"""Picture and normal metrics as the field computes them; the structural similarity is differentiable.

Pictures are channels last, (B, H, W, C) in [0, 1]; masks are (B, H, W). Every function gives one value a
picture (B,), so that means over images stay with the caller. A masked value counts only the pixels inside
the mask, weighted by it, and is 0 where the mask is empty.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WINDOW = 11  # pixels, side of the Gaussian window (Wang et al. 2004)
SIGMA = 1.5  # pixels
C1 = 0.01**2  # Wang et al. 2004, K1 = 0.01 and a dynamic range of 1
C2 = 0.03**2  # K2 = 0.03
BLOCK = 32  # rows filtered by one banded matrix: longer wastes products with zeros, shorter wastes reads
SMALLEST_ERROR = 1e-10  # mean squared error below which pictures count as equal: caps the PSNR at 100 dB


def average(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B,) mean of ``values`` (B, H, W) over each picture, or over ``mask``; 0 where the mask is empty."""
    if mask is None:
        return values.flatten(1).mean(dim=1)
    mask = mask.to(values.dtype)
    total = (values * mask).flatten(1).sum(dim=1)
    return total / mask.flatten(1).sum(dim=1).clamp_min(torch.finfo(values.dtype).tiny)


def psnr(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B,) peak signal-to-noise ratio in dB over all pixels and channels, at most 100 dB."""
    error = average((image - target).square().mean(dim=-1), mask)
    return -10.0 * torch.log10(error.clamp_min(SMALLEST_ERROR))


@lru_cache(maxsize=8)
def _band(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(BLOCK, BLOCK + 10) banded matrix: row i holds the normalised Gaussian from column i on."""
    distance = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-0.5 * (distance / SIGMA).square())
    weights = weights / weights.sum()
    band = torch.zeros(BLOCK, BLOCK + WINDOW - 1, dtype=torch.float64)
    for row in range(BLOCK):
        band[row, row : row + WINDOW] = weights
    return band.to(device, dtype)


def _filter_rows(planes: Tensor) -> Tensor:
    """(P, H, W) planes filtered along H with zero padding.

    One product with the same small banded matrix for every block of rows: the blocks overlap by the
    window's reach and are read in place, as strided windows.
    """
    count, height, width = planes.shape
    blocks = -(-height // BLOCK)
    before = WINDOW // 2
    after = blocks * BLOCK - height + before
    padded = torch.nn.functional.pad(planes, (0, 0, before, after))
    windows = padded.as_strided(
        (count, blocks, BLOCK + WINDOW - 1, width), (padded.stride(0), BLOCK * width, width, 1)
    )
    filtered = torch.matmul(_band(planes.dtype, planes.device), windows)
    return filtered.reshape(count, blocks * BLOCK, width)[:, :height]


def _filter(planes: Tensor) -> Tensor:
    """(P, W, H): planes (P, H, W) filtered by the Gaussian window and transposed."""
    return _filter_rows(_filter_rows(planes).mT)


class _Ssim(torch.autograd.Function):
    """The SSIM map of planes (P, H, W), transposed: (P, W, H), with its analytic gradient.

    With E the Gaussian mean, mu = E x, nu = E y, s = E(x² + y²), c = E(x y):
    S = (2 mu nu + C1)(2 (c - mu nu) + C2) / ((mu² + nu² + C1)(s - mu² - nu² + C2)),
    four filtered planes instead of the five of the textbook formula.
    The window is symmetric, so the adjoint of E is E: dx = E(dS/dmu) + 2 x E(dS/ds) + y E(dS/dc).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        """The map; keeps the partial derivatives rather than the filtered planes."""
        count = len(x)
        filtered = _filter(torch.cat((x, y, x * x + y * y, x * y)))
        mu, nu, power, cross = torch.split(filtered, count)
        product = mu * nu
        squares = mu * mu + nu * nu
        luminance = 2 * product + C1
        structure = 2 * (cross - product) + C2
        brightness = squares + C1
        contrast = power - squares + C2
        scale = (brightness * contrast).reciprocal()
        similarity = luminance * structure * scale
        if any(ctx.needs_input_grad):
            of_power = -similarity / contrast
            of_cross = 2 * luminance * scale
            mixed = 2 * structure * scale - of_cross
            own = -2 * (similarity / brightness + of_power)
            ctx.save_for_backward(x, y, mixed * nu + own * mu, mixed * mu + own * nu, of_power, of_cross)
        return similarity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of both pictures, those that are needed."""
        x, y, of_mu, of_nu, of_power, of_cross = ctx.saved_tensors
        need_x, need_y = ctx.needs_input_grad
        parts = [of_power * gradient, of_cross * gradient]
        parts += [of_mu * gradient] if need_x else []
        parts += [of_nu * gradient] if need_y else []
        power, cross, *means = torch.split(_filter(torch.cat(parts)), len(x))
        grad_x = means[0] + 2 * x * power + y * cross if need_x else None
        grad_y = means[-1] + 2 * y * power + x * cross if need_y else None
        return grad_x, grad_y


def ssim_map(image: Tensor, target: Tensor) -> Tensor:
    """(B, H, W) structural similarity, mean over channels (Wang et al. 2004).

    11x11 Gaussian window of sigma 1.5 pixels, zero padding, C1 = 0.01², C2 = 0.03².

    Args:
        image, target: (B, H, W, C) in [0, 1], of one dtype and device.
    """
    batch, height, width, channels = image.shape
    planes = (
        picture.permute(0, 3, 1, 2).reshape(batch * channels, height, width) for picture in (image, target)
    )
    similarity: Tensor = _Ssim.apply(*planes)  # type: ignore[no-untyped-call]
    planes_of_view = similarity.mT.reshape(batch, channels, height, width)
    return planes_of_view.mean(dim=1)


def ssim(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B,) mean of the SSIM map over each picture, or over the pixels of ``mask``."""
    return average(ssim_map(image, target), mask)


def normal_cosine(normal: Tensor, truth: Tensor) -> Tensor:
    """(B, H, W) cosine between normals of any length; 0 where either of them has length 0.

    Args:
        normal: (B, H, W, 3) rendered normals; a weighted sum of unit normals is normalised here.
        truth: (B, H, W, 3) true normals in the same space.
    """
    unit = torch.nn.functional.normalize(normal, dim=-1)
    return (unit * torch.nn.functional.normalize(truth, dim=-1)).sum(dim=-1).clamp(-1.0, 1.0)


def normal_similarity(normal: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B,) mean cosine of the normals; a pixel without a rendered normal counts as 0."""
    return average(normal_cosine(normal, truth), mask)


def angular_error(normal: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B,) mean angle between the normals in degrees; a pixel without a rendered normal counts as 90."""
    return average(torch.rad2deg(torch.acos(normal_cosine(normal, truth))), mask)

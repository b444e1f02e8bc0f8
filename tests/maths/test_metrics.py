"""Picture metrics against hand values and an independent convolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, signal

from surfhead.maths import metrics


def pictures(
    *shape: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two correlated pictures in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(*shape, generator=generator, dtype=dtype)
    noise = torch.rand(*shape, generator=generator, dtype=dtype)
    return (0.6 * target + 0.4 * noise), target


def textbook_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The SSIM map of two (H, W) pictures by two-dimensional convolutions, five of them."""
    offsets = np.arange(11) - 5
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line)
    window /= window.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.convolve(values, window, mode="constant", cval=0.0)

    mu, nu = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mu * mu, mean(y * y) - nu * nu
    covariance = mean(x * y) - mu * nu
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mu * nu + c1) / (mu * mu + nu * nu + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


@pytest.mark.parametrize("size", [(40, 71), (64, 32), (33, 11), (5, 3), (1, 1)])
def test_the_ssim_map_equals_the_textbook_formula(size: tuple[int, int]) -> None:
    x, y = pictures(2, *size, 3)
    found = metrics.ssim_map(x, y)
    for view in range(2):
        channels = [textbook_ssim(x[view, ..., c].numpy(), y[view, ..., c].numpy()) for c in range(3)]
        np.testing.assert_allclose(found[view].numpy(), np.mean(channels, axis=0), atol=1e-12)


def test_the_window_is_the_normalised_gaussian_of_sigma_one_and_a_half() -> None:
    band = metrics._band(torch.float64, torch.device("cpu"))
    expected = signal.windows.gaussian(11, 1.5)
    for row in (0, 7, metrics.BLOCK - 1):
        np.testing.assert_allclose(band[row, row : row + 11], expected / expected.sum(), atol=1e-15)
        assert int((band[row] != 0).sum()) == 11


def test_equal_pictures_have_ssim_one_and_no_gradient() -> None:
    x, _ = pictures(1, 20, 24, 3)
    image = x.clone().requires_grad_()
    value = metrics.ssim(image, x)
    value.sum().backward()
    assert value.item() == pytest.approx(1.0, abs=1e-12)
    assert image.grad is not None
    assert image.grad.abs().max() < 1e-12


def test_float32_stays_close_to_float64() -> None:
    x, y = pictures(1, 90, 70, 3)
    flat = torch.full_like(y, 0.999)  # variances near 0 are where cancellation would show
    for target in (y, flat):
        exact = metrics.ssim(x, target)
        single = metrics.ssim(x.float(), target.float()).double()
        assert (single - exact).abs().max() < 2e-5


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_gradcheck_of_the_ssim_map(wanted: tuple[bool, bool]) -> None:
    x, y = pictures(2, 34, 2, 1)  # more rows than one banded matrix covers
    x.requires_grad_(wanted[0])
    y.requires_grad_(wanted[1])
    assert torch.autograd.gradcheck(metrics.ssim_map, (x, y))


def test_ssim_of_a_mask_is_the_mean_of_the_map_inside_it() -> None:
    x, y = pictures(2, 16, 18, 3)
    mask = torch.zeros(2, 16, 18)
    mask[0, 3:9, 4:12] = 1.0
    found = metrics.ssim(x, y, mask)
    assert found[0] == pytest.approx(metrics.ssim_map(x, y)[0, 3:9, 4:12].mean())
    assert found[1] == 0.0


def test_psnr_of_hand_values() -> None:
    target = torch.zeros(3, 4, 5, 3, dtype=torch.float64)
    image = target.clone()
    image[0] += 0.1  # mse 0.01: 20 dB
    image[1, 0, 0, 0] = 1.0  # one of 60 values off by one
    found = metrics.psnr(image, target)
    assert found[0] == pytest.approx(20.0)
    assert found[1] == pytest.approx(10 * math.log10(60))
    assert found[2] == pytest.approx(100.0)  # the cap for equal pictures


def test_psnr_of_a_mask_ignores_what_lies_outside() -> None:
    target = torch.zeros(1, 4, 5, 3)
    image = torch.ones(1, 4, 5, 3)
    image[0, 1, 1:3] = 0.1
    mask = torch.zeros(1, 4, 5)
    mask[0, 1, 1:3] = 1.0
    assert metrics.psnr(image, target, mask).item() == pytest.approx(20.0, abs=1e-4)


def test_normals_are_compared_by_angle_whatever_their_length() -> None:
    truth = torch.tensor([[0.0, 0.0, -1.0]]).expand(1, 1, 4, 3)
    turned = torch.tensor([0.0, math.sin(math.radians(30)), -math.cos(math.radians(30))])
    normal = torch.zeros(1, 1, 4, 3)
    normal[0, 0, 0] = 0.3 * truth[0, 0, 0]
    normal[0, 0, 1] = 2.0 * turned
    normal[0, 0, 2] = -truth[0, 0, 2]
    expected = torch.tensor([1.0, math.cos(math.radians(30)), -1.0, 0.0])  # the last was not drawn
    torch.testing.assert_close(metrics.normal_cosine(normal, truth)[0, 0], expected)
    degrees = metrics.angular_error(normal, truth)
    assert degrees.item() == pytest.approx((0 + 30 + 180 + 90) / 4, abs=0.05)
    first_two = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    similarity = metrics.normal_similarity(normal, truth, first_two)
    assert similarity.item() == pytest.approx((1 + math.cos(math.radians(30))) / 2, abs=1e-6)

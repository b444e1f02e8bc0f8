"""The fused picture losses against their twins in PyTorch, in double precision."""

from __future__ import annotations

import pytest
import torch

from surfhead.core.errors import ShapeError
from surfhead.kernels.cuda_pictures import picture_losses
from surfhead.maths import metrics

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 5, 7), (1, 64, 40), (3, 131, 97)])
@pytest.mark.parametrize("truth_type", [torch.uint8, torch.float32])
def test_agrees_with_the_metrics(size: tuple[int, int, int], truth_type: torch.dtype) -> None:
    """Both values to 1e-6 and the gradient to 1e-5 of its norm."""
    g = torch.Generator().manual_seed(0)
    image = torch.rand(*size, 3, generator=g).cuda().requires_grad_()
    if truth_type == torch.uint8:
        truth = torch.randint(0, 256, (*size, 3), generator=g, dtype=torch.uint8).cuda()
        exact_truth = truth.double() / 255.0
    else:
        truth = torch.rand(*size, 3, generator=g).cuda()
        exact_truth = truth.double()
    error, similarity = picture_losses(image, truth)
    exact = image.detach().double().requires_grad_()
    exact_error = (exact - exact_truth).abs().mean(dim=(1, 2, 3))
    exact_similarity = metrics.ssim(exact, exact_truth)
    torch.testing.assert_close(error.double(), exact_error, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(similarity.double(), exact_similarity, rtol=1e-5, atol=1e-6)
    weights = torch.rand(2, size[0], generator=g).cuda()
    (found,) = torch.autograd.grad((weights[0] * error + weights[1] * similarity).sum(), image)
    (wanted,) = torch.autograd.grad((weights[0] * exact_error + weights[1] * exact_similarity).sum(), exact)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5


def test_equal_pictures() -> None:
    """Similarity 1, error 0, and no gradient."""
    truth = torch.randint(0, 256, (1, 40, 50, 3), dtype=torch.uint8).cuda()
    image = (truth.float() / 255.0).requires_grad_()
    error, similarity = picture_losses(image, truth)
    assert float(error.detach()) < 1e-7
    assert abs(float(similarity.detach()) - 1.0) < 1e-5


def test_refuses_other_shapes() -> None:
    """Four channels are refused in words."""
    with pytest.raises(ShapeError, match="image"):
        picture_losses(torch.zeros(1, 4, 4, 4).cuda(), torch.zeros(1, 4, 4, 4).cuda())


def test_opcheck() -> None:
    """Schema, fake kernels and autograd registration hold together."""
    image = torch.rand(2, 20, 30, 3).cuda().requires_grad_()
    truth = torch.randint(0, 256, (2, 20, 30, 3), dtype=torch.uint8).cuda()
    torch.library.opcheck(
        torch.ops.surfhead.picture_losses_cuda,
        (image, truth),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )

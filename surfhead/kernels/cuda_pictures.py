"""Mean absolute error and structural similarity of pictures as one PyTorch operator on the GPU.

The twin of ``surfhead.maths.metrics.ssim`` (11x11 Gaussian window of sigma 1.5, zero padding) and of the mean
absolute error, in one pass over the pictures forward and one backward, with the truth read as uint8.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from surfhead.kernels import cuda_driver
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.doors import measure, require_contiguous

TILE_ROWS, TILE_PIXELS, THREADS = 12, 72, 256  # of picture_losses.cu
BATCH = 8  # rows of it that backward holds at a time
MOST_BATCHES = 6  # of a block; it reads the border of ten rows once


class Pictures(ctypes.Structure):
    """The kernels' one argument: struct Pictures of picture_losses.cu, field by field."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("views", "height", "width", "bytes", "batches")),
        *(
            (name, ctypes.c_void_p)
            for name in ("image", "truth", "partial", "derivative", "g_sums", "g_image")
        ),
    ]


RULES = {
    "image": "views height width 3", "truth": "picture: views height width 3",
    "derivative": "3 views height width 3", "g_sums": "views 2",
}  # fmt: skip


def _grid(image: Tensor, rows: int = TILE_ROWS) -> tuple[int, int, int]:
    views, height, width, _ = image.shape
    return -(-width // TILE_PIXELS), -(-height // rows), views


def _batches(views: int) -> int:
    """Of few pictures a block takes fewer rows, so that there are enough blocks."""
    return max(2, min(MOST_BATCHES, views))


def _run(name: str, image: Tensor, truth: Tensor, **others: Tensor) -> None:
    pictures = Pictures()
    pictures.views, pictures.height, pictures.width = image.shape[:3]
    pictures.bytes = truth.dtype == torch.uint8
    for field, tensor in {"image": image, "truth": truth, **others}.items():
        setattr(pictures, field, tensor.data_ptr())
    pictures.batches = _batches(len(image))
    rows = BATCH * pictures.batches if name == "picture_losses_backward" else TILE_ROWS
    cuda_driver.run("picture_losses", name, pictures, _grid(image, rows), THREADS, image.device)


def _forward(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    measure("picture_losses", RULES, {"image": image, "truth": truth})
    image, truth = image.contiguous(), truth.contiguous()
    across, down, views = _grid(image)
    partial = image.new_empty(views, across * down, 2)
    derivative = image.new_empty(3, *image.shape)
    _run("picture_losses", image, truth, partial=partial, derivative=derivative)
    return partial.sum(dim=1), derivative


def _backward(g_sums: Tensor, image: Tensor, truth: Tensor, derivative: Tensor) -> Tensor:
    given = {"image": image, "truth": truth, "derivative": derivative, "g_sums": g_sums}
    measure("picture_losses_backward", RULES, given)
    require_contiguous("picture_losses_backward", {"derivative": derivative})
    image, truth, g_sums = image.contiguous(), truth.contiguous(), g_sums.contiguous()
    g_image = torch.empty_like(image)
    _run("picture_losses_backward", image, truth, derivative=derivative, g_sums=g_sums, g_image=g_image)
    return g_image


def _fake_forward(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    return image.new_empty(image.shape[0], 2), image.new_empty(3, *image.shape)


def _fake_backward(g_sums: Tensor, image: Tensor, truth: Tensor, derivative: Tensor) -> Tensor:
    return image.new_empty(image.shape)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _autograd(ctx: Any, g_sums: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, None]:
    if g_sums is None:
        return None, None
    return operators.picture_losses_cuda_backward(g_sums, *ctx.saved_tensors), None


register("picture_losses_cuda", "(Tensor image, Tensor truth) -> (Tensor, Tensor)", _forward, _fake_forward)
register(
    "picture_losses_cuda_backward",
    "(Tensor g_sums, Tensor image, Tensor truth, Tensor derivative) -> Tensor",
    _backward,
    _fake_backward,
)
differentiate("picture_losses_cuda", _autograd, _setup_context)


def picture_losses(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) mean absolute error and (B,) mean structural similarity of pictures on a GPU.

    Args:
        image: (B, H, W, 3) float32, differentiable.
        truth: (B, H, W, 3) uint8, or float32 in [0, 1]; a constant.

    Raises:
        ShapeError: a shape or type is not one of these.
        UnavailableError: the kernels cannot run here.
    """
    count = image[0].numel() if len(image) else 1
    error, similarity = (_sums(image, truth) / count).unbind(dim=1)
    return error, similarity


def mean_picture_losses(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The means over all pictures of what ``picture_losses`` gives, two scalars, in fewer launches."""
    error, similarity = (_sums(image, truth).sum(dim=0) / max(image.numel(), 1)).unbind()
    return error, similarity


def _sums(image: Tensor, truth: Tensor) -> Tensor:
    """(B, 2) of both losses over a picture's numbers."""
    measure("picture_losses", RULES, {"image": image, "truth": truth})
    found: Tensor = operators.picture_losses_cuda(image, truth)[0]
    return found

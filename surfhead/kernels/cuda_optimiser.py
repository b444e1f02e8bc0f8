"""What follows the backward pass on the GPU: the densification statistic, and Adam in one launch.

Twins: ``surfhead.kernels.ops.screen`` and ``torch.optim.Adam``.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels import cuda_driver
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields
from surfhead.kernels.doors import measure, require_contiguous

THREADS, EACH, TENSORS = 256, 4, 40  # of optimiser.cu


class Screen(Sizes):
    """struct Screen of optimiser.cu."""

    _fields_ = structure_fields(
        "views surfels",
        "g_mean mean camera_from_world intrinsics radius visible gradient seen largest",
        "half_width half_height",
    )
    rules: ClassVar[dict[str, str]] = {
        "g_mean": "views surfels 3", "mean": "views surfels 3", "camera_from_world": "views 4 4",
        "intrinsics": "views 3 3", "radius": "views surfels", "visible": "bool: views surfels",
        "gradient": "surfels", "seen": "surfels", "largest": "surfels",
    }  # fmt: skip


class Adam(ctypes.Structure):
    """struct Adam of optimiser.cu."""

    _fields_ = [
        ("tensors", ctypes.c_int),
        *((name, ctypes.c_float) for name in ("beta1", "beta2", "log_beta1", "log_beta2", "epsilon")),
        ("first", ctypes.c_int * (TENSORS + 1)),
        ("size", ctypes.c_int * TENSORS),
        *((name, ctypes.c_void_p * TENSORS) for name in ("value", "mean", "square", "gradient", "step")),
        ("rate", ctypes.c_void_p),
        ("broken", ctypes.c_void_p),
    ]


@dataclass(frozen=True)
class Moments:
    """One parameter of an Adam step: its value, both moments, the steps taken with this one.

    It stays as it is where it does not take part, or has no gradient.
    """

    value: Tensor
    mean: Tensor
    square: Tensor
    step: Tensor
    taking_part: bool = True

    @property
    def gradient(self) -> Tensor | None:
        """The value's gradient, where the step is to use it."""
        return self.value.grad if self.taking_part else None


def screen_gradients(
    g_mean: Tensor,
    mean: Tensor,
    camera_from_world: Tensor,
    intrinsics: Tensor,
    size: tuple[int, int],
    visible: Tensor,
    radius: Tensor,
    sums: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Add a step to the sums of ``Statistics``: gradient, seen and largest radius, each (N,).

    Args:
        g_mean, mean: (B, N, 3). camera_from_world: (B, 4, 4). intrinsics: (B, 3, 3).
        size: (height, width) in pixels. visible: (B, N) bool. radius: (B, N) pixels.
        sums: updated in place.
    """
    tensors: dict[str, Tensor | None] = {
        "g_mean": g_mean, "mean": mean, "camera_from_world": camera_from_world, "intrinsics": intrinsics,
        "radius": radius, "visible": visible,
    }  # fmt: skip
    changed = dict(zip(("gradient", "seen", "largest"), sums, strict=True))
    screen = Screen.of("screen_gradients", tensors | changed)
    require_contiguous("screen_gradients", changed)
    screen.half_width, screen.half_height = size[1] / 2, size[0] / 2
    screen.gradient, screen.seen, screen.largest = (value.data_ptr() for value in sums)
    grid = (-(-screen.surfels // THREADS), 1)
    run_over("optimiser", "screen_gradients", screen, grid, THREADS, mean.device, tensors)


def adam_step(
    moments: Sequence[Moments], rate: Tensor, broken: Tensor, betas: tuple[float, float], epsilon: float
) -> None:
    """One step of Adam over up to TENSORS parameters in one launch; parameters without a gradient stay.

    Elements whose gradient is NaN or infinite are left alone.

    Args:
        moments: the parameters, float32 and contiguous, with their state, changed in place.
        rate: (K,) learning rates on the device.
        broken: (K,) int32, set to 1 where a gradient is not finite.

    Raises:
        ShapeError: there are more than TENSORS parameters, or tensors that do not fit together.
    """
    _check_moments(moments, rate, broken)
    adam = Adam()
    adam.tensors = len(moments)
    adam.beta1, adam.beta2, adam.epsilon = *betas, epsilon
    adam.log_beta1, adam.log_beta2 = math.log(betas[0]), math.log(betas[1])
    blocks, kept = 0, []
    for i, one in enumerate(moments):
        gradient = one.gradient
        count = 0 if gradient is None else one.value.numel()
        adam.first[i], adam.size[i] = blocks, count
        blocks += -(-count // (THREADS * EACH))
        if gradient is not None:
            kept.append(gradient.contiguous())
            adam.gradient[i] = kept[-1].data_ptr()
            adam.value[i], adam.mean[i] = one.value.data_ptr(), one.mean.data_ptr()
            adam.square[i], adam.step[i] = one.square.data_ptr(), one.step.data_ptr()
    adam.first[len(moments)] = blocks
    adam.rate, adam.broken = rate.data_ptr(), broken.data_ptr()
    if moments:
        device: torch.device = moments[0].value.device
        cuda_driver.run("optimiser", "adam_step", adam, (blocks, 1), THREADS, device)


_RULES = {"rate": "parameters", "broken": "int32: parameters"}


def _check_moments(moments: Sequence[Moments], rate: Tensor, broken: Tensor) -> None:
    """Raise ShapeError unless all that Adam's kernel points to belongs together."""
    if len(moments) > TENSORS:
        raise ShapeError(
            f'Kernel "adam_step" was given {len(moments)} parameters.',
            f"It takes {TENSORS} at most.",
            "Let PyTorch's optimiser take the step.",
        )
    lists = {"rate": rate, "broken": broken}
    measure("adam_step", _RULES, lists, parameters=len(moments))
    require_contiguous("adam_step", lists)
    for number, one in enumerate(moments):
        if one.gradient is None:
            continue
        held = {"value": one.value, "mean": one.mean, "square": one.square}
        require_contiguous("adam_step", held)
        for name, tensor in {**held, "gradient": one.gradient, "step": one.step}.items():
            wanted = torch.Size() if name == "step" else one.value.shape
            if (tensor.shape, tensor.dtype, tensor.device) != (wanted, torch.float32, rate.device):
                raise ShapeError(
                    f'"{name}" of parameter {number} of kernel "adam_step" is {tensor.dtype} '
                    f"{tuple(tensor.shape)} on {tensor.device}.",
                    f"Expected torch.float32 {tuple(wanted)} on {rate.device}.",
                    "Check how it was built.",
                )

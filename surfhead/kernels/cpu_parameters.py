"""What goes over all numbers of the parameters in one pass on a CPU (cpu/parameters.h).

A weighted sum of squared distances, a look for gradients that are not finite, and Adam. Twins:
``surfhead.kernels.ops.squares`` and ``surfhead.kernels.ops.adam``.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from surfhead.kernels import cpu_rows
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, structure_fields
from surfhead.kernels.doors import require_contiguous


class Squares(Sizes):
    """struct Squares of parameters.h."""

    _fields_ = structure_fields("rows width goal_rows", "value goal weight sum g_sum g_value")
    rules: ClassVar[dict[str, str]] = {
        "value": "rows width", "goal": "goal_rows width", "weight": "rows", "g_sum": "",
    }  # fmt: skip


class _Parameter(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("value", "mean", "square", "gradient")),
        *((name, ctypes.c_float) for name in ("size", "second")),
    )


class _Parameters(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_int64),
        *((name, ctypes.c_float) for name in ("beta1", "beta2", "epsilon")),
        ("parameter", ctypes.c_void_p),
        ("broken", ctypes.c_void_p),
    )


def serves(tensor: Tensor) -> bool:
    """Whether the native library can go over such a tensor."""
    return cpu_rows.serves(tensor) and cpu_rows.knows("parameters")


# ---- squares ---------------------------------------------------------------------------------------------


def _squares_run(name: str, given: dict[str, Tensor | None], made: dict[str, Tensor]) -> None:
    sizes = Squares.of(name, given)
    kept = {key: value.contiguous() for key, value in given.items() if value is not None} | made
    for field, value in kept.items():
        setattr(sizes, field, value.data_ptr())
    # a single row as the goal of a single row is as good as one for each
    cpu_rows.run("squares", name, sizes, (sizes.rows * sizes.width, 1), 1)


def _squares(value: Tensor, goal: Tensor | None, weight: Tensor | None) -> Tensor:
    found = value.new_zeros(())
    _squares_run("squares", {"value": value, "goal": goal, "weight": weight}, {"sum": found})
    return found


def _squares_backward(g_sum: Tensor, value: Tensor, goal: Tensor | None, weight: Tensor | None) -> Tensor:
    found = value.new_empty(value.shape)
    given = {"value": value, "goal": goal, "weight": weight, "g_sum": g_sum}
    _squares_run("squares_backward", given, {"g_value": found})
    return found


def _fake(value: Tensor, goal: Tensor | None, weight: Tensor | None) -> Tensor:
    return value.new_empty(())


def _fake_backward(g_sum: Tensor, value: Tensor, goal: Tensor | None, weight: Tensor | None) -> Tensor:
    return value.new_empty(value.shape)


def _keep(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
    ctx.given = [tensor is not None for tensor in inputs]
    ctx.save_for_backward(*(tensor for tensor in inputs if tensor is not None))


def _autograd(ctx: Any, g_sum: Tensor) -> tuple[Tensor | None, ...]:
    saved = iter(ctx.saved_tensors)
    tensors = [next(saved) if there else None for there in ctx.given]
    return operators.squares_cpu_backward(g_sum, *tensors), None, None


register("squares_cpu", "(Tensor value, Tensor? goal, Tensor? weight) -> Tensor", _squares, _fake, ("CPU",))
register(
    "squares_cpu_backward",
    "(Tensor g_sum, Tensor value, Tensor? goal, Tensor? weight) -> Tensor",
    _squares_backward,
    _fake_backward,
    ("CPU",),
)
differentiate("squares_cpu", _autograd, _keep)
squares = operators.squares_cpu
"""``_squares`` as an operator of PyTorch, with the gradient of the value."""


# ---- gradients and Adam ----------------------------------------------------------------------------------


def _launch(name: str, rows: list[_Parameter], broken: Tensor | None, **others: float) -> None:
    each = (_Parameter * max(len(rows), 1))(*rows)
    everything = _Parameters()
    everything.count = len(rows)
    everything.parameter = ctypes.addressof(each)
    everything.broken = None if broken is None else broken.data_ptr()
    for field, value in others.items():
        setattr(everything, field, value)
    cpu_rows.run("parameters", name, everything, (len(rows), 1), 1)


def finite(gradients: Sequence[Tensor]) -> Tensor:
    """(K,) bool: whether all numbers of each tensor are finite; float32 on the CPU."""
    kept = [gradient.contiguous() for gradient in gradients]
    broken = torch.zeros(len(kept), dtype=torch.uint8)
    rows = []
    for gradient in kept:
        one = _Parameter()
        one.count, one.gradient = gradient.numel(), gradient.data_ptr()
        rows.append(one)
    _launch("finite", rows, broken)
    return broken == 0


def adam_step(
    values: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: Sequence[int],
    rates: Sequence[float],
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """One step of Adam over parameters that have gradients; everything float32 on the CPU.

    Args:
        values, means, squares: contiguous, changed in place.
        steps: taken with this one, of each.
        rates: of each.

    Raises:
        ShapeError: a tensor is not contiguous.
    """
    rows, kept = [], []
    for value, mean, square, step, rate in zip(values, means, squares, steps, rates, strict=True):
        require_contiguous("adam", {"value": value, "mean": mean, "square": square})
        assert value.grad is not None
        assert mean.numel() == square.numel() == value.grad.numel() == value.numel()
        kept.append(value.grad.contiguous())
        one = _Parameter()
        one.count, one.gradient = value.numel(), kept[-1].data_ptr()
        one.value, one.mean, one.square = value.data_ptr(), mean.data_ptr(), square.data_ptr()
        one.size, one.second = rate / (1.0 - betas[0] ** step), math.sqrt(1.0 - betas[1] ** step)
        rows.append(one)
    _launch("adam", rows, None, beta1=betas[0], beta2=betas[1], epsilon=epsilon)

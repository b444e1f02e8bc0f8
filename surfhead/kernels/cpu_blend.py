"""Weights of a host and its neighbours as one operator each way on a CPU (cpu/blend_shares.h).

Twin: ``surfhead.core.neighbour_blend.weights`` (docs/method.md, section 4).
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from surfhead.kernels import cpu_rows
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, structure_fields

MODULE = "blend_shares"


class _Shares(Sizes):
    """struct BlendShares of blend_shares.h."""

    _fields_ = structure_fields("surfels", "logits alone shares g_shares g_logits")
    rules: ClassVar[dict[str, str]] = {
        "logits": "surfels 4", "alone": "bool: surfels", "g_shares": "surfels 4",
    }  # fmt: skip


def serves(tensor: Tensor) -> bool:
    """Whether the native library has these weights where this tensor lies."""
    return cpu_rows.serves(tensor) and cpu_rows.knows(MODULE)


def _run(name: str, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
    sizes: Any = _Shares.of(name, given)
    kept = {key: value.contiguous() for key, value in given.items()} | made
    for field, value in kept.items():
        setattr(sizes, field, value.data_ptr())
    cpu_rows.run(MODULE, name, sizes, (sizes.surfels, 1), 1)


def _shares(logits: Tensor, alone: Tensor) -> Tensor:
    found = logits.new_empty(logits.shape)
    _run("blend_shares", {"logits": logits, "alone": alone}, {"shares": found})
    return found


def _backward(g_shares: Tensor, logits: Tensor, alone: Tensor) -> Tensor:
    found = logits.new_empty(logits.shape)
    given = {"g_shares": g_shares, "logits": logits, "alone": alone}
    _run("blend_shares_backward", given, {"g_logits": found})
    return found


def _fake(logits: Tensor, alone: Tensor) -> Tensor:
    return logits.new_empty(logits.shape)


def _fake_backward(g_shares: Tensor, logits: Tensor, alone: Tensor) -> Tensor:
    return logits.new_empty(logits.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _autograd(ctx: Any, g_shares: Tensor) -> tuple[Tensor, None]:
    return operators.blend_shares_cpu_backward(g_shares, *ctx.saved_tensors), None


register("blend_shares_cpu", "(Tensor logits, Tensor alone) -> Tensor", _shares, _fake, ("CPU",))
register(
    "blend_shares_cpu_backward",
    "(Tensor g_shares, Tensor logits, Tensor alone) -> Tensor",
    _backward,
    _fake_backward,
    ("CPU",),
)
differentiate("blend_shares_cpu", _autograd, _keep)
blend_shares = operators.blend_shares_cpu
"""``_shares`` as an operator of PyTorch, with the gradient of the logits."""

"""A highlight's perceptron where it learns on a GPU: two hidden layers of 128 with ReLU, one output or three.

Its six large products are PyTorch's, those forward with bias and ReLU; the rest is perceptron.cu.

Twin: the ``Sequential`` of ``surfhead.plugins.appearances.lobes`` (docs/method.md, section 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields
from surfhead.kernels.tensor_cores import tensor_cores

THREADS = 256  # of perceptron.cu
ROWS = 8 * 4  # of a block at a time
BLOCKS = 528  # at most; each adds its sums to the same few numbers
HIDDEN = 128
CHANNELS = (1, 3)
SHOWN = 3  # numbers of a row of the output

_with_relu: Any = torch.ops.aten._addmm_activation


class Perceptron(Sizes):
    """struct Perceptron of perceptron.cu."""

    _fields_ = structure_fields(
        "rows channels blocks",
        "weight bias hidden output g_output g_hidden g_weight g_bias g_hidden_bias",
    )
    rules: ClassVar[dict[str, str]] = {
        "weight": f"channels {HIDDEN}", "bias": "channels", "hidden": f"rows {HIDDEN}",
        "g_output": f"rows {SHOWN}", "g_hidden": f"rows {HIDDEN}",
    }  # fmt: skip


def serves(shapes: Sequence[torch.Size]) -> bool:
    """Whether the kernels know layers with weights of these shapes."""
    return (
        len(shapes) == 3
        and shapes[0][0] == HIDDEN
        and shapes[1] == (HIDDEN, HIDDEN)
        and shapes[2][0] in CHANNELS
        and shapes[2][1] == HIDDEN
    )


def _run(name: str, given: dict[str, Tensor | None], made: dict[str, Tensor | None]) -> None:
    sizes = Perceptron.of(name, given)
    sizes.blocks = min(-(-sizes.rows // ROWS), BLOCKS)
    hidden = given["hidden"]
    assert hidden is not None
    run_over("perceptron", name, sizes, (sizes.blocks, 1), THREADS, hidden.device, given | made)


def _last(weight: Tensor, bias: Tensor, hidden: Tensor) -> Tensor:
    output = hidden.new_empty(len(hidden), SHOWN)
    _run("last_layer", {"weight": weight, "bias": bias, "hidden": hidden}, {"output": output})
    return output


def _last_backward(g_output: Tensor, weight: Tensor, hidden: Tensor, sums: Tensor) -> Tensor:
    """(rows, 128) what reaches ``hidden`` before its ReLU; adds to ``_parts`` of ``sums`` but the first."""
    g_hidden = torch.empty_like(hidden)
    _, g_hidden_bias, g_weight, g_bias = _parts(sums, len(weight))
    given: dict[str, Tensor | None] = {"g_output": g_output, "weight": weight, "hidden": hidden}
    made: dict[str, Tensor | None] = {
        "g_hidden": g_hidden, "g_hidden_bias": g_hidden_bias, "g_weight": g_weight, "g_bias": g_bias
    }  # fmt: skip
    _run("last_layer_backward", given, made)
    return g_hidden


def _through_relu(g_hidden: Tensor, g_output: Tensor, hidden: Tensor, sums: Tensor) -> None:
    """What reaches ``hidden`` before its ReLU, in place; adds to the first of ``_parts`` of ``sums``."""
    given: dict[str, Tensor | None] = {"g_output": g_output, "hidden": hidden, "g_hidden": g_hidden}
    _run("through_relu", given, {"g_hidden_bias": _parts(sums)[0]})


def _parts(sums: Tensor, channels: int = 0) -> tuple[Tensor, ...]:
    """Gradients of the first two biases, the last weight (channels, 128), and its bias, in (K,)."""
    rest = sums[2 * HIDDEN :]
    last = rest[: channels * HIDDEN].view(channels, HIDDEN)
    return sums[:HIDDEN], sums[HIDDEN : 2 * HIDDEN], last, rest[channels * HIDDEN :]


def _forward(
    inputs: Tensor, first: Tensor, first_bias: Tensor, second: Tensor, second_bias: Tensor, last: Tensor,
    last_bias: Tensor, tensor: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    with tensor_cores(tensor):
        lower = _with_relu(first_bias, inputs, first.mT)
        upper = _with_relu(second_bias, lower, second.mT)
    return _last(last, last_bias, upper), lower, upper


def _backward(
    g_output: Tensor, inputs: Tensor, lower: Tensor, upper: Tensor, first: Tensor, second: Tensor,
    last: Tensor, tensor: bool, through: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    g_output = g_output.contiguous()
    sums = inputs.new_zeros(2 * HIDDEN + last.numel() + len(last))
    g_upper = _last_backward(g_output, last, upper, sums)
    with tensor_cores(tensor):
        g_lower = g_upper @ second
        g_second = g_upper.mT @ lower
    _through_relu(g_lower, g_output, lower, sums)
    with tensor_cores(tensor):
        g_first = g_lower.mT @ inputs
        g_inputs = g_lower @ first if through else inputs.new_empty(0)
    return g_inputs, g_first, g_second, sums


def _fake_forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    inputs, rows = arguments[0], arguments[0].shape[0]
    output, lower = inputs.new_empty(rows, SHOWN), inputs.new_empty(rows, HIDDEN)
    return output, lower, inputs.new_empty(rows, HIDDEN)


def _fake_backward(*arguments: Any) -> tuple[Tensor, ...]:
    inputs, first, second, last, through = arguments[1], *arguments[4:7], arguments[-1]
    sums = inputs.new_empty(2 * HIDDEN + last.numel() + last.shape[0])
    made = tuple(value.new_empty(value.shape) for value in (first, second))
    return inputs.new_empty(inputs.shape if through else 0), *made, sums


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    given, first, _, second, _, last, _, ctx.tensor = inputs
    ctx.save_for_backward(given, *output[1:], first, second, last)
    ctx.mark_non_differentiable(*output[1:])


def _autograd(ctx: Any, g_output: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    through, last = ctx.needs_input_grad[0], ctx.saved_tensors[-1]
    g_inputs, g_first, g_second, sums = operators.perceptron_cuda_backward(
        g_output, *ctx.saved_tensors, ctx.tensor, through
    )
    parts = _parts(sums, len(last))
    given = g_inputs if through else None
    return given, g_first, parts[0], g_second, parts[1], parts[2], parts[3], None


_LAYERS = "Tensor first, Tensor first_bias, Tensor second, Tensor second_bias, Tensor last, Tensor last_bias"
register(
    "perceptron_cuda",
    f"(Tensor inputs, {_LAYERS}, bool tensor) -> (Tensor, Tensor, Tensor)",
    _forward,
    _fake_forward,
)
register(
    "perceptron_cuda_backward",
    "(Tensor g_output, Tensor inputs, Tensor lower, Tensor upper, Tensor first, Tensor second, Tensor last, "
    "bool tensor, bool through) -> (Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _fake_backward,
)
differentiate("perceptron_cuda", _autograd, _keep)


def perceptron(inputs: Tensor, layers: Sequence[tuple[Tensor, Tensor]], tensor: bool) -> Tensor:
    """(..., 3) the perceptron's outputs; a single one is given three times.

    Args:
        inputs: (..., K).
        layers: weight and bias of the three layers, as ``torch.nn.Linear`` has them.
        tensor: whether tensor cores take the products forward and backward (``tensor_cores``).
    """
    values = [value for layer in layers for value in layer]
    output, *_ = operators.perceptron_cuda(inputs.reshape(-1, inputs.shape[-1]), *values, tensor)
    found: Tensor = output.view(*inputs.shape[:-1], SHOWN)
    return found

"""Registration with torch.library of the kernels of a GPU and, where ``cpu_rows`` has them, of a CPU.

By ``torch.library.Library``: the first call of an operator of ``torch.library.custom_op`` loads PyTorch's
compiler, which takes as long as PyTorch itself.

``operators`` are they, to be called: on a CPU the dispatcher's way to a function in Python and back costs as
much as a small kernel, so it is left out where nobody traces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import _get_current_dispatch_mode

# One fragment for all operators; they live as long as it does.
_library: Any = torch.library.Library("surfhead", "FRAGMENT")  # type: ignore[no-untyped-call]
_on_cpu: dict[str, Callable[..., Any]] = {}  # what runs there
_functions: dict[str, Any] = {}  # of those with a gradient, the same with it


def register(
    name: str,
    schema: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    devices: Sequence[str] = ("CUDA", "CPU"),
) -> None:
    """Register ``surfhead::<name>``: its schema, what runs on ``devices``, and its shapes without data."""
    _library.define(name + schema)
    if "CPU" in devices:
        _on_cpu[name] = run
    for device in devices:
        _library.impl(name, run, device)
    torch.library.register_fake(f"surfhead::{name}", fake, lib=_library)


def differentiate(name: str, backward: Callable[..., Any], keep: Callable[..., None]) -> None:
    """Give ``surfhead::<name>`` its gradient; ``keep`` saves what ``backward`` needs."""
    torch.library.register_autograd(f"surfhead::{name}", backward, setup_context=keep, lib=_library)
    if (run := _on_cpu.get(name)) is not None:
        _functions[name] = _function(run, backward, keep)


def _function(run: Callable[..., Any], backward: Callable[..., Any], keep: Callable[..., None]) -> Any:
    """The same as an operator's gradient, without the operator."""

    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            output = run(*inputs)
            keep(ctx, inputs, output)
            return output

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            return backward(ctx, *gradients)

    return Straight.apply


def _learning(inputs: Sequence[Any]) -> bool | None:
    """Whether one of plain tensors on a CPU learns; None where another than they, or a tracer, looks on."""
    if torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None:
        return None
    learning = False
    for value in inputs:
        if isinstance(value, Tensor):
            if type(value) not in (Tensor, torch.nn.Parameter) or value.device.type != "cpu":
                return None
            learning = learning or value.requires_grad
    return learning and torch.is_grad_enabled()


class Operators:
    """``torch.ops.surfhead``; on a CPU without its dispatcher, where numbers and gradients are all."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*inputs: Any) -> Any:
            learning = _learning(inputs)
            if learning is None or name not in _on_cpu or (learning and name not in _functions):
                return getattr(torch.ops.surfhead, name)(*inputs)
            return _functions[name](*inputs) if learning else _on_cpu[name](*inputs)

        call.default = getattr(torch.ops.surfhead, name).default  # type: ignore[attr-defined]
        setattr(self, name, call)  # asked for once
        return call


operators = Operators()

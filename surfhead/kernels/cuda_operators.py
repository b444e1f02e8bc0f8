"""Registration with torch.library of the kernels of a GPU and, where ``cpu_rows`` has them, of a CPU.

By ``torch.library.Library``: the first call of an operator of ``torch.library.custom_op`` loads PyTorch's
compiler, which takes as long as PyTorch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

# One fragment for all operators; they live as long as it does.
_library: Any = torch.library.Library("surfhead", "FRAGMENT")  # type: ignore[no-untyped-call]


def register(
    name: str,
    schema: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    devices: Sequence[str] = ("CUDA", "CPU"),
) -> None:
    """Register ``surfhead::<name>``: its schema, what runs on ``devices``, and its shapes without data."""
    _library.define(name + schema)
    for device in devices:
        _library.impl(name, run, device)
    torch.library.register_fake(f"surfhead::{name}", fake, lib=_library)


def differentiate(name: str, backward: Callable[..., Any], keep: Callable[..., None]) -> None:
    """Give ``surfhead::<name>`` its gradient; ``keep`` saves what ``backward`` needs."""
    torch.library.register_autograd(f"surfhead::{name}", backward, setup_context=keep, lib=_library)

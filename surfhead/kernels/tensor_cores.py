"""Products of single precision by a GPU's tensor cores: factors rounded to TF32 (10 bits), sums as ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_matmul: Any = torch.backends.cuda.matmul
# PyTorch has one setting a process, and autograd's threads take products while others do
_one_at_a_time = threading.Lock()


@contextmanager
def tensor_cores(wanted: bool) -> Iterator[None]:
    """Within it products on a GPU are taken by tensor cores, where ``wanted``; the user's setting comes back.

    What other threads launch meanwhile is taken so too.
    """
    if not wanted:
        yield
        return
    name, on = ("fp32_precision", "tf32") if hasattr(_matmul, "fp32_precision") else ("allow_tf32", True)
    with _one_at_a_time:
        before = getattr(_matmul, name)
        if before == on:
            yield
            return
        setattr(_matmul, name, on)
        try:
            yield
        finally:
            setattr(_matmul, name, before)

"""The type of number that avatars are made of, whatever a script has made PyTorch's default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_precision() -> Iterator[None]:
    """Within it PyTorch's default type is float32, as in checkpoints; also for a decorator."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(usual)

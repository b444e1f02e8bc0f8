"""Numbers that the host reads of a device."""

from __future__ import annotations

import torch

from surfhead.training.read_back import ReadBack


def test_a_cpu_is_asked_at_once() -> None:
    found = ReadBack()
    values = torch.tensor([1.5, -2.0])
    assert found.look(values) == [1.5, -2.0]
    values += 1.0
    assert found.look(values) == [2.5, -1.0]

"""What is freed is kept for the next step, where the C library can be told so."""

from __future__ import annotations

import pytest
import torch

from surfhead.training.allocator import OWN, keep_freed_memory

resource = pytest.importorskip("resource", reason="there are no page faults to count")


def faults() -> int:
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def test_a_block_that_was_freed_is_taken_again_without_new_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    if not keep_freed_memory():
        pytest.skip("this is not glibc")
    for _ in range(60):  # until the heap has grown to its size
        torch.ones(1 << 20)
    before = faults()
    for _ in range(20):
        torch.ones(1 << 20)  # 4 MiB, 1024 pages of 4 KiB
    assert faults() - before < 5 * 1024


@pytest.mark.parametrize("name", OWN)
def test_who_has_set_it_up_is_not_overruled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert not keep_freed_memory()

"""Exchanges through peer memory on a machine with one GPU, which stands for both."""

from __future__ import annotations

import pytest
import torch

from surfhead.training import peer_exchange
from tests.gpu.both import run_in_both

pytestmark = pytest.mark.gpu
SEEN = (2, 11)  # of PyTorch, that lets two processes share a GPU's memory so


@pytest.mark.skipif(
    tuple(int(part) for part in torch.__version__.split(".")[:2]) < SEEN,
    reason="of older releases it is not known whether two processes may have the same GPU",
)
def test_exchanges_of_two_processes_with_one_gpu() -> None:
    """Right means, bit for bit, also replayed in one process and launched in the other."""
    lack = peer_exchange._lack()
    if lack:
        pytest.skip(lack)
    run_in_both("tests.gpu.peer_exchanges", "shared", TORCH_SYMM_MEM_ALLOW_OVERLAPPING_DEVICES="1")

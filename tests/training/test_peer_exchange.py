"""The choice between peer memory and NCCL, and where tensors lie in it; tests/gpu has what two GPUs do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.training import peer_exchange
from surfhead.training.gradient_exchange import GradientExchange
from surfhead.training.peer_exchange import ALIGNED, LEAST, Fact, capacity, hindrance, open_peers, placed
from surfhead.training.ranks import Ranks

ONE, TWO = Fact("a", ("b", "c"), ""), Fact("b", ("a",), "")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ([ONE, TWO], ""),
        ([ONE], "1 processes"),
        ([ONE, TWO, ONE._replace(gpu="c")], "3 processes"),
        ([ONE, TWO._replace(gpu="of another machine", reached=("its neighbour",))], "do not reach"),
        ([ONE, TWO._replace(reached=())], "do not reach"),
        ([ONE._replace(reached=("c",)), TWO], "do not reach"),
        ([ONE, ONE], "do not reach"),
        ([ONE, TWO._replace(lack="no compiler")], "no compiler"),
    ],
)
def test_both_decide_alike(facts: list[Fact], reason: str) -> None:
    for given in (facts, facts[::-1]):
        assert reason in hindrance(given)
        assert bool(hindrance(given)) == bool(reason)


def test_tensors_lie_apart_and_aligned() -> None:
    sizes = [1, ALIGNED, ALIGNED + 1, 0, 7]
    starts, end = placed(sizes)
    for start, size, following in zip(starts, sizes, [*starts[1:], end], strict=True):
        assert start % ALIGNED == 0
        assert start + size <= following
    assert placed(sizes, end) == ([start + end for start in starts], 2 * end)


def test_a_step_that_needs_no_more_uses_the_same_buffer() -> None:
    assert capacity(0) == capacity(LEAST) == LEAST
    for elements in (LEAST + 1, 3 * LEAST, 4 * LEAST):
        assert elements <= capacity(elements) < 2 * elements
    assert capacity(3 * LEAST) == capacity(4 * LEAST)


def test_only_two_gpus_try() -> None:
    """Without a word between the processes: there may be no group."""
    assert open_peers(0, 2, torch.device("cpu")) is None
    assert open_peers(0, 3, torch.device("cuda", 0)) is None
    assert open_peers(0, 1, torch.device("cuda", 0)) is None


@pytest.mark.parametrize("lost", ["rendezvous", peer_exchange.MEMORY])
def test_a_pytorch_without_its_interface_is_told(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    from torch.distributed import _symmetric_memory

    assert "another" not in peer_exchange._lack()
    monkeypatch.delattr(_symmetric_memory, lost)
    assert "another" in peer_exchange._lack()


@dataclass
class Peers:
    """Two processes whose gradients are the same; notes what is asked of it.

    Attributes:
        served: whether it takes an exchange.
        released: exchanges that had begun when a step's were over, by step.
    """

    served: bool = True
    expected: list[int] = field(default_factory=list)
    begun: list[list[int]] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    def release(self) -> None:
        self.released.append(len(self.begun))

    def expect(self, sizes: Sequence[int]) -> None:
        self.expected = list(sizes)

    def begin(self, tensors: Sequence[Tensor]) -> Callable[[], None] | None:
        self.begun.append([value.numel() for value in tensors])
        return (lambda: None) if self.served else None


def gradients(peers: Any) -> list[Tensor]:
    """Exchanged: of a large, a small, an unused leaf and of three rows of twelve."""
    leaves = [torch.ones(size, requires_grad=True) for size in (40, 3, 5)]
    leaves.append(torch.ones(12, 2, requires_grad=True))
    exchange = GradientExchange(Ranks(0, 2, peers=peers), bucket=4 * 40, small=4 * 8, saving=0)
    with exchange.during(leaves, lambda _: None, [None, None, None, torch.tensor([1, 5, 6])]):
        (leaves[0].sum() + 2.0 * leaves[1].sum() + leaves[3][5].sum()).backward()
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def test_gradients_go_through_peers() -> None:
    """Each by itself, as joining small ones saves nothing there; room is asked for all that may come."""
    peers = Peers()
    large, small, rows = gradients(peers)
    assert peers.expected == [40, 3, 5, 6]
    assert peers.begun == [[40], [3, 6]]
    assert peers.released == [2]
    assert float(large.sum()) == 40.0
    assert float(small.sum()) == 6.0
    assert rows[5].tolist() == [1.0, 1.0]


def test_what_peers_do_not_take_the_backend_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def reduced(tensors: Sequence[Tensor], _: object) -> Any:
        asked.append(len(tensors))
        return Work()

    class Work:
        def wait(self) -> None:
            """Nothing to wait for."""

    group = SimpleNamespace(WORLD=SimpleNamespace(allreduce_coalesced=reduced))
    monkeypatch.setattr(torch.distributed, "group", group)
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "nccl")
    gradients(Peers(served=False))
    assert asked == [1, 2]

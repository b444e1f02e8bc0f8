"""What each of two processes checks of exchanges through peer memory (run by test_ranks)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from surfhead.training.gradient_exchange import GradientExchange
from surfhead.training.peer_exchange import LEAST, PeerExchange
from surfhead.training.ranks import Ranks, joined
from surfhead.training.read_back import ReadBack

SIZES = (1, 3, 4096, 4097, 300_001, 77, 1_200_000)
REPLAYS = 200
NEVER = 1 << 62  # bytes that no tensor has


def draw(device: torch.device, seed: int, shift: int = 0) -> list[Tensor]:
    """Numbers of this process that begin ``shift`` elements after where an allocation does."""
    g = torch.Generator(device).manual_seed(seed)
    return [torch.randn(size + shift, generator=g, device=device)[shift:] for size in SIZES]


def same(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    """Bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def check_bits(ranks: Ranks, device: torch.device) -> None:
    """Each way gives NCCL's means, several exchanges a step, steps of other sizes after each other."""
    nccl = replace(ranks, peers=None)
    for engine, blocks in ((1, 264), (NEVER, 264), (NEVER, 5), (1 << 20, 264)):
        peers = PeerExchange(ranks.number, device, engine, blocks)
        among = replace(ranks, peers=peers)
        for step in range(12):
            shift, parts = step % 4, 1 + step % 3
            sets = [draw(device, 100 * step + 10 * part + ranks.number, shift) for part in range(parts)]
            wanted = [[value.clone() for value in one] for one in sets]
            for one in wanted:
                nccl.begin_average(one)()
            with among.exchanges([*SIZES] * parts):
                ends = [peers.begin(one) for one in sets]
                for end in ends:
                    assert end is not None
                    end()
            for found, one in zip(sets, wanted, strict=True):
                assert same(found, one), (engine, blocks, step)
        assert sorted(peers._buffers) == [2 * LEAST, 4 * LEAST, 8 * LEAST]
        peers.close()


def check_graphs(ranks: Ranks, device: torch.device) -> None:
    """Many steps without a wait, replayed in one process and launched in the other, or in both."""
    start = draw(device, ranks.number)
    total = [torch.zeros_like(value) for value in start]
    values = [value.clone() for value in start]
    nccl = [value.clone() for value in start]
    replace(ranks, peers=None).begin_average(nccl)()

    def step() -> None:
        torch._foreach_copy_(values, start)
        with ranks.exchanges(SIZES):
            ends = [ranks.begin_average(values[:4]), ranks.begin_average(values[4:])]
            torch.cuda._sleep(20_000 * (1 + ranks.number))  # what runs beside it takes another time in each
            for end in ends:
                end()
            torch._foreach_add_(total, values)

    step()
    torch.cuda.synchronize(device)
    assert same(values, nccl)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    torch._foreach_zero_(total)
    for i in range(REPLAYS):
        if i % 2 == ranks.number or i % 5 == 0:
            graph.replay()
        else:
            step()
    torch.cuda.synchronize(device)
    summed = [torch.zeros_like(value) for value in nccl]
    for _ in range(REPLAYS):
        torch._foreach_add_(summed, nccl)
    assert same(total, summed)
    del graph


def check_fallback(ranks: Ranks, device: torch.device) -> None:
    """NCCL takes what does not fit, in both processes, between exchanges that do."""
    peers = ranks.peers
    assert peers is not None
    fits, double = (torch.full((10,), 2.0 * ranks.number, device=device) for _ in range(2))
    double, large = double.double(), torch.full((LEAST,), 2.0 * ranks.number, device=device)
    with ranks.exchanges([10]):
        assert peers.begin([double]) is None
        for value in (fits, double, large):
            ranks.begin_average([value])()
        assert peers.begin([large]) is None, "the first tensor left no room for it"
    for value in (fits, double, large):
        assert bool((value == 1.0).all())


def check_leaving(ranks: Ranks, device: torch.device) -> None:
    """A pass that breaks off in both processes after exchanges have begun; the next is as ever."""
    leaves = [torch.full((50,), float(i + 1), device=device, requires_grad=True) for i in range(3)]
    exchange = GradientExchange(ranks, bucket=1, small=1)

    def broken(_: Tensor) -> None:
        raise RuntimeError("in the middle of a pass")

    def loss() -> Tensor:
        total = torch.zeros((), device=device)
        for leaf in reversed(leaves):  # the pass ends with the first leaf first
            total = total + (ranks.number + 1.0) * leaf.square().sum()
        return total

    for breaks in (False, True, False):
        for leaf in leaves:
            leaf.grad = None
        if breaks:
            hook = leaves[-1].register_hook(broken)
            with pytest.raises(RuntimeError, match="in the middle"), exchange.during(leaves, lambda _: None):
                loss().backward()  # type: ignore[no-untyped-call]
            hook.remove()
            continue
        with exchange.during(leaves, lambda _: None):
            loss().backward()  # type: ignore[no-untyped-call]
        for leaf in leaves:
            assert leaf.grad is not None
            assert bool((leaf.grad == 3.0 * leaf.detach()).all())
    ranks.wait()


def check_answers(ranks: Ranks) -> None:
    """A flag of one process is heard by both when they ask the next time, and not before or after."""
    answers, asked = ReadBack(), (False, True, False, False)
    found = [ranks.any_lately(flag and ranks.number == 1, answers) for flag in asked]
    assert found == [False, False, True, False]


def main() -> int:
    """Join, check, leave."""
    logging.basicConfig(level=logging.DEBUG, format="%(message)s")  # tells why NCCL would be taken
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("surfhead").setLevel(logging.DEBUG)
    with joined("cuda") as (ranks, device):
        assert ranks.peers is not None, "these GPUs reach each other's memory"
        check_bits(ranks, device)
        check_graphs(ranks, device)
        check_fallback(ranks, device)
        check_leaving(ranks, device)
        check_answers(ranks)
    print(f"process {ranks.number} is content", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

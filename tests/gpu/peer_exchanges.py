"""What each of two processes checks of exchanges through peer memory.

Each has a GPU of its own, or with the word ``shared`` both have the same, which PyTorch allows for tests;
without NCCL then, which does not. Run by test_ranks and test_peer_exchange.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
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


def means(one: Sequence[Tensor], other: Sequence[Tensor]) -> list[Tensor]:
    """Rounded once, as a sum; halving is exact."""
    return [(a + b) * 0.5 for a, b in zip(one, other, strict=True)]


def check_bits(ranks: Ranks, device: torch.device) -> None:
    """Each way gives the means, several exchanges a step, steps of other sizes after each other."""
    for engine, blocks in ((1, 264), (NEVER, 264), (NEVER, 5), (1 << 20, 264)):
        peers = PeerExchange(ranks.number, device, engine, blocks)
        among = replace(ranks, peers=peers)
        for step in range(12):
            shift, parts = step % 4, 1 + step % 3
            both = [
                [draw(device, 100 * step + 10 * part + number, shift) for part in range(parts)]
                for number in (ranks.number, 1 - ranks.number)
            ]
            sets, wanted = both[0], [means(*pair) for pair in zip(*both, strict=True)]
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
    wanted = means(start, draw(device, 1 - ranks.number))

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
    assert same(values, wanted)
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
    summed = [torch.zeros_like(value) for value in wanted]
    for _ in range(REPLAYS):
        torch._foreach_add_(summed, wanted)
    assert same(total, summed)
    del graph


def check_fallback(ranks: Ranks, device: torch.device) -> None:
    """NCCL gives the same means, and takes what does not fit, in both, between exchanges that do."""
    peers = ranks.peers
    assert peers is not None
    values = draw(device, ranks.number)
    replace(ranks, peers=None).begin_average(values)()
    assert same(values, means(*(draw(device, number) for number in (0, 1))))
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


def check(ranks: Ranks, device: torch.device) -> None:
    """All that two processes can check, on GPUs of their own or on one."""
    check_bits(ranks, device)
    check_graphs(ranks, device)
    check_leaving(ranks, device)
    check_answers(ranks)


def check_on_one(device: torch.device) -> None:
    """Two processes with the same GPU."""
    torch.cuda.set_device(device)
    dist.init_process_group("gloo")
    peers = PeerExchange(dist.get_rank(), device)
    assert peers.works()
    check(Ranks(dist.get_rank(), 2, device, peers), device)
    peers.close()
    dist.destroy_process_group()


def main(words: Sequence[str]) -> int:
    """Join, check, leave."""
    logging.basicConfig(level=logging.DEBUG, format="%(message)s")  # tells why NCCL would be taken
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("surfhead").setLevel(logging.DEBUG)
    if "shared" in words:
        check_on_one(torch.device("cuda", 0))
    else:
        with joined("cuda") as (ranks, device):
            assert ranks.peers is not None, "these GPUs reach each other's memory"
            check(ranks, device)
            check_fallback(ranks, device)
    print(f"process {os.environ['RANK']} is content", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

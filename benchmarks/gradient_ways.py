"""Ways in which two GPUs exchange gradients, and how long each takes when nothing else runs.

`benchmarks.training_ranks` compares them in steps; alone they are timed in a CUDA graph of some exchanges.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from surfhead.training.gradient_exchange import SMALL
from surfhead.training.peer_exchange import BLOCKS, ENGINE, PeerExchange, _Buffer
from surfhead.training.ranks import Ranks

NEVER = 1 << 62  # bytes that no tensor has
EXCHANGES = 20  # in a graph
ROUNDS = 9


class Unexchanged(PeerExchange):
    """Exchanges nothing: what several processes on one machine cost without it."""

    def begin(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        return lambda: None


class Meeting(PeerExchange):
    """Sends nothing: what waiting for the process with the slower view costs."""

    def _exchange(self, buffer: _Buffer, tensors: Sequence[Tensor], starts: Sequence[int]) -> None:
        self._meet(buffer)  # of what the other has read nothing need be known


@dataclass(frozen=True)
class Way:
    """How gradients are exchanged.

    Attributes:
        peers: through peer memory; else NCCL.
        engine: bytes of a tensor from which on a copy engine takes it.
        blocks: of the kernels, at most.
        bucket: bytes of gradients that are exchanged together, at least; None: the way's own.
        kind: of exchange.
    """

    peers: bool = True
    engine: int = ENGINE
    blocks: int = BLOCKS
    bucket: int | None = None
    kind: type[PeerExchange] = PeerExchange

    def among(self, ranks: Ranks, device: torch.device) -> Ranks:
        """These processes, exchanging in this way."""
        peers = self.kind(ranks.number, device, self.engine, self.blocks) if self.peers else None
        return Ranks(ranks.number, ranks.count, ranks.device, peers)


WAYS = {
    "nccl": Way(peers=False),
    "engine": Way(engine=128 << 10),
    "kernel": Way(engine=NEVER),
    "mixed": Way(),
    "meeting": Way(kind=Meeting),
    "nothing": Way(kind=Unexchanged),
}
# elements of the tensors that `paper` exchanges: as soon as the colours are done; last
SIZES = {
    "18 MB": [100_540 * 45],
    "7 MB": [100_540 * k for k in (3, 1, 3, 3, 4)] + [7040, 64, 2048, 50_000, 33, 25_700],
}


def alone(ranks: Ranks, device: torch.device) -> list[str]:
    """A table of microseconds an exchange takes, and of GB/s each way; all processes together."""
    lines = [f"| way | {' | '.join(f'{name}, µs (GB/s)' for name in SIZES)} |", "|---|" + "---|" * len(SIZES)]
    ways = {name: way for name, way in WAYS.items() if way.kind is PeerExchange}
    for name, way in ways.items():
        if way.peers and ranks.peers is None:
            continue
        words = []
        for sizes in SIZES.values():
            seconds = _seconds(way.among(ranks, device), list(sizes), device)
            words.append(f"{1e6 * seconds:.1f} ({4e-9 * sum(sizes) / seconds:.0f})")
        lines.append(f"| {name} | {' | '.join(words)} |")
    return lines


def _seconds(ranks: Ranks, sizes: list[int], device: torch.device) -> float:
    """Of an exchange: the median of replays of a graph that holds some, two a step."""
    if ranks.peers is None:  # for which small ones are joined
        sizes = [size for size in sizes if 4 * size >= SMALL] + [sum(s for s in sizes if 4 * s < SMALL)]
        sizes = [size for size in sizes if size]
    values = [torch.randn(size, device=device) for size in sizes]

    def step() -> None:
        with ranks.exchanges([*sizes, *sizes]):
            for _ in range(2):
                ranks.begin_average(values)()

    step()
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(EXCHANGES // 2):
            step()
    moments = []
    ranks.wait()
    for _ in range(ROUNDS + 1):
        graph.replay()
        torch.cuda.synchronize(device)
        moments.append(time.perf_counter())
    seconds = [(after - before) / EXCHANGES for before, after in pairwise(moments)]
    ranks.agree({str(i): value for i, value in enumerate(values)}, "after exchanges alone")
    del graph
    ranks.wait()
    if ranks.peers is not None:
        ranks.peers.close()
    return statistics.median(seconds)

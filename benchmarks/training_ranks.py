"""Training speed on several GPUs: the built-in head with the `paper` preset's losses.

    torchrun --standalone --nproc-per-node 2 benchmarks/training_ranks.py OUT [--each 8,1] [--whole] \\
        [--ways "nccl;kernel;mixed"]

Times one process alone on its GPU, in turn with all together on batches as many times as large, so that each
draws as many views a step as the one does alone: once for each way of exchanging gradients
(`benchmarks.gradient_ways`, whose exchanges are timed alone, too), with ``--whole`` also exchanging every row
of every gradient. The first process prints and writes a Markdown table. Its last column tells how long
exchanges run in a step, copy engines where the profiler tells their copies from others, and for how much of
that nothing else does on the first GPU, which holds waiting for the other process, too.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks import gradient_ways, training_gpu
from benchmarks.gradient_ways import WAYS, Way
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.folder import environment
from surfhead.runs.train import make_trainer
from surfhead.training.gradient_exchange import SAVING, GradientExchange
from surfhead.training.ranks import ALONE, Ranks, joined

ROUNDS = 5
FEWER = ("nccl", "mixed", "meeting", "nothing")  # ways that are compared where a step draws several views
# in the names of what exchanges, as the profiler gives them
EXCHANGING = ("nccl", "to_peer", "with_peer", "barrier_kernel", "signal_kernel", "ptop")
PROFILED = 10  # steps
EVERYTHING = 1 << 62  # bytes that no rows save


@dataclass(frozen=True)
class Counted(Ranks):
    """Notes the bytes of each exchange that the host begins."""

    sent: list[int] = field(default_factory=list)

    def begin_average(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        self.sent.append(sum(value.nbytes for value in tensors))
        return super().begin_average(tensors)


class Contender:
    """One way to train, timed in turn with the others so that they meet the same conditions."""

    def __init__(
        self,
        each: int,
        ranks: Ranks,
        device: torch.device,
        arguments: argparse.Namespace,
        way: str = "nccl",
        saving: int = SAVING,
    ) -> None:
        settings = training_gpu.settings(10_000_000, each * ranks.count, arguments)
        config = configure(preset="paper", settings={**settings, "device": device.type, "observers": {}})
        run = make_trainer(config, open_scene(config), arguments.out / "run", device, ranks=ranks)
        training_gpu.settle(run, arguments)
        chosen: Way = WAYS[way]
        among = chosen.among(ranks, device) if ranks.count > 1 else ranks
        counted = Counted(ranks.number, ranks.count, ranks.device, among.peers)
        run._exchange = GradientExchange(counted, chosen.bucket, saving=saving)
        groups = (
            run.optimiser.groups
        )  # nothing is learnt: a scene that changes would change the time of a step
        groups.update({name: replace(group, factor=0.0) for name, group in groups.items()})
        ranks.spread([value for _, value in run.optimiser.named()])
        run.feed.prefetch(run.order.views)
        self.run, self.ranks, self.each, self.device = run, ranks, each, device
        self.rows = "every" if saving == EVERYTHING else "that learn"
        self.way, self.peers = way if ranks.count > 1 else "", among.peers
        self.steps = max(40, (arguments.steps or 1600) // each)
        self.times: list[float] = []
        for view in run.order.views:  # every picture is decoded before the clock runs
            run.feed.batch(np.asarray([view]))
        run.step()
        self.sent = sum(counted.sent) / 1e6
        for _ in range(10):
            run.step()

    def measure(self) -> None:
        """Time a round of steps."""
        self.ranks.wait()
        _finish(self.device)
        began = time.perf_counter()
        for _ in range(self.steps):
            self.run.step()
        _finish(self.device)
        self.times.append((time.perf_counter() - began) / self.steps)

    def exchanges(self) -> tuple[float, float] | None:
        """Milliseconds of a step in which exchanges run, and in which nothing else does; None alone."""
        if self.device.type != "cuda" or self.ranks.count == 1:
            return None
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            for _ in range(PROFILED):
                self.run.step()
            _finish(self.device)
        spans: list[list[tuple[float, float]]] = [[], []]  # of other work, of exchanges
        for event in found.events():
            if event.device_type == torch.autograd.DeviceType.CUDA:
                span = event.time_range.start, event.time_range.end
                spans[any(word in event.name.lower() for word in EXCHANGING)].append(span)
        alone = _covered(spans[0] + spans[1]) - _covered(spans[0])
        return _covered(spans[1]) / 1000 / PROFILED, alone / 1000 / PROFILED

    def close(self) -> dict[str, Any]:
        """What was measured."""
        exchanges = self.exchanges()
        self.ranks.agree(dict(self.run.optimiser.named()), "after the benchmark")
        self.run.feed.close()
        captured, middle = self.run._captured, statistics.median(self.times)
        row = {
            "processes": self.ranks.count,
            "views_each": self.each,
            "surfels": len(self.run.avatar.surfels),
            "stage": self.run.avatar.appearance.stage(),
            "way": self.way,
            "rows": self.rows if self.ranks.count > 1 else "",
            "exchanged_mb": self.sent,
            "graph": captured is not None and captured.captured,
            "graph_failure": str(captured.failure if captured else None)[:300],
            "step_ms": [1000 * value for value in self.times],
            "images_per_second": self.each * self.ranks.count / middle,
            "exchanges_ms": exchanges,
        }
        if captured is not None:
            captured.drop()
        self.ranks.wait()
        if self.peers is not None:
            self.peers.close()
        return row


def _covered(spans: list[tuple[float, float]]) -> float:
    """How long at least one of these spans of time lasts."""
    total, end = 0.0, -math.inf
    for first, last in sorted(spans):
        total += max(last - max(first, end), 0.0)
        end = max(end, last)
    return total


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", default="8,1", help="views a process and step")
    parser.add_argument("--steps", type=int, default=0, help="views a process timed at once; 0: 1600")
    parser.add_argument("--whole", action="store_true", help="also exchange every row of every gradient")
    parser.add_argument(
        "--ways", default="", help=f"of {'; '.join(WAYS)}, between semicolons; with several views: {FEWER}"
    )
    training_gpu.add_scene(parser)
    arguments = parser.parse_args()
    rows = []
    with joined(arguments.device) as (ranks, device):
        config = configure(preset="paper", settings=training_gpu.settings(1000, ranks.count, arguments))
        with ranks.in_turn():
            open_scene(config)  # draws the data, once
        for each in map(int, arguments.each.split(",")):
            savings = [SAVING, EVERYTHING] if arguments.whole else [SAVING]
            together = [
                Contender(each, ranks, device, arguments, way, saving)
                for way in _ways(arguments.ways, each, ranks)
                for saving in savings
            ]
            alone = Contender(each, ALONE, device, arguments) if ranks.first else None
            for _ in range(ROUNDS):
                ranks.wait()
                if alone is not None:
                    alone.measure()
                for contender in together:
                    contender.measure()
            rows += [alone.close()] if alone is not None else []
            rows += [contender.close() for contender in together]
            ranks.wait()
        bare = gradient_ways.alone(ranks, device) if device.type == "cuda" and ranks.count > 1 else []
        if not ranks.first:
            return
    lines = [
        "| processes | way | rows | MB | views each | step, ms (range) | images/s | ratio "
        "| exchange, ms (alone) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one = next(r for r in rows if r["processes"] == 1 and r["views_each"] == row["views_each"])
        times, ratio = row["step_ms"], row["images_per_second"] / one["images_per_second"]
        lines.append(
            f"| {row['processes']} | {row['way']} | {row['rows']} | {row['exchanged_mb']:.1f} "
            f"| {row['views_each']} | {statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f}) "
            f"| {row['images_per_second']:.0f} | {ratio:.3f} | {_words(row['exchanges_ms'])} |"
        )
    print(f"Stage of the appearance: {rows[0]['stage']}.\n", *lines, "", *bare, sep="\n", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {"environment": environment(), "rows": rows, "table": lines, "exchanges": bare}
    (arguments.out / "training_ranks.json").write_text(json.dumps(found, indent=1))
    for row in rows:
        if not row["graph"] and arguments.device != "cpu":
            print(f"{row['processes']} x {row['views_each']}: not captured: {row['graph_failure']}")


def _ways(asked: str, each: int, ranks: Ranks) -> list[str]:
    """Names of the ways to compare; NCCL's alone where there is no peer memory."""
    names = asked.split(";") if asked else list(WAYS) if each == 1 else list(FEWER)
    return [name for name in names if ranks.peers is not None or not WAYS[name].peers]


def _words(exchanges: tuple[float, float] | None) -> str:
    return "" if exchanges is None else f"{exchanges[0]:.3f} ({exchanges[1]:.3f})"


if __name__ == "__main__":
    main()

"""A grid of runs, several seeds each.

Every member is one run directory made by its own process, so a failing member does not take the others
with it, and a grid that was stopped finishes only what is missing.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import threading
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from surfhead.core.errors import OptionError
from surfhead.files.bounds import read_json
from surfhead.files.writing import write_text
from surfhead.runs import attached
from surfhead.runs.existing import CONFIG

DONE = "finished.json"
ARGUMENTS = "arguments.json"
FAILURE = "failure.txt"
METRICS = "metrics.jsonl"
TAIL = 4096  # bytes of it in which its last lines are


@dataclass(frozen=True)
class Member:
    """One run of a grid.

    Attributes:
        variant: what it is called in the table.
        seed: of the run.
        arguments: further arguments of `surfhead train`.
        folder: its run directory.
    """

    variant: str
    seed: int
    arguments: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """How a member ended: ``error`` is empty when it finished; ``seconds`` it took just now."""

    member: Member
    error: str = ""
    seconds: float = 0.0


def members(
    out: Path,
    *,
    presets: Sequence[str] = (),
    deformers: Sequence[str] = (),
    appearances: Sequence[str] = (),
    seeds: int = 1,
    arguments: Sequence[str] = (),
) -> list[Member]:
    """The grid: every preset, or every deformer with every appearance, times the seeds.

    Args:
        out: folder of the whole grid.
        arguments: passed on to each `surfhead train`, such as the data folder and --iterations.
    """
    variants: list[tuple[str, list[str]]] = [(name, ["--preset", name]) for name in presets]
    for deformer in deformers or ((None,) if not presets else ()):
        for appearance in appearances or (None,):
            chosen = [x for x in (deformer, appearance) if x]
            if chosen:
                words = ["--deformer", deformer] if deformer else []
                words += ["--appearance", appearance] if appearance else []
                variants.append((" ".join(chosen), [str(w) for w in words]))
    return [
        Member(
            name,
            seed,
            (*arguments, *words, "--seed", str(seed)),
            out / f"{name.replace(' ', '-')}-seed{seed}",
        )
        for name, words in variants
        for seed in range(seeds)
    ]


def run_members(
    grid: Sequence[Member],
    *,
    jobs: int = 1,
    threads: int | None = None,
    devices: Sequence[str] = (),
    report: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run what is not finished yet. An interruption stops those that run, each with a checkpoint.

    Args:
        grid: the members.
        jobs: how many run at a time.
        threads: CPU threads of each; None leaves the default.
        devices: devices handed round, such as ("cuda:0", "cuda:1"); empty: each decides.
        report: called after each member.

    Raises:
        OptionError: a member's folder holds a run made with other arguments.
    """
    for member in grid:
        check_arguments(member)
    free = list(itertools.islice(itertools.cycle(devices), max(jobs, len(devices)))) if devices else []
    stop = threading.Event()

    def one(member: Member) -> Outcome:
        if (member.folder / DONE).exists():
            return Outcome(member)
        if stop.is_set():
            return Outcome(member, "not started")
        device = free.pop(0) if free else ""
        began = time.perf_counter()
        try:
            error = _run(member, device, threads, stop)
        finally:
            if device:
                free.append(device)
        outcome = Outcome(member, error, time.perf_counter() - began)
        if not error:
            write_text(member.folder / DONE, json.dumps({"seconds": outcome.seconds}))
        if report is not None:
            report(outcome)
        return outcome

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        try:
            return list(pool.map(one, grid))
        except BaseException:
            stop.set()
            raise


def share_done(member: Member) -> float:
    """How much of a member is done, 0 to 1: as far as what it wrote last says."""
    if (member.folder / DONE).exists():
        return 1.0
    try:
        length = tomllib.loads((member.folder / CONFIG).read_text(encoding="utf-8"))["iterations"]
        with (member.folder / METRICS).open("rb") as file:
            file.seek(-min(TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
            lines = file.read().decode("utf-8", errors="replace").splitlines()
        images = max(
            json.loads(line)["images"] for line in lines if line.startswith("{") and line.endswith("}")
        )
        return min(float(images) / float(length), 1.0)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0  # it has not begun, or is just writing


def check_arguments(member: Member) -> None:
    """Raise OptionError unless the member's folder is empty, or holds what the same arguments began."""
    path = member.folder / ARGUMENTS
    if not path.exists():
        return
    try:
        before = read_json(path, 1 << 24)
    except (OSError, ValueError, RecursionError):
        before = None
    if not isinstance(before, list) or not all(isinstance(word, str) for word in before):
        before = ["(unreadable)"]
    if before != list(member.arguments):
        raise OptionError(
            f'"{member.folder}" was made with other arguments: {shlex.join(before)}',
            f"Now they are: {shlex.join(member.arguments)}",
            "Choose another --out, or remove this folder.",
        )


def _run(member: Member, device: str, threads: int | None, stop: threading.Event) -> str:
    """Train a member in a process of its own; gives the first line of what went wrong, or nothing."""
    resume = (member.folder / "config.toml").exists()
    environment = dict(os.environ)
    words = ["--resume"] if resume else list(member.arguments)
    if device.startswith("cuda"):
        # the process sees this GPU alone, so that it can be continued on another
        environment["CUDA_VISIBLE_DEVICES"] = _visible(device, environment)
        device = "cuda"
    if device and not resume:
        words += ["--device", device]
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    member.folder.mkdir(parents=True, exist_ok=True)
    write_text(member.folder / ARGUMENTS, json.dumps(member.arguments))
    code, said = attached.run(["train", *words, "--out", str(member.folder), "--quiet"], environment, stop)
    if code == 0:
        (member.folder / FAILURE).unlink(missing_ok=True)
        return ""
    write_text(member.folder / FAILURE, said)
    if stop.is_set():
        return "interrupted"
    return first_line(said, code)


def first_line(said: str, code: int) -> str:
    """What went wrong in a run that ended with ``code``, in one line of what it ``said``."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("warning: ")]
    if not lines:
        return f"exit code {code}"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _visible(device: str, environment: Mapping[str, str]) -> str:
    """What CUDA_VISIBLE_DEVICES is for one of the devices that are visible now."""
    number = int(device.partition(":")[2] or 0)
    named = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[number] if number < len(named) else str(number)


def gpus() -> list[str]:
    """The GPUs of this machine, such as ["cuda:0", "cuda:1"], where there are several."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(count)] if count > 1 else []


def finished(grid: Sequence[Member]) -> dict[str, list[Path]]:
    """Variant -> the folders of its finished runs, in the grid's order."""
    made: dict[str, list[Path]] = {}
    for member in grid:
        if (member.folder / DONE).exists():
            made.setdefault(member.variant, []).append(member.folder)
    return made

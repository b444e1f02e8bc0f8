"""Runs the members of a grid on a Ray cluster: an existing one, or one that is started here.

A member is a task with its share of CPUs and GPUs. It trains in a folder of its machine and sends back what
is new with every checkpoint, so the grid's folder always holds what a lost worker, a killed driver or a
stopped grid continues from, just as on one machine. Nothing need be shared between the machines.
"""

from __future__ import annotations

import importlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import surfhead
from surfhead.core.errors import OptionError, UnavailableError
from surfhead.files.writing import write_text
from surfhead.kernels.sources import LIBRARY, NOTE, native_folders, tree
from surfhead.runs import ablation, parcels, ray_task
from surfhead.runs.ablation import Member, Outcome

PIECE = 64 * 2**20  # bytes of an archive that travel as one
FILES = ("--plugin", "--config", "--from")  # options whose value is a file or a folder
OWN = {ablation.ARGUMENTS, ablation.DONE, ablation.FAILURE}
THREADS = 256  # members that are waited for at a time


@dataclass(frozen=True)
class Shares:
    """What each run gets, and how often it may be lost.

    Attributes:
        cpus, gpus: of a run; None: one CPU, and one GPU where the cluster has any. Parts of a GPU are shared.
        threads: CPU threads; None: as many as CPUs.
        retries: how often a run whose worker was lost is started again.
        every: seconds between two looks at whether a run has left a checkpoint.
    """

    cpus: float | None = None
    gpus: float | None = None
    threads: int | None = None
    retries: int = 3
    every: float = 20.0


def ray_module() -> Any:
    """Ray. Raises UnavailableError naming the extra where it is missing."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UnavailableError(
            "Ray is not installed, which --cluster ray needs.",
            "",
            'Install it: pip install "surfhead[cluster]"',
        ) from error


def run_members(
    grid: Sequence[Member],
    shares: Shares | None = None,
    report: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run on a cluster what is not finished yet; see ``ablation.run_members``.

    The cluster is that of ``RAY_ADDRESS`` or the one running on this machine; else one is started here.

    Raises:
        UnavailableError: Ray is missing, or the cluster does not answer.
        OptionError: a member's folder holds a run made with other arguments, or no machine of the cluster has
            what a run should get.
    """
    for member in grid:
        ablation.check_arguments(member)
    missing = [member for member in grid if not (member.folder / ablation.DONE).exists()]
    if not missing:
        return [Outcome(member) for member in grid]
    ray = ray_module()
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UnavailableError(
                f"The Ray cluster does not answer: {str(error).splitlines()[0]}",
                "Expected the cluster of RAY_ADDRESS, or room to start one here.",
                "Check `ray status`, or leave RAY_ADDRESS out.",
            ) from error
    try:
        runner = _Runner(ray, shares or Shares(), report)
        outcomes = runner.run(missing)
    finally:
        if started:
            ray.shutdown()
    return [outcomes.get(member.folder, Outcome(member)) for member in grid]


class _Runner:
    """The members in flight."""

    def __init__(self, ray: Any, shares: Shares, report: Callable[[Outcome], None] | None) -> None:
        self.ray = ray
        self.shares = shares
        self.report = report
        self.stop = threading.Event()
        self.flying: set[Any] = set()
        self.lock = threading.Lock()
        self.kept: dict[str, ray_task.Parcel] = {}
        cpus = 1.0 if shares.cpus is None else shares.cpus
        gpus = float(ray.cluster_resources().get("GPU", 0) > 0) if shares.gpus is None else shares.gpus
        _check_room(ray, cpus, gpus)
        self.device = "cuda" if gpus > 0 else "cpu"
        self.threads = shares.threads or max(1, int(cpus))
        for module in (parcels, ray_task):
            ray.cloudpickle.register_pickle_by_value(module)
        # lost workers are told apart from failing runs here, with what was gathered before
        self.task = ray.remote(ray_task.task).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=0, num_returns="streaming"
        )
        self.code = self._code()

    def run(self, grid: Sequence[Member]) -> dict[Path, Outcome]:
        with ThreadPoolExecutor(min(len(grid), THREADS)) as pool:
            try:
                return {outcome.member.folder: outcome for outcome in pool.map(self._one, grid)}
            except BaseException:
                self.stop.set()
                with self.lock:
                    for generator in self.flying:
                        self.ray.cancel(generator)
                raise

    def _one(self, member: Member) -> Outcome:
        began = time.perf_counter()
        error = self._followed(member)
        outcome = Outcome(member, error, time.perf_counter() - began)
        if not error:
            (member.folder / ablation.FAILURE).unlink(missing_ok=True)
            write_text(member.folder / ablation.DONE, json.dumps({"seconds": outcome.seconds}))
        with self.lock:
            if self.report is not None:
                self.report(outcome)
        return outcome

    def _followed(self, member: Member) -> str:
        """What went wrong, or nothing."""
        for attempt in itertools.count():
            if self.stop.is_set():
                return "interrupted" if attempt else "not started"
            member.folder.mkdir(parents=True, exist_ok=True)
            write_text(member.folder / ablation.ARGUMENTS, json.dumps(member.arguments))
            try:
                last = self._once(member)
            except self.ray.exceptions.TaskCancelledError:
                return "interrupted"
            except self.ray.exceptions.RayTaskError as failure:  # code, data or disk of that machine
                return str(failure).strip().splitlines()[-1]
            except self.ray.exceptions.RayError as failure:
                if attempt >= self.shares.retries:
                    return f"its worker was lost {attempt + 1} times: {type(failure).__name__}"
                continue
            if last.code == 0:
                return ""
            write_text(member.folder / ablation.FAILURE, last.said)
            return ablation.first_line(last.said, last.code or 1)
        raise AssertionError

    def _once(self, member: Member) -> ray_task.News:
        words = list(member.arguments)
        if "--device" not in words and not any(word.startswith("device=") for word in words):
            words += ["--device", self.device]
        held = self._parcels(words)
        begun = (member.folder / ray_task.CONFIG).exists()
        names = [name for name in parcels.listing(member.folder) if name not in OWN]
        start = parcels.pack(member.folder, names) if begun else b""
        job = ray_task.Job(
            member.folder.name, tuple(words), start, self.code, held, self.threads, self.shares.every
        )
        generator = self.task.remote(job)
        with self.lock:
            self.flying.add(generator)
        if self.stop.is_set():
            self.ray.cancel(generator)
        try:
            last: ray_task.News | None = None
            for reference in generator:
                last = self.ray.get(reference)
                _gather(last, member.folder)
        finally:
            with self.lock:
                self.flying.discard(generator)
        if last is None or last.code is None:
            raise self.ray.exceptions.WorkerCrashedError
        return last

    def _parcels(self, words: list[str]) -> tuple[ray_task.Parcel, ...]:
        """What the arguments name of this machine; their words become absolute paths."""
        places = [i + 1 for i, word in enumerate(words[:-1]) if word in FILES]
        places += [0] if words and not words[0].startswith("-") else []
        held = []
        for place in places:
            path = Path(words[place]).expanduser()
            if path.exists():
                words[place] = str(path.resolve())
                held.append(self._parcel(path.resolve()))
        return tuple(held)

    def _parcel(self, path: Path) -> ray_task.Parcel:
        with self.lock:  # one copy for all members
            if str(path) not in self.kept:
                names = [path.name] if path.is_file() else [f"{path.name}/{n}" for n in parcels.listing(path)]
                pieces = tuple(self.ray.put(piece) for piece in _pieces(path.parent, names))
                digest, key = parcels.likeness(path), parcels.identity(path)
                self.kept[str(path)] = ray_task.Parcel(str(path), digest, key, pieces)
            return self.kept[str(path)]

    def _code(self) -> ray_task.Parcel:
        """The package and what it needs beside it, in the layout of a source tree or of an installation."""
        package = Path(surfhead.__file__).resolve().parent
        root = tree() or package.parent
        files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        files += [path for path in (root / "cuda_kernels").rglob("*") if path.is_file()]
        files += [folder / name for folder in native_folders() for name in (LIBRARY, NOTE)]
        names = sorted(
            {p.relative_to(root).as_posix() for p in files if p.is_file() and p.is_relative_to(root)}
        )
        pieces = tuple(self.ray.put(piece) for piece in _pieces(root, names))
        digest = parcels.contents_digest(package, "*.py")
        return ray_task.Parcel(str(root), digest, f"code-{digest}", pieces)


def _pieces(folder: Path, names: Sequence[str]) -> Iterator[bytes]:
    """Archives of some files each, so that none is much larger than ``PIECE`` (or its largest file)."""
    held: list[str] = []
    size = 0
    for name in names:
        held.append(name)
        size += (folder / name).stat().st_size
        if size >= PIECE:
            yield parcels.pack(folder, held)
            held, size = [], 0
    if held:
        yield parcels.pack(folder, held)


def _gather(news: ray_task.News, folder: Path) -> None:
    """Bring a run's folder here to where it is there."""
    parcels.unpack(news.files, folder)
    for name in parcels.listing(folder):
        if name not in news.names and name not in OWN:
            (folder / name).unlink(missing_ok=True)


def _check_room(ray: Any, cpus: float, gpus: float) -> None:
    """Raise OptionError unless some machine has so many CPUs and GPUs: Ray would wait for one for ever."""
    if cpus < 0 or gpus < 0:
        raise OptionError(
            f"A run should get {cpus:g} CPUs and {gpus:g} GPUs.",
            "Expected 0 or more.",
            "Mend --cpus or --gpus.",
        )
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(m.get("CPU", 0) >= cpus and m.get("GPU", 0) >= gpus for m in machines):
        most = ", ".join(f"{m.get('CPU', 0):g} CPUs and {m.get('GPU', 0):g} GPUs" for m in machines)
        raise OptionError(
            f"No machine of the cluster has {cpus:g} CPUs and {gpus:g} GPUs for a run.",
            f"They have: {most}.",
            "Lower --cpus or --gpus, or add machines.",
        )

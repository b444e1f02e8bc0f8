"""What a machine of a cluster does for one member of a grid: find or unpack code and data, train, send back.

Goes there by value (``ray.cloudpickle``), so that surfhead need not be installed; imports the standard
library and ``parcels`` alone.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surfhead.runs import parcels

CONFIG = "config.toml"
PATIENCE = 60.0  # seconds a run has to leave a checkpoint before it is ended for good
LAUNCH = (
    "import sys; from surfhead.runs.attached import leave_with_parent; leave_with_parent(); "
    "from surfhead.cli import main; sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Parcel:
    """Something a run needs that may lie on a machine already.

    Attributes:
        place: its path where the grid was started.
        digest: ``likeness`` of it, or of the package's code ``contents_digest``.
        key: where it is unpacked, another for each thing.
        pieces: references to its archive, in pieces; none where it is expected to be there.
    """

    place: str
    digest: str
    key: str
    pieces: tuple[Any, ...]


@dataclass(frozen=True)
class Job:
    """One member.

    Attributes:
        name: of its folder.
        arguments: of `surfhead train`, without --out and --resume.
        start: archive of what there is of the run already; empty for a new one.
        code: the package; its ``place`` is the folder that is imported from.
        parcels: data, plugins and files that the arguments name.
        threads: CPU threads; None leaves the default.
        every: seconds between two looks at whether there is something new to send.
    """

    name: str
    arguments: tuple[str, ...]
    start: bytes
    code: Parcel
    parcels: tuple[Parcel, ...]
    threads: int | None
    every: float


@dataclass(frozen=True)
class News:
    """What has changed in a run's folder since the last time, and its end.

    Attributes:
        files: archive of new and changed files.
        names: all files there are.
        code: exit code once it has ended.
        said: its standard error then.
    """

    files: bytes
    names: tuple[str, ...]
    code: int | None = None
    said: str = ""


def room() -> str:
    """The folder of this user below that of temporary files."""
    return f"surfhead-cluster-{os.getuid()}"


def task(job: Job) -> Iterator[News]:
    """``work``, as a task of Ray."""
    import ray

    yield from work(job, ray.get)


def work(job: Job, fetch: Callable[[Any], Any]) -> Iterator[News]:
    """Train the member; gives news whenever a checkpoint is there, and at the end.

    Args:
        job: what to do.
        fetch: gives the value of a reference.
    """
    base = Path(tempfile.gettempdir()) / room()
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if base.stat().st_uid != os.getuid():  # another's folder could hold another's code
        raise PermissionError(f"{base} belongs to another user")
    code = _code(job.code, base, fetch)
    local = {parcel.place: str(_there(parcel, base, fetch)) for parcel in job.parcels}
    with tempfile.TemporaryDirectory(prefix="run-", dir=base) as scratch:
        folder = Path(scratch) / job.name
        folder.mkdir()
        if job.start:
            parcels.unpack(job.start, folder)
            _exchange(folder / CONFIG, local)
        words = [local.get(word, word) for word in job.arguments]
        if (folder / CONFIG).exists():
            plugins = [i for i, word in enumerate(words) if word == "--plugin"]
            words = ["--resume", *(word for i in plugins for word in words[i : i + 2])]
        home = {CONFIG: {there: place for place, there in local.items() if there != place}}
        yield from _trained(job, ["train", *words, "--out", str(folder), "--quiet"], folder, code, home)


def _trained(
    job: Job, words: list[str], folder: Path, code: Path, home: dict[str, dict[str, str]]
) -> Iterator[News]:
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(code), environment.get("PYTHONPATH"))))
    if job.threads is not None:
        environment |= {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    sent = parcels.listing(folder)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *words], env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        try:
            while True:
                try:
                    ended = process.wait(job.every)
                    break
                except subprocess.TimeoutExpired:
                    now = parcels.listing(folder)
                    if any("checkpoint" in name for name in parcels.changed(sent, now)):
                        yield News(parcels.pack(folder, parcels.changed(sent, now), home), tuple(now))
                        sent = now
        finally:  # also where this is cancelled: the run ends with a checkpoint, as after Ctrl-C
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        now = parcels.listing(folder)
        said.seek(0)
        text = said.read().replace(str(folder), job.name)
        yield News(parcels.pack(folder, parcels.changed(sent, now), home), tuple(now), ended, text)


def _code(parcel: Parcel, base: Path, fetch: Callable[[Any], Any]) -> Path:
    """The folder to import surfhead from: where it is installed, if that is the same, else what was sent."""
    found = importlib.util.find_spec("surfhead")
    if found is not None and found.origin is not None:
        package = Path(found.origin).parent
        if parcels.contents_digest(package, "*.py") == parcel.digest:
            return package.parent
    return _unpacked(parcel, base, fetch)


def _there(parcel: Parcel, base: Path, fetch: Callable[[Any], Any]) -> Path:
    """Where something lies: at the same path, if that is the same, else where it was unpacked."""
    same = Path(parcel.place)
    if same.exists() and parcels.likeness(same) == parcel.digest:
        return same
    return _unpacked(parcel, base, fetch) / same.name


def _unpacked(parcel: Parcel, base: Path, fetch: Callable[[Any], Any]) -> Path:
    target = base / parcel.key
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="parcel-", dir=base) as beside:
            inner = Path(beside) / "whole"
            inner.mkdir()
            for piece in parcel.pieces:
                parcels.unpack(fetch(piece), inner)
            try:
                inner.rename(target)
            except OSError:  # another run of this machine was faster
                if not target.exists():
                    raise
    return target


def _exchange(file: Path, texts: dict[str, str]) -> None:
    """Put texts in the place of others, where the file is there."""
    if file.exists():
        content = file.read_text(encoding="utf-8")
        for old, new in texts.items():
            content = content.replace(old, new)
        file.write_text(content, encoding="utf-8")

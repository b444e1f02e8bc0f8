"""Ends commands with SIGKILL at moments chosen by what stands on the disk, and looks at what is left.

A moment is a number of files or checkpoints that are there, or a part of one that is being written: so every
kill falls into work, on a fast machine and on a busy one.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.attack.rows import PATIENCE, SETTINGS, SYNTH, TINY, Row, command, said
from benchmarks.attack.wholeness import damaged
from surfhead.core.errors import SurfheadError
from surfhead.runs.run import load_avatar
from surfhead.training import checkpoint

Words = tuple[str, ...]
FULL = ("data.timesteps=2", "data.test_timesteps=1", "data.cameras=4", "checkpoint.every=2")
DEFAULT_SIZE = (
    *("--device", "cpu", "--quiet", "--iterations", "16"),
    *(word for text in FULL for word in ("--set", text)),
)
MESH = ("--voxel-mm", "4", "--views", "4", "--size", "96")


def wait(
    process: subprocess.Popen[bytes], wanted: int, found: Callable[..., int | list[Path]], *where: Any
) -> bool:
    """Look at the disk until so much is found there; False where the process ended before."""
    ends = time.monotonic() + PATIENCE
    while True:
        there = found(*where)
        if (there if isinstance(there, int) else len(there)) >= wanted:
            return True
        if process.poll() is not None:
            return False
        if time.monotonic() > ends:
            raise TimeoutError(f"{process.args} has not got so far in {PATIENCE} s")
        time.sleep(0.0)  # a part of a small file stands for less than a millisecond


def checkpoints(run: Path) -> list[Path]:
    """Those of a run that have their final names."""
    return sorted((run / "checkpoints").glob("[0-9]*"))


def parts(folder: Path) -> list[Path]:
    """What is being written in a folder."""
    try:
        return [path for path in folder.iterdir() if path.name.startswith(".") and ".partial" in path.name]
    except FileNotFoundError:
        return []


def members_checkpoints(out: Path) -> list[Path]:
    """Those of all members of a grid."""
    return sorted(out.glob("*/checkpoints/[0-9]*"))


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def noted(problems: list[str], late: int, note: str) -> str:
    """What a row says: the problems, or what was seen."""
    return "; ".join(problems) or note + (f"; {late} came too late" if late else "")


def lost(run: Path, before: str) -> str:
    """What a kill cost, where it cost something: its newest checkpoint must load and be no older."""
    newest = checkpoint.latest(run)
    if newest is None:
        return "no checkpoint" if before else ""
    try:
        load_avatar(run, device="cpu")
    except SurfheadError as error:
        return error.what
    if checkpoint.label(newest) < before:
        return f"{before} was there, {newest.name} is found"
    wrong = damaged(run)
    return wrong[0] if wrong else ""


def training(count: int, folder: Path, chance: random.Random, words: Words, most: int, name: str) -> Row:
    """Ends training once so many checkpoints are there, every other time while the next is being written."""
    problems, late, within, resumed = [], 0, 0, 0
    for number in range(count):
        run, wanted = folder / f"{name}-{number}", chance.randint(1, most - 1)
        with command("train", *words, "--out", str(run)) as process:
            late += not wait(process, wanted, checkpoints, run)
            if number % 2:
                late += not wait(process, 1, parts, run / "checkpoints")
            else:
                time.sleep(chance.uniform(0.0, 0.5))
            there = checkpoints(run)
            process.kill()
            process.wait()
        within += bool(parts(run / "checkpoints"))
        if problem := lost(run, there[-1].name if there else ""):
            problems.append(problem)
        if number % 5 == 0 and checkpoint.latest(run):  # and it goes on to its end
            code, text = said("train", "--resume", "--quiet", "--out", str(run))
            resumed += 1
            if code or damaged(run):
                problems.append(f"resume: {code} {text[-80:]}")
        shutil.rmtree(run)
    note = f"{within} while a checkpoint was written; newest loads, none lost, every file whole; "
    return Row(f"kill: {name}", count, len(problems), noted(problems, late, note + f"{resumed} resumed"))


def grid(count: int, folder: Path, chance: random.Random) -> Row:
    """Ends `ablate` once so many checkpoints of its members are there; then it is run again to its end."""
    problems, late, members = [], 0, 0
    words = (
        *("ablate", "--deformer", "lbs,jbs", "--seeds", "1", "--preset", "tiny", "--iterations", "24"),
        *SETTINGS,
        *("--set", "checkpoint.every=4"),
    )
    for number in range(count):
        out, wanted = folder / f"grid-{number}", chance.randint(1, 11)
        with command(*words, "--out", str(out)) as process:
            late += not wait(process, wanted, members_checkpoints, out)
            before = {path.parent: path for path in members_checkpoints(out)}
            process.kill()
            process.wait()
        for path in out.glob("*/config.toml"):  # a member ends with its starter, with a checkpoint
            ends = time.monotonic() + PATIENCE
            while locked(path.parent) and time.monotonic() < ends:
                time.sleep(0.2)
            known = before.get(path.parent / "checkpoints")
            members += 1
            if problem := lost(path.parent, known.name if known else ""):
                problems.append(problem)
        problems += damaged(out)
        if number == 0:
            code, text = said(*words, "--out", str(out))
            if code or len(list(out.glob("*/finished.json"))) != 2:
                problems.append(f"again: {code} {text[-80:]}")
        shutil.rmtree(out)
    note = f"{members} members had begun; newest loads, none lost, every file whole; one grid finished after"
    return Row("kill: ablate", count, len(problems), noted(problems, late, note))


def locked(run: Path) -> bool:
    """Whether a process writes a run."""
    import filelock

    try:
        with filelock.FileLock(run / ".lock", timeout=0):
            return False
    except filelock.Timeout:
        return True


def pictures(count: int, folder: Path, chance: random.Random) -> Row:
    """Ends `synth` once so many of its files are there."""
    whole = folder / "drawn"
    code, text = said("synth", str(whole), *SYNTH)
    if code:
        return Row("kill: synth", 1, 1, text[-80:])
    every = len(files(whole))
    problems, late, there = [], 0, 0
    for number in range(count):
        target = folder / f"drawn-{number}"
        wanted = every * (number + 1) // (count + 1)
        with command("synth", str(target), *SYNTH) as process:
            late += not wait(process, wanted, files, target)
            process.kill()
            process.wait()
        there += len(files(target))
        problems += damaged(target)
        shutil.rmtree(target)
    note = f"{there} of {every * count} files were there, each whole"
    return Row("kill: synth", count, len(problems), noted(problems, late, note))


def one_file(count: int, folder: Path, chance: random.Random, words: Words, name: str, file: str) -> Row:
    """Ends a command that writes one file, mostly while it is written; an earlier one of its name is there.

    The k-th kill is once k parts of the file's length are there, the last once it has its final name.
    """
    whole = folder / f"{name}-whole"
    whole.mkdir()
    code, text = said(*words, "--out", str(whole / file))
    if code:
        return Row(f"kill: {name}", 1, 1, text[-80:])
    length, new = (whole / file).stat().st_size, (whole / file).read_bytes()
    earlier = new[: len(new) // 2] + b"an earlier one"
    problems, late, within, replaced = [], 0, 0, 0
    for number in range(count):
        target = folder / f"{name}-{number}"
        target.mkdir()
        (target / file).write_bytes(earlier)
        least = 1 + length * number // count
        with command(*words, "--out", str(target / file)) as process:
            late += not wait(process, least, written, target, file, len(earlier))
            process.kill()
            process.wait()
        within += bool(parts(target))
        content = (target / file).read_bytes()
        replaced += content != earlier
        if content != earlier and (len(content) != length or damaged(target)):
            problems.append(f"{len(content)} of {length} bytes")
        shutil.rmtree(target)
    note = (
        f"{within} while it was written; the earlier file whole ({count - replaced}) or the new ({replaced})"
    )
    return Row(f"kill: {name}", count, len(problems), noted(problems, late, note))


def written(folder: Path, file: str, before: int) -> int:
    """Bytes of a file that are written beside its place; more than any once it has its place."""
    sizes = [0]
    for path in parts(folder):
        with contextlib.suppress(FileNotFoundError):  # it was just renamed
            sizes.append(1 + path.stat().st_size)
    return max(sizes) if (folder / file).stat().st_size == before else 1 << 60


def kills(count: int, full: int, few: int, folder: Path, chance: random.Random) -> Iterator[Row]:
    """Every kind of kill: ``count`` of training, ``full`` at the default size, ``few`` of each other."""
    run = folder / "run"
    said("train", *TINY, *SETTINGS, "--out", str(run))
    if few:
        jobs: dict[str, tuple[Words, str]] = {
            "export": (("export", str(run)), "a.ply"),
            "export of a page": (("export", str(run), "--format", "html"), "a.html"),
            "mesh": (("mesh", str(run), *MESH), "a.ply"),
        }
        for name, (words, file) in jobs.items():
            yield one_file(few, folder, chance, words, name, file)
        yield pictures(few, folder, chance)
        yield grid(few, folder, chance)
    if count:
        yield training(count, folder, chance, (*TINY, *SETTINGS), 14, "train")
    if full:
        yield training(full, folder, chance, DEFAULT_SIZE, 7, "train at the default size")

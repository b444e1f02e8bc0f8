"""Commands that meet a full or a read-only disk: a small tmpfs with earlier work on it.

Each must fail because of the disk, in three lines and with exit code 2; what stands under a final name is
whole, and the earlier work is what it was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.attack.rows import SETTINGS, SYNTH, TINY, Row, said
from benchmarks.attack.wholeness import contents, damaged

GROWS = ("log", "metrics.jsonl", ".lock", ".filler")  # of a resumed run
SIZE = 64 << 20  # bytes of a small disk
REASONS = ("No space left", "Read-only file system", "not enough", "os error 28")
GROWS = (
    "log",
    "metrics.jsonl",
    ".lock",
    "environment.json",
    "checkpoints",
    "tensorboard",
)  # of a resumed run


@contextlib.contextmanager
def small_disk(folder: Path, size: int = SIZE) -> Iterator[bool]:
    """A tmpfs at ``folder``; False where this user may not mount."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path, left: int) -> None:
    """Leave so many bytes free on the disk of a folder."""
    found = os.statvfs(folder)
    size = max(found.f_bavail * found.f_frsize - left, 0)
    with (folder / ".filler").open("wb") as file:
        block = bytes(1 << 16)
        try:
            for _ in range(size >> 16):
                file.write(block)
            file.write(block[: size % (1 << 16)])
        except OSError:  # the disk counts in pages
            pass


def problem(code: int, text: str, place: Path, before: dict[str, str]) -> str:
    """What is wrong with how a command ended, and with what it left; empty where nothing is."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("warning", "note"))]
    if code != 2 or "Traceback" in text or not any(reason in text for reason in REASONS):
        return f"{code} {text[-160:]}"
    if len(lines) > 3:
        return f"{len(lines)} lines"
    if wrong := damaged(place):
        return wrong[0]
    after = contents(place)
    changed = [name for name, digest in before.items() if after.get(name) != digest]
    return f"{changed[0]} changed" if changed else ""


def disks(folder: Path) -> Iterator[Row]:
    """Commands on full disks of several kinds of fullness, on read-only ones, and with a full cache."""
    run = folder / "run"
    if not run.exists():
        said("train", *TINY, *SETTINGS, "--out", str(run))
    stopped = folder / "stopped"
    shutil.copytree(run, stopped)
    for path in sorted((stopped / "checkpoints").glob("[0-9]*"))[2:]:
        shutil.rmtree(path)
    state = sum(path.stat().st_size for path in (run / "checkpoints" / "00000060").iterdir())
    mesh = ("mesh", str(run), "--voxel-mm", "4", "--views", "4", "--size", "96")
    commands: dict[str, tuple[tuple[str, ...], str, int]] = {  # words, earlier work, bytes a result takes
        "train": (("train", *TINY, *SETTINGS, "--out", "{}/run"), "", state),
        "resume": (("train", "--resume", "--out", "{}/run"), "run", state),
        "export": (("export", str(run), "--out", "{}/a.ply"), "a.ply", 200_000),
        "page": (("export", str(run), "--format", "html", "--out", "{}/a.html"), "a.html", 200_000),
        "mesh": ((*mesh, "--out", "{}/m.ply"), "m.ply", 30_000),
        "render": (("render", str(run), "--frames", "2", "--size", "256", "--out", "{}/r"), "", 30_000),
        "report": (("report", str(run), "--frames", "0", "--out", "{}/report.html"), "report.html", 30_000),
        "synth": (("synth", "{}/s", *SYNTH), "", 60_000),
        "import": (("import", str(folder / "point_cloud.ply"), "{}/i"), "", 200_000),
    }
    whole = folder / "whole"
    for name in ("export", "page", "mesh", "report"):  # earlier work, copied to every disk
        said(*(word.format(whole) for word in commands[name][0]))
    said("export", str(run), "--format", "3dgs", "--out", str(folder / "point_cloud.ply"))
    for kind in ("nearly full", "full", "read-only"):
        notes, tried = [], 0
        for name, (words, earlier, size) in commands.items():
            place = folder / f"{kind.replace(' ', '-')}-{name}"
            with small_disk(place) as mounted:
                if not mounted:
                    continue
                if earlier == "run":
                    shutil.copytree(stopped, place / "run")
                elif earlier:
                    shutil.copy(whole / earlier, place / earlier)
                if kind == "read-only":
                    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
                else:
                    fill(place, 0 if kind == "full" else size // 2)
                before = contents(place, left_out=GROWS)
                code, text = said(*(word.format(place) for word in words), "--quiet")
                tried += 1
                if wrong := problem(code, text, place, before):
                    notes.append(f"{name}: {wrong}")
        note = "three lines naming the disk, exit code 2, earlier work untouched, every file whole"
        said_of = "; ".join(notes) or (note if tried else "may not mount")
        yield Row(f"disk: {kind}", tried, len(notes), said_of)
    with small_disk(folder / "cache", 16 << 10) as mounted:
        if mounted:
            code, _ = said(
                *("train", *TINY, *SETTINGS, "--out", str(folder / "uncached")),
                environment={"SURFHEAD_CACHE": str(folder / "cache")},
            )
            yield Row("disk: full cache", 1, int(code != 0), "training ends well")

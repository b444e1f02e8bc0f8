"""A standing campaign against the package: kills, mutated files, bombs, full and read-only disks, clients.

    python -m benchmarks.attack [--kills N] [--mutants N] [--only NAME]

Prints one table: what was tried, how often, what was lost or undeclared. Disks are small tmpfs mounts where
this user may mount; elsewhere those rows say so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TINY = ("--preset", "tiny", "--device", "cpu", "--quiet", "--iterations", "60", "--set", "checkpoint.every=4")
SMALL = ("data.width=48", "data.height=48", "data.timesteps=4", "data.test_timesteps=2", "data.cameras=4")
SETTINGS = tuple(word for text in SMALL for word in ("--set", text))
SYNTH = tuple(word for text in (*SMALL, "data.detail=1") for word in ("--set", text))


@dataclass
class Row:
    """A line of the table."""

    name: str
    tried: int
    bad: int
    note: str = ""


def command(*words: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A process of `surfhead`."""
    return subprocess.Popen(
        [sys.executable, "-m", "surfhead.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def said(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and standard error."""
    process = command(*words, environment=environment)
    return process.wait(300), (process.communicate()[1] or "")


def kills(count: int, folder: Path, chance: random.Random) -> list[Row]:
    """Ends training, export and meshing at random moments; what is there must be whole."""
    from surfhead.core.errors import SurfheadError
    from surfhead.runs.run import load_avatar
    from surfhead.training import checkpoint

    run = folder / "run"
    began = time.perf_counter()
    said("train", *TINY, *SETTINGS, "--out", str(run))
    length = time.perf_counter() - began
    rows = []
    bad = 0
    for number in range(count):
        target = folder / f"killed-{number}"
        process = command("train", *TINY, *SETTINGS, "--out", str(target))
        time.sleep(chance.uniform(0.3, 1.0) * length)
        process.kill()
        process.communicate()
        newest = checkpoint.latest(target)
        if newest is None:
            continue
        try:
            load_avatar(target, device="cpu")
        except SurfheadError:
            bad += 1
    rows.append(Row("kill: train", count, bad, "newest checkpoint loads"))
    jobs = {
        "export": ("export", str(run), "--out", "{}/a.ply"),
        "mesh": ("mesh", str(run), "--voxel-mm", "4", "--views", "4", "--size", "96", "--out", "{}/a.ply"),
    }
    for name, words in jobs.items():
        bad = 0
        for number in range(count):
            target = folder / f"{name}-{number}"
            target.mkdir()
            process = command(*(word.format(target) for word in words))
            time.sleep(chance.uniform(1.0, 6.0))
            process.kill()
            process.communicate()
            ply = target / "a.ply"
            if ply.exists() and not _whole_ply(ply):
                bad += 1
        rows.append(Row(f"kill: {name}", count, bad, "file whole or absent"))
    rows.append(_killed_grid(count, folder, chance))
    rows.append(_killed_pictures(count, folder, chance))
    return rows


def _killed_grid(count: int, folder: Path, chance: random.Random) -> Row:
    """Ends `ablate`; the newest checkpoint of every member loads."""
    from surfhead.core.errors import SurfheadError
    from surfhead.runs.run import load_avatar
    from surfhead.training import checkpoint

    bad = members = 0
    for number in range(count):
        target = folder / f"grid-{number}"
        words = ("--deformer", "lbs,jbs", "--seeds", "1", "--preset", "tiny", "--iterations", "60")
        process = command("ablate", *words, *SETTINGS, *TINY[-2:], "--out", str(target))
        time.sleep(chance.uniform(10.0, 40.0))
        process.kill()
        process.communicate()
        time.sleep(5.0)  # its members end with it, each with a checkpoint
        for config in target.rglob("config.toml"):
            if checkpoint.latest(config.parent) is not None:
                members += 1
                try:
                    load_avatar(config.parent, device="cpu")
                except SurfheadError:
                    bad += 1
    return Row("kill: ablate", count, bad, f"{members} members had a checkpoint")


def _killed_pictures(count: int, folder: Path, chance: random.Random) -> Row:
    """Ends `synth`; every file under its final name is whole."""
    import json

    import numpy as np
    from PIL import Image

    bad = files = 0
    for number in range(count):
        target = folder / f"drawn-{number}"
        process = command("synth", str(target), *SYNTH)
        time.sleep(chance.uniform(4.0, 15.0))
        process.kill()
        process.communicate()
        for path in target.rglob("[!.]*.*"):
            files += 1
            try:
                if path.suffix == ".png":
                    Image.open(path).load()
                elif path.suffix == ".npz":
                    with np.load(path) as archive:
                        [archive[name] for name in archive.files]
                elif path.suffix == ".json":
                    json.loads(path.read_text("utf-8"))
            except Exception:
                bad += 1
    return Row("kill: synth", count, bad, f"{files} files were there under their final names")


def _whole_ply(path: Path) -> bool:
    from plyfile import PlyData

    try:
        PlyData.read(path)
    except Exception:
        return False
    return True


def mutants(count: int, folder: Path, chance: random.Random) -> list[Row]:
    """Changes bytes of small files of several kinds; a reader raises declared errors only."""
    import json

    import numpy as np
    from PIL import Image

    from surfhead.core.errors import SurfheadError
    from surfhead.drawing.key_frames import KeyFrames
    from surfhead.meshes.ply import read_ply, write_ply
    from surfhead.plugins.datasets.picture_headers import header_size
    from surfhead.plugins.formats.tracked import read_motion
    from surfhead.plugins.rigs.flame.pickle import read_pickle
    from surfhead.results.curves import read_history
    from surfhead.runs.layers import read_file
    from surfhead.training.monitoring import summary

    np.savez(folder / "m.npz", jaw=np.zeros((3, 3), np.float32))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "p.png")
    write_ply(folder / "c.ply", np.zeros(4, [(n, "<f4") for n in "xyz"]))
    camera = {"camera_from_world": np.eye(4).tolist(), "fov": 25.0}
    (folder / "k.json").write_text(json.dumps({"fps": 25, "frames": [{"time": 0, "camera": camera}]}))
    (folder / "c.toml").write_text('seed = 1\n[data]\nname = "synthetic"\nwidth = 48\n')
    import pickle

    (folder / "f.pkl").write_bytes(pickle.dumps({"a": np.zeros(5), "b": {"c": 1}}, 2))
    (folder / "metrics.jsonl").write_text(json.dumps({"images": 1, "surfels": 2, "losses": {"l1": 0.1}}))
    (folder / "eval").mkdir()
    summary_file = folder / "eval" / "summary.json"
    summary_file.write_text(json.dumps([{"label": "1", "split": "val", "views": 1, "psnr": 1.0}]))
    readers: dict[Path, Callable[[Path], object]] = {
        folder / "m.npz": lambda path: read_motion(path, flame=False),
        folder / "p.png": header_size,
        folder / "c.ply": read_ply,
        folder / "k.json": KeyFrames.read,
        folder / "c.toml": read_file,
        folder / "f.pkl": read_pickle,
        folder / "metrics.jsonl": lambda path: read_history(path.parent),
        summary_file: lambda path: summary(path.parents[1]),
    }
    rows = []
    for path, read in readers.items():
        whole, bad, first = path.read_bytes(), 0, ""
        each = count // len(readers)
        for _ in range(each):
            content = bytearray(whole)
            for _ in range(chance.randint(1, 6)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            if chance.random() < 0.2:
                del content[chance.randrange(len(content)) :]
            path.write_bytes(content)
            try:
                read(path)
            except SurfheadError:
                pass
            except Exception as error:
                bad += 1
                first = first or f"{type(error).__name__}: {error}"[:60]
        path.write_bytes(whole)
        rows.append(Row(f"mutants: {path.name}", each, bad, first))
    return rows


def bombs(folder: Path) -> list[Row]:
    """The suite's bombs; the note is the largest memory over the process's idle."""
    from tests.test_bombs import MOST, measured

    found = measured(folder)
    bad = sum(memory > MOST or error not in ("refused", "nothing") for error, memory in found.values())
    name, (_, most) = max(found.items(), key=lambda row: row[1][1])
    return [Row("bombs", len(found), bad, f"at most {most / 1e6:.0f} MB ({name})")]


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[bool]:
    """A tmpfs at ``folder``; False where this user may not mount."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=False)


def disks(folder: Path) -> list[Row]:
    """Commands that write to a full, and to a read-only disk: exit code 2, no traceback."""
    run = folder / "run"
    if not run.exists():
        said("train", *TINY, *SETTINGS, "--out", str(run))
    commands = {
        "train": ("train", *TINY, *SETTINGS, "--out", "{}/run"),
        "export": ("export", str(run), "--out", "{}/a.ply"),
        "mesh": ("mesh", str(run), "--voxel-mm", "4", "--views", "4", "--size", "96", "--out", "{}/m.ply"),
        "render": ("render", str(run), "--frames", "2", "--size", "256", "--out", "{}/r"),
        "report": ("report", str(run), "--frames", "0", "--out", "{}/report.html"),
        "synth": ("synth", "{}/s", *SYNTH),
    }
    rows = []
    for kind, options in (("full", "size=16k"), ("read-only", "ro")):
        bad, tried, notes = 0, 0, []
        for name, words in commands.items():
            with small_disk(folder / f"{kind}-{name}", options) as mounted:
                if not mounted:
                    continue
                place = str(folder / f"{kind}-{name}")
                code, text = said(*(word.format(place) for word in words))
                tried += 1
                if code != 2 or "Traceback" in text:
                    bad += 1
                    notes.append(f"{name}: {code}")
        rows.append(Row(f"disk: {kind}", tried, bad, "; ".join(notes) or ("" if tried else "may not mount")))
    with small_disk(folder / "cache", "size=16k") as mounted:
        if mounted:
            code, _ = said(
                *("train", *TINY, *SETTINGS, "--out", str(folder / "uncached")),
                environment={"SURFHEAD_CACHE": str(folder / "cache")},
            )
            rows.append(Row("disk: full cache", 1, int(code != 0), "training ends well"))
    return rows


def clients() -> list[Row]:
    """Requests of other origins, names and without a token."""
    from websockets.datastructures import Headers

    from surfhead.viewing.access import Access

    own = "127.0.0.1:8080"
    hostile = [
        [("Host", own), ("Origin", "http://evil.example")],
        [("Host", own), ("Origin", "null")],
        [("Host", "evil.example:8080"), ("Origin", "http://evil.example:8080")],
        [("Host", own), ("Host", own)],
        [],
    ]
    let_in = sum(not Access("127.0.0.1").refusal("/", Headers(rows)) for rows in hostile)
    let_in += not Access("0.0.0.0").refusal("/?token=guess", Headers([("Host", own)]))
    return [Row("clients", len(hostile) + 1, let_in, "refused")]


def campaign(kill_count: int, mutant_count: int, only: str = "", seed: int = 0) -> list[Row]:
    """Every attack, or one."""
    chance = random.Random(seed)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="surfhead-attack-") as name:
        folder = Path(name)
        (folder / "mutants").mkdir()
        (folder / "bombs").mkdir()
        attacks: dict[str, Callable[[], list[Row]]] = {
            "clients": clients,
            "bombs": lambda: bombs(folder / "bombs"),
            "mutants": lambda: mutants(mutant_count, folder / "mutants", chance),
            "kills": lambda: kills(kill_count, folder, chance),
            "disks": lambda: disks(folder),
        }
        for kind, attack in attacks.items():
            if only in ("", kind):
                rows += attack()
    return rows


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| attack | tried | lost or undeclared | note |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.name} | {row.tried} | {row.bad} | {row.note} |" for row in rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--mutants", type=int, default=10000)
    parser.add_argument("--only", default="", choices=["", "clients", "bombs", "mutants", "kills", "disks"])
    given = parser.parse_args()
    found = campaign(given.kills, given.mutants, given.only)
    print(table(found))
    sys.exit(any(row.bad for row in found))

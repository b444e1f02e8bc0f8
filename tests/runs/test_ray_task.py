"""What a machine of a cluster does with a job, without a cluster."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import surfhead
from surfhead.runs import parcels, ray_task
from surfhead.training import checkpoint

TINY = Path(__file__).parents[1] / "commands" / "tiny_plugin.py"
WORDS = (
    *("--set", "data.name=tiny", "--preset", "static", "--device", "cpu"),
    *("--set", "checkpoint.every=2", "--seed", "0"),
)


@pytest.fixture(autouse=True)
def own_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's folder for temporary files."""
    room = tmp_path / "machine"
    room.mkdir()
    monkeypatch.setattr(ray_task.tempfile, "tempdir", str(room))
    return room


def parcel_of(path: Path, key: str) -> ray_task.Parcel:
    names = [path.name] if path.is_file() else [f"{path.name}/{name}" for name in parcels.listing(path)]
    return ray_task.Parcel(str(path), parcels.likeness(path), key, (parcels.pack(path.parent, names),))


def code() -> ray_task.Parcel:
    package = Path(surfhead.__file__).parent
    return ray_task.Parcel(str(package.parent), parcels.contents_digest(package, "*.py"), "code", ())


def run(job: ray_task.Job, folder: Path) -> ray_task.News:
    """Do a job as a driver that gathers into ``folder``."""
    last: ray_task.News | None = None
    fetch: Callable[[bytes], bytes] = lambda piece: piece  # noqa: E731
    for last in ray_task.work(job, fetch):
        parcels.unpack(last.files, folder)
    assert last is not None
    return last


def test_a_run_goes_on_on_another_machine(tmp_path: Path, own_room: Path) -> None:
    """A plugin that is only here is sent; the run names it by its path here, and is continued from there."""
    home = tmp_path / "home"
    home.mkdir()
    plugin = home / "tiny_plugin.py"
    plugin.write_text(TINY.read_text())
    sent = parcel_of(plugin, "plugin")
    plugin.unlink()  # another machine has no such path
    words = (*WORDS, "--plugin", str(plugin), "--iterations", "4")
    folder = tmp_path / "grid" / "m"
    last = run(ray_task.Job("m", words, b"", code(), (sent,), 1, 0.1), folder)
    assert last.code == 0, last.said
    assert (own_room / ray_task.room() / "plugin" / "tiny_plugin.py").is_file()
    assert tomllib.loads((folder / "config.toml").read_text())["plugins"] == [str(plugin)]
    assert checkpoint.latest(folder) is not None
    # what was gathered is enough to go on: a finished run that is resumed has nothing left to train
    start = parcels.pack(folder, parcels.listing(folder))
    other = tmp_path / "other" / "m"
    parcels.unpack(start, other)
    again = run(ray_task.Job("m", words, start, code(), (sent,), 1, 0.1), other)
    assert again.code == 0, again.said
    assert checkpoint.latest(folder).name == checkpoint.latest(other).name  # type: ignore[union-attr]


def test_what_is_there_is_not_sent_again(tmp_path: Path) -> None:
    """A path that holds the same is used as it is; the same path with something else is not."""
    file = tmp_path / "file"
    file.write_text("one")
    parcel = parcel_of(file, "file")
    asked = []

    def fetch(piece: bytes) -> bytes:
        asked.append(piece)
        return piece

    assert ray_task._there(parcel, tmp_path, fetch) == file
    assert not asked
    file.write_text("two")
    found = ray_task._there(parcel, tmp_path / "machine", fetch)
    assert found.read_text() == "one"
    assert len(asked) == 1
    ray_task._there(parcel, tmp_path / "machine", fetch)
    assert len(asked) == 1


def test_what_a_run_said_is_told(tmp_path: Path) -> None:
    last = run(ray_task.Job("m", ("--iterations", "x"), b"", code(), (), 1, 0.1), tmp_path / "m")
    assert last.code == 2
    assert "iterations" in last.said

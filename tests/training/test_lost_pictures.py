"""Pictures that go while a training runs: an error that names the file, and nothing learnt is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from surfhead import cli
from surfhead.core.api import DataError, create
from surfhead.runs.train import train
from surfhead.training import checkpoint
from surfhead.training.trainer import Trainer
from tests.training.test_checkpoint import largest_file

SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "iterations": 8,
    "cache": "disk",
    "hold_out": True,
    "data": {"points": 200},
    "evaluate": {"at": [], "every": 0, "limit": 1, "final": 1},
    "observers": {},
}


def vanish(path: Path) -> None:
    path.unlink()


def shrink(path: Path) -> None:
    with Image.open(path) as picture:
        small = picture.resize((picture.width // 2, picture.height // 2))
    small.save(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def data(folder: Path) -> Path:
    cls: Any = type(create("dataset", "blender"))
    folder.mkdir()
    cls.example(folder)
    return folder


def spoiled_at(step: int, spoil: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen before a training's step of this number."""
    whole, steps = Trainer.step, []

    def counted(trainer: Trainer) -> None:
        steps.append(1)
        if len(steps) == step:
            spoil()
        whole(trainer)

    monkeypatch.setattr(Trainer, "step", counted)


@pytest.mark.parametrize("spoil", [vanish, shrink, cut, become_a_folder])
def test_what_was_learnt_before_a_picture_went_is_kept(
    spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = data(tmp_path / "data")
    pictures = {path: path.read_bytes() for path in (place / "train").rglob("*.png")}
    spoiled_at(4, lambda: list(map(spoil, pictures)), monkeypatch)
    run = tmp_path / "run"
    with pytest.raises(DataError, match=r'Image ".*\.png"'):
        train(str(place), preset="static", settings=SETTINGS, out=run)
    newest = checkpoint.latest(run)
    assert newest is not None
    assert 3 <= int(newest.name) < 8  # what was decoded ahead may still have been learnt

    monkeypatch.undo()
    for path, content in pictures.items():
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)
    train(out=run, resume=True)
    if spoil is vanish:
        whole = train(str(place), preset="static", settings=SETTINGS, out=tmp_path / "whole")
        first, second = (checkpoint.read(folder / "checkpoints" / "00000008")[0] for folder in (whole, run))
        for name, value in first.items():
            assert value.equal(second[name]), name


def test_what_was_learnt_before_an_evaluation_failed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = data(tmp_path / "data")
    settings = SETTINGS | {"evaluate": {"at": [2], "every": 0, "limit": 1}}
    held_out = [path for name in ("val", "test") for path in (place / name).rglob("*.png")]
    assert held_out
    spoiled_at(2, lambda: list(map(cut, held_out)), monkeypatch)
    with pytest.raises(DataError, match="cannot be read"):
        train(str(place), preset="static", settings=settings, out=tmp_path / "run")
    newest = checkpoint.latest(tmp_path / "run")
    assert newest is not None
    assert newest.name == "00000002"


def test_half_a_step_is_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = data(tmp_path / "data")

    def failing(self: Trainer, *_: object) -> None:
        if self.images == 2:
            raise RuntimeError("in the middle")

    monkeypatch.setattr(Trainer, "_check", failing)
    with pytest.raises(RuntimeError, match="in the middle"):
        train(str(place), preset="static", settings=SETTINGS, out=tmp_path / "run")
    assert checkpoint.latest(tmp_path / "run") is None


def test_a_disk_that_fills_up_ends_a_training_in_three_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = data(tmp_path / "data")
    words = ["--preset", "static", "--device", "cpu", "--quiet", "--iterations", "2", "--eval"]
    words += ["--set", "data.points=200", "--set", "evaluate.every=0", "--set", "checkpoint.at=[1]"]
    with largest_file(50_000):  # less than the tensors
        code = cli.main(["train", str(place), *words, "--out", str(tmp_path / "run")])
    said = [
        line for line in capfd.readouterr().err.splitlines() if not line.startswith(("warning", "surfhead"))
    ]
    assert code == 2
    assert len(said) == 3
    assert "00000001" in said[0]
    assert "File too large" in said[0]
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert cli.main(["train", "--resume", "--quiet", "--out", str(tmp_path / "run")]) == 0

"""A run whose data were moved goes on where they are the same, and says so where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from surfhead.core.api import create
from surfhead.core.errors import DataError
from surfhead.runs.configuration import configure
from surfhead.runs.run import read_config
from surfhead.runs.train import train
from surfhead.training import checkpoint


def test_moved_data_continue_a_run_if_they_are_the_same(
    small_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls: Any = type(create("dataset", "blender"))
    old = tmp_path / "old"
    old.mkdir()
    cls.example(old)
    settings = {
        "device": "cpu",
        "iterations": 4,
        "evaluate": {"limit": 1},
        "checkpoint": {"at": [2]},
        "observers": {},
    }
    run = train(str(old), preset="static", settings=settings, out=tmp_path / "run")
    shutil.rmtree(run / "checkpoints" / "00000004")
    new = old.rename(tmp_path / "new")
    with pytest.raises(DataError):
        train(out=run, resume=True)
    train(str(new), out=run, resume=True)
    newest = checkpoint.latest(run)
    assert newest is not None
    assert newest.name == "00000004"
    assert read_config(run).path == str(new)
    other = Path(shutil.copytree(new, tmp_path / "other"))
    from PIL import Image

    for picture in other.rglob("*.png"):
        Image.open(picture).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(picture)
    looks: list[Any] = []
    monkeypatch.setattr("surfhead.runs.train.look_at_data", lambda *args: looks.append(args))
    with pytest.raises(DataError, match="are not those that"):
        train(str(other), out=run, resume=True)
    assert looks == []  # what is not the run's own is compared before anything else is done with it
    assert read_config(run).path == str(new)


def test_the_place_of_a_rig_is_kept_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = configure(preset="tiny", settings={"rig": {"name": "flame", "path": "models/flame.pkl"}})
    assert config.rig.options["path"] == str(tmp_path / "models" / "flame.pkl")

"""What a command that takes a run says to what is none, before it waits, measures or writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Surfhead


@pytest.mark.parametrize(
    "command",
    [
        *(["eval"], ["render"], ["view"], ["mesh"], ["export"], ["report"], ["compare"]),
        ["reenact", "--driver", "run"],
    ],
    ids=lambda words: words[0],
)
def test_what_is_no_run_is_named_with_why(surfhead: Surfhead, tmp_path: Path, command: list[str]) -> None:
    run = tmp_path / "a run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.toml").touch()
    (tmp_path / "empty").mkdir()
    given = {
        "empty": ("it has no config.toml", "Check the path; `surfhead train --out RUN` makes one."),
        "nothing": ("it does not exist", "Check the path; `surfhead train --out RUN` makes one."),
        "a run/config.toml": ("it is a file", f'Give "{run}".'),
        "a run/checkpoints/": ("it has no config.toml", f'Give "{run}".'),
    }
    for folder, (why, remedy) in given.items():
        said = surfhead(*command, folder)
        assert said.code == 2
        expected = "Expected a folder made by `surfhead train`."
        assert said.err == f'"{folder.rstrip("/")}" is not a run: {why}.\n{expected}\n{remedy}\n'
        assert said.out == ""


def test_a_run_is_no_data(surfhead: Surfhead, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.toml").touch()
    said = surfhead("train", "run")
    assert said.code == 2
    assert 'run" is a run, not a data set.' in said.err


def test_a_checkpoint_to_start_from_is_looked_for_first(surfhead: Surfhead) -> None:
    """Before data are drawn, which takes minutes."""
    said = surfhead("train", "--from", "nowhere")
    assert said.code == 2
    assert said.err.startswith('"nowhere" is no checkpoint.\n')
    assert "Drawing" not in said.out


@pytest.mark.parametrize("command", [["render", "run"], ["reenact", "run", "--driver", "run"]])
def test_the_name_of_a_film_is_no_folder(surfhead: Surfhead, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").touch()
    said = surfhead(*command, "--out", "film.mp4")
    assert said.code == 2
    assert said.err.startswith('--out is "film.mp4", the name of a file.\n')
    assert said.err.endswith('Give such as "film".\n')


def test_a_resumed_run_starts_from_itself(surfhead: Surfhead) -> None:
    said = surfhead("train", "--resume", "--out", "run", "--from", "other")
    assert said.code == 2
    assert said.err.startswith("--from is given with --resume.\n")


def test_what_holds_no_data_is_said(surfhead: Surfhead, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert 'empty" is an empty folder.' in surfhead("train", "empty").err
    assert "cannot be read: it is a folder.\n" in surfhead("train", "--config", "empty").err
    (tmp_path / "file").write_text("text")
    assert surfhead("synth", "file").err.startswith('"file" is a file.\n')
    assert "has no mesh to draw" in surfhead("synth", "new", "--rig", "none").err
    assert not (tmp_path / "new").exists()

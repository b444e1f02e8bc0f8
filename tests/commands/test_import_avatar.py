"""`surfhead import`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from surfhead.core.api import create
from tests.commands.conftest import Surfhead
from tests.plugins.formats.conftest import make_avatar


@pytest.fixture
def exported(surfhead: Surfhead, trained_run: Path, tmp_path: Path) -> Surfhead:
    """The command line, where ``head/export/surfhead`` holds an exported avatar of the built-in head."""
    shutil.copytree(trained_run, tmp_path / "head")
    assert surfhead("export", "head").code == 0
    return surfhead


def test_export_and_import_give_a_run_that_draws_the_same(exported: Surfhead, tmp_path: Path) -> None:
    said = exported("import", "head/export/surfhead", "back")
    assert said.code == 0, said.err
    assert "surfels in back/checkpoints/" in said.out
    for run in ("head", "back"):
        assert exported("export", run, "--format", "2dgs", "--timestep", "1", "--out", f"{run}.ply").code == 0
    assert (tmp_path / "head.ply").read_bytes() == (tmp_path / "back.ply").read_bytes()


def test_what_cannot_be_imported_is_said_in_three_lines(exported: Surfhead, tmp_path: Path) -> None:
    cases = {
        ("import", "nothing", "out"): "nothing",
        ("import", "head", "out"): "no avatar",
        ("import", "head/export/surfhead", "head"): "already holds a run",
        ("import", "head/export/surfhead", "out", "--format", "2dgs"): "cannot be read",
        ("import", "m.npz", "out", "--format", "motion"): "holds no avatar",
    }
    np.savez(tmp_path / "m.npz", expr=np.zeros((2, 5)))
    for arguments, message in cases.items():
        said = exported(*arguments)
        assert said.code == 2, said.out
        assert message in said.err
        assert len(said.err.strip().splitlines()) <= 3
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [("eval",), ("train", "--resume", "--out"), ("render", "--split", "test"), ("data", "check")]
)
def test_a_run_without_data_says_so_plainly(
    surfhead: Surfhead, tmp_path: Path, words: tuple[str, ...]
) -> None:
    avatar = make_avatar("none", "static", "sh", None)
    create("format", "3dgs").write(avatar, tmp_path / "cloud.ply")
    assert surfhead("import", "cloud.ply", "run").code == 0
    end = ("run",) if words[0] != "data" else ("--set", "data.name=colmap")
    said = surfhead(*words, *end)
    assert said.code == 2
    assert said.err.splitlines() == [
        'No data set is given for the reader "colmap".',
        "A run that was imported without --data has none.",
        "Give --data FOLDER to `surfhead eval`, or import the avatar again with --data.",
    ]

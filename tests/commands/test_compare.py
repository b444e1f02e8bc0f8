"""`surfhead compare`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surfhead.commands.compare import names
from tests.commands.conftest import Surfhead


def test_runs_are_compared_and_measured_where_they_were_not(
    surfhead: Surfhead, trained_run: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(trained_run, tmp_path / name)
    shutil.rmtree("two/eval/00000030")
    said = surfhead("compare", "one", "two", "--device", "cpu", "--views", "1", "--out", "side")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "two: measured"
    assert lines[-1] == "Picture: side/grid.png"
    table = Path("side/table.md").read_text().splitlines()
    assert table[0].startswith("| split | variant | PSNR ↑ dB | head PSNR ↑ dB | SSIM ↑ |")
    rows = {tuple(line.split(" | ")[:2]): line.split(" | ")[2:] for line in table[2:]}
    assert rows["| val", "one"] == rows["| val", "two"]
    assert "**" in rows["| val", "one"][0] + rows["| val", "one colour a triangle"][0]
    assert ("| val", "one colour a triangle") in rows
    assert np.asarray(Image.open("side/grid.png")).shape[1] == 4 + 3 * (48 + 4)
    words = ("compare", "one", "two", "--device", "cpu", "--views", "0")
    refused = surfhead(*words, "--out", "side")
    assert refused.code == 2
    assert refused.err.splitlines()[0] == '"side" holds a comparison already.'
    assert refused.err.splitlines()[2] == "Choose another --out, or add --overwrite."
    again = surfhead(*words, "--out", "side", "--overwrite")
    assert again.code == 0
    assert "measured" not in again.out
    for folder in ("runs/comparison", "runs/comparison-2"):
        assert surfhead(*words).code == 0
        assert Path(folder, "table.csv").exists()


def test_runs_of_other_data_have_a_table_and_no_picture(
    surfhead: Surfhead, trained_run: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(trained_run, tmp_path / name)
    config = Path("two/config.toml").read_text()
    Path("two/config.toml").write_text(config.replace("timesteps = 4", "timesteps = 3", 1))
    said = surfhead("compare", "one", "two", "--device", "cpu", "--out", "side")
    assert said.code == 0
    assert 'warning: No picture: Runs "one" and "two" have other views.' in said.err
    assert Path("side/table.tex").exists()
    assert not Path("side/grid.png").exists()


def test_runs_are_told_apart_by_the_folders_above_them(tmp_path: Path) -> None:
    runs = [tmp_path / part for part in ("a/x/run", "b/x/run", "b/y/other")]
    assert names(runs) == {"a/x/run": runs[0], "b/x/run": runs[1], "b/y/other": runs[2]}
    assert names(runs[1:]) == {"run": runs[1], "other": runs[2]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), '"nowhere" is not a run: it does not exist.'),
        ((".", "."), "A run is given twice."),
        ((".", "--views", "-1"), '"views" is -1.'),
    ],
)
def test_bad_input(surfhead: Surfhead, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "config.toml").touch()
    said = surfhead("compare", *arguments)
    assert said.code == 2
    assert said.err.splitlines()[0] == message

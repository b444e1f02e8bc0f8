"""`surfhead eval`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands.conftest import Surfhead


def test_it_measures_the_held_out_views_and_writes_tables_and_pictures(trained: Surfhead) -> None:
    said = trained("eval", "run", "--device", "cpu")
    assert said.code == 0, said.err
    assert "val: 1 views" in said.out
    assert "PSNR: dB, whole picture" in " ".join(said.out.split())
    written = json.loads(Path("run/eval/00000003/val.json").read_text())
    assert [row["view"] for row in written["rows"]] == ["view-3"]
    assert f"{written['means']['psnr']:.2f}" in said.out
    assert {p.suffix for p in Path("run/eval/00000003").glob("val.*")} == {".json", ".csv", ".png"}


def test_split_limit_and_folder_can_be_chosen(trained: Surfhead) -> None:
    said = trained("eval", "run", "--split", "train", "--limit", "2", "--out", "figures")
    assert said.code == 0, said.err
    rows = json.loads(Path("figures/train.json").read_text())["rows"]
    assert [row["view"] for row in rows] == ["view-0", "view-1"]


def test_other_data_is_recognised(trained: Surfhead, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiny.txt").touch()
    said = trained("eval", "run", "--data", "other", "--out", "figures")
    assert said.code == 0, said.err
    assert Path("figures/val.json").is_file()
    assert trained("eval", "run", "--data", "nowhere").err.startswith('Data set "nowhere" does not exist.\n')


def test_a_split_without_views(trained: Surfhead) -> None:
    said = trained("eval", "run", "--split", "test")
    assert said.code == 2
    assert said.err.splitlines() == [
        "The data set has no views in: test.",
        "Known: train, val, test, all.",
        "Choose another --split.",
    ]

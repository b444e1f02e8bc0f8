"""`surfhead eval`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surfhead.results.drivers import read_driver
from surfhead.runs.run import Run
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


FITTED = ("--split", "test", "--limit", "1", "--device", "cpu", "--out", "figures", "--fit-motion")


def test_motion_fitted_to_the_pictures_is_measured_beside_the_tracked_one(
    surfhead: Surfhead, trained_run: Path
) -> None:
    words = (
        "eval",
        str(trained_run),
        "--split",
        "test",
        "--limit",
        "1",
        "--device",
        "cpu",
        "--out",
        "figures",
    )
    said = surfhead(*words, "--fit-motion", "--fit-steps", "2")
    assert said.code == 0, said.err
    assert said.out.index("test: 1 views\n") < said.out.index("test-fitted: 1 views, motion fitted")
    assert "motion of these frames was fitted to their pictures, 2 steps" in " ".join(said.out.split())
    files = {path.name for path in Path("figures").iterdir()}
    kinds = {f"test{which}.{kind}" for which in ("", "-fitted") for kind in ("json", "csv", "png")}
    assert files == kinds | {"test-fitted.npz"}
    tracked, fitted = (json.loads(Path(f"figures/test{which}.json").read_text()) for which in ("", "-fitted"))
    assert (fitted["split"], fitted["fitted_steps"]) == ("test-fitted", 2)
    assert "fitted_steps" not in tracked
    assert not any("fitted" in note for note in tracked["notes"])
    assert [row["view"] for row in fitted["rows"]] == [row["view"] for row in tracked["rows"]]
    own = Run(trained_run).avatar("cpu").motion
    driver = read_driver(Path("figures/test-fitted.npz")).parameters
    step = fitted["rows"][0]["timestep"]
    moved = (driver["rotation"] != own["rotation"]).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [step]
    assert own.keys() == driver.keys()


def test_fits_that_cannot_be_are_refused_before_anything_is_measured(trained: Surfhead) -> None:
    said = trained("eval", "run", "--fit-motion", "--out", "figures")
    assert said.code == 2
    assert said.err.splitlines()[::2] == [
        "There is no motion to fit: the avatar has no rig that moves.",
        "Leave out --fit-motion.",
    ]
    assert not Path("figures").exists()
    lone = trained("eval", "run", "--fit-steps", "3").err
    assert lone.startswith('"fit-steps" is given without "fit-motion".\n')
    assert trained("eval", "run", "--fit-motion", "--fit-steps", "0").err.startswith('"fit-steps" is 0.\n')


def test_a_fit_that_is_interrupted_leaves_whole_figures_and_none_of_its_own(
    surfhead: Surfhead, trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("surfhead.measuring.motion_fit._Fit.run", interrupted)
    assert surfhead("eval", str(trained_run), *FITTED).code == 130
    assert {path.name for path in Path("figures").iterdir()} == {"test.json", "test.csv", "test.png"}

"""A lone transforms.json with pictures of two sizes: checked, trained on, resumed and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import create
from surfhead.runs.configuration import configure
from surfhead.training.monitoring import final_limit
from tests.commands.conftest import Surfhead

TRAIN = (
    "--preset",
    "static",
    "--iterations",
    "12",
    "--batch-size",
    "2",
    "--device",
    "cpu",
    "--rasterizer",
    "torch",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The reader's example."""
    made: Any = type(create("dataset", "transforms"))
    made.example(tmp_path / "data")
    return tmp_path / "data"


def test_pictures_of_two_sizes_from_check_to_measurement(surfhead: Surfhead, data: Path) -> None:
    said = surfhead("data", "check", str(data))
    assert said.code == 0, said.out + said.err
    assert "of 12x10 (6), 6x10 (3)" in " ".join(said.out.split())
    said = surfhead("train", str(data), *TRAIN, "--eval", "--out", "run", "--set", "checkpoint.every=6")
    assert said.code == 0, said.err
    said = surfhead("eval", "run", "--split", "test")
    assert said.code == 0, said.err
    first = Path("run/checkpoints/00000012/state.safetensors").read_bytes()
    for kept in Path("run/checkpoints").iterdir():
        if kept.name != "00000006":
            for file in kept.iterdir():
                file.unlink()
            kept.rmdir()
    assert surfhead("train", "--resume", "--out", "run").code == 0
    assert Path("run/checkpoints/00000012/state.safetensors").read_bytes() == first


def test_held_out_files_are_looked_at_before_training(surfhead: Surfhead, data: Path) -> None:
    cut = data / "images" / "008.png"  # of the test split, as is the first
    cut.write_bytes(cut.read_bytes()[:-20])
    (data / "images" / "000.png").unlink()
    said = surfhead("train", str(data), *TRAIN, "--eval", "--out", "run")
    assert said.code == 2
    assert said.err.splitlines()[0].startswith("2 of 2 held-out views cannot be measured:")
    assert '000.png" of view "images/000.png" is missing.' in said.err
    assert len(said.err.splitlines()) == 3
    assert not Path("run").exists()


def test_training_says_that_masks_are_empty(surfhead: Surfhead, data: Path) -> None:
    file = data / "transforms.json"
    content = json.loads(file.read_text("utf-8"))
    for frame in content["frames"]:
        frame["mask_path"] = frame["file_path"].replace("images", "masks")
        size = (frame.get("w", content["w"]), content["h"])
        mask = data / frame["mask_path"]
        mask.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros(size[::-1], np.uint8)).save(mask)
    file.write_text(json.dumps(content), "utf-8")
    said = surfhead("train", str(data), *TRAIN, "--iterations", "2", "--out", "run")
    assert said.code == 0, said.err
    assert "7 of 7 masks are empty" in said.err + said.out or "8 of 8 masks are empty" in said.err + said.out


def test_the_measurement_at_the_end_is_bounded(surfhead: Surfhead, data: Path) -> None:
    all_trained = ("--set", "data.test_every=0", "--iterations", "2", "--out", "run")
    said = surfhead("train", str(data), *TRAIN, *all_trained, "--set", "evaluate.final=4")
    assert said.code == 0, said.err
    rows = json.loads(Path("run/eval/summary.json").read_text("utf-8"))
    assert [(row["label"], row["split"], row["views"]) for row in rows][-1] == ("2", "train", 4)


def test_what_was_trained_on_is_measured_in_few_views_whatever_the_preset() -> None:
    tiny, paper = configure(preset="tiny"), configure(preset="paper")
    assert final_limit(tiny, ["train"]) == final_limit(tiny, ["val", "test"]) == 40
    assert (final_limit(paper, ["train"]), final_limit(paper, ["val", "test"])) == (200, 0)

"""Observer ``jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.api import OptionError, create


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def train(run: Any, last: int, **options: Any) -> None:
    """Tell an observer of the images up to ``last``, with an evaluation every 20."""
    observer = create("observer", "jsonl", options)
    observer.run_started(run=run)
    while run.images < last:
        run.images += run.config.batch_size
        observer.stepped(run=run, images=run.images, losses={"l1": torch.tensor(1.0 / run.images)})
        if run.images % 20 == 0:
            observer.evaluated(run=run, images=run.images, split="val", means={"psnr": float(run.images)})
    observer.run_finished(run=run, error=None)


def test_losses_every_so_many_images_and_every_evaluation(run: Any) -> None:
    train(run, 80, every=40)
    rows = lines(run.folder)
    assert [row["images"] for row in rows if "losses" in row] == [40, 80]
    assert rows[1] == {"images": 40, "surfels": 7, "losses": {"l1": pytest.approx(1 / 40)}}
    assert [row["images"] for row in rows if "metrics" in row] == [20, 40, 60, 80]
    assert rows[0] == {"images": 20, "split": "val", "metrics": {"psnr": 20.0}}


def test_the_last_image_has_a_line(run: Any) -> None:
    run.length = 50
    train(run, 50, every=40)
    assert [row["images"] for row in lines(run.folder) if "losses" in row] == [40, 50]


def test_at_least_20_steps_between_lines(run: Any) -> None:
    run.config.batch_size, run.length = 8, 400
    train(run, 320, every=1)
    assert [row["images"] for row in lines(run.folder) if "losses" in row] == [160, 320]


@pytest.mark.parametrize("checkpoint", [0, 30, 60])
def test_a_resumed_run_leaves_the_file_of_one_that_never_stopped(run: Any, checkpoint: int) -> None:
    train(run, 100, every=20)
    whole = (run.folder / "metrics.jsonl").read_text()
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"images": 12')  # killed while writing
    run.images = checkpoint
    train(run, 100, every=20)
    assert (run.folder / "metrics.jsonl").read_text() == whole


def test_measuring_a_finished_run_again_adds_nothing(run: Any) -> None:
    train(run, 40, every=20)
    whole = (run.folder / "metrics.jsonl").read_text()
    observer = create("observer", "jsonl")
    observer.run_started(run=run)
    observer.evaluated(run=run, images=40, split="val", means={"psnr": 40.0})
    assert (run.folder / "metrics.jsonl").read_text() == whole


def test_a_new_run_begins_an_empty_file(run: Any) -> None:
    train(run, 40, every=20)
    run.images = 0
    create("observer", "jsonl").run_started(run=run)
    assert lines(run.folder) == []


def test_every_must_be_positive() -> None:
    with pytest.raises(OptionError, match='"every" of observer "jsonl" is 0'):
        create("observer", "jsonl", {"every": 0})

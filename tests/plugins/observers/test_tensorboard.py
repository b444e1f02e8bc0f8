"""Observer ``tensorboard``, read back by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from surfhead.core.api import OptionError, UnavailableError, create
from surfhead.plugins.observers import tensorboard as observed

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")


class Surfels:
    """Seven opacities."""

    parameters = {"opacity": torch.logit(torch.tensor([0.1, 0.1, 0.1, 0.5, 0.9, 0.9, 0.95]))}  # noqa: RUF012

    def __len__(self) -> int:
        return 7


@pytest.fixture
def watched(run: Any) -> Any:
    """The run, with opacities."""
    run.avatar.surfels = Surfels()
    return run


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]
    return reader.Reload()  # type: ignore[no-untyped-call]


def points(reader: Any, tag: str) -> dict[int, float]:
    return {event.step: event.value for event in reader.Scalars(tag)}


def train(run: Any, last: int, factor: float = 1.0, **options: Any) -> None:
    """Tell an observer of the images up to ``last``, with an evaluation every 40."""
    observer = create("observer", "tensorboard", options)
    observer.run_started(run=run)
    while run.images < last:
        run.images += run.config.batch_size
        losses = {"l1": torch.tensor(factor / run.images), "normal": torch.tensor(0.25)}
        observer.stepped(run=run, images=run.images, losses=losses)
        if run.images % 40 == 0:
            means = {"psnr": float(run.images), "l1": 0.02, "ssim": 0.9, "lpips": 0.1}
            observer.evaluated(run=run, images=run.images, split="val", means=means)
    observer.run_finished(run=run, error=None)


def test_the_tags_are_those_users_know(watched: Any) -> None:
    train(watched, 80, every=40)
    reader = read(watched.folder)
    assert set(reader.Tags()["scalars"]) == {
        "train_loss_patches/l1_loss",
        "train_loss_patches/normal_loss",
        "train_loss_patches/total_loss",
        "iter_time",
        "total_points",
        "val/loss_viewpoint - l1_loss",
        "val/loss_viewpoint - psnr",
        "val/loss_viewpoint - ssim",
        "val/loss_viewpoint - lpips",
    }
    assert points(reader, "train_loss_patches/l1_loss") == pytest.approx({40: 1 / 40, 80: 1 / 80})
    assert points(reader, "train_loss_patches/total_loss") == pytest.approx({40: 0.275, 80: 0.2625})
    assert points(reader, "total_points") == {40: 7.0, 80: 7.0}
    assert points(reader, "val/loss_viewpoint - psnr") == {40: 40.0, 80: 80.0}
    assert points(reader, "val/loss_viewpoint - l1_loss") == pytest.approx({40: 0.02, 80: 0.02})
    assert reader.Tags()["histograms"] == ["scene/opacity_histogram"]
    histogram = reader.Histograms("scene/opacity_histogram")[-1]
    assert (histogram.step, histogram.histogram_value.num) == (80, 7.0)
    assert histogram.histogram_value.min == pytest.approx(0.1)
    assert histogram.histogram_value.max == pytest.approx(0.95)


def test_a_step_takes_the_mean_time_without_evaluations(
    watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(observed, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    observer = create("observer", "tensorboard", {"every": 20})
    observer.run_started(run=watched)
    for image in range(1, 41):
        clock.now += 0.010 if image <= 20 else 0.030
        observer.stepped(run=watched, images=image, losses={"l1": torch.tensor(1.0)})
        if image == 20:
            clock.now += 50.0
            observer.evaluated(run=watched, images=image, split="val", means={"psnr": 20.0})
    observer.run_finished(run=watched, error=None)
    assert points(read(watched.folder), "iter_time") == pytest.approx({20: 10.0, 40: 30.0})


def test_a_resumed_run_hides_what_lay_beyond_its_checkpoint(watched: Any) -> None:
    train(watched, 120, every=20)
    watched.images = 60
    train(watched, 100, factor=2.0, every=20)
    found = points(read(watched.folder), "train_loss_patches/l1_loss")
    expected = {20: 1 / 20, 40: 1 / 40, 60: 1 / 60, 80: 2 / 80, 100: 2 / 100}
    assert found == pytest.approx(expected)


def test_every_must_be_positive() -> None:
    with pytest.raises(OptionError, match='"every" of observer "tensorboard" is 0'):
        create("observer", "tensorboard", {"every": 0})


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r'pip install "surfhead\[tensorboard\]"'):
        create("observer", "tensorboard")


def test_it_is_chosen_by_a_setting_and_watches_a_real_run(
    tmp_path: Path, small_settings: dict[str, Any]
) -> None:
    from surfhead.core.options import parse_setting
    from surfhead.runs.train import train as train_run

    assert parse_setting("observers.tensorboard={}") == ("observers.tensorboard", {})
    settings = {**small_settings, "iterations": 4, "observers": {"tensorboard": {}}, "baseline": False}
    folder = train_run(preset="tiny", settings=settings, out=tmp_path / "run")
    reader = read(folder)
    assert points(reader, "train_loss_patches/total_loss").keys() == {4}
    found = points(reader, "val/loss_viewpoint - psnr")
    assert list(found) == [0, 4]
    assert 5.0 < found[4] < 60.0
    assert 0.0 < points(reader, "val/loss_viewpoint - l1_loss")[4] < 0.5

"""The training loop on an octahedron whose truth another avatar rendered."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.components import Observer, Regularizer
from surfhead.core.config import Occasions, RunConfig, Term
from surfhead.core.errors import ContractError, DataError, SurfheadError
from surfhead.core.registry import create
from surfhead.core.scene import Frame, Scene, Views
from surfhead.core.types import Step
from surfhead.data.feed import Feed, cameras_of
from surfhead.training.events import Events
from surfhead.training.trainer import Record, Trainer
from surfhead.training.training_data import TrainingData
from surfhead.training.weighted_term import WeightedTerm, make_terms
from tests.runs.tiny_run import tiny_avatar

SIZE = 24


class MemoryScene(Scene):
    """Frames held in memory."""

    frames: list[Frame]

    def frame(self, view: int) -> Frame:
        return self.frames[view]


def scene(count: int = 6) -> MemoryScene:
    """An octahedron in random colours seen from a ring of cameras."""
    poses = []
    for i in range(count):
        angle = 2 * math.pi * i / count
        c, s = math.cos(angle), math.sin(angle)
        turn = np.array([[c, 0, -s], [0, -1, 0], [-s, 0, -c]])
        pose = np.eye(4)
        pose[:3, :3] = turn
        pose[2, 3] = 0.5
        poses.append(pose)
    k = np.array([[40.0, 0, SIZE / 2], [0, 40.0, SIZE / 2], [0, 0, 1]])
    views = Views(
        np.stack(poses),
        np.stack([k] * count),
        np.arange(count) % 3,
        np.arange(count),
        np.array(["train"] * (count - 1) + ["val"]),
        tuple(f"view{i}" for i in range(count)),
        SIZE,
        SIZE,
    )
    made = MemoryScene(views, rig="octahedron", rig_parameters={"translation": torch.zeros(3, 3)})
    truth = tiny_avatar()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        truth.surfels.parameters["sh_dc"].copy_(torch.randn(8, 3, generator=generator))
        truth.surfels.parameters["opacity"].fill_(3.0)
    cameras = cameras_of(made, range(count), "cpu")
    timesteps = torch.from_numpy(views.timestep)
    pictures = truth.render(cameras, timesteps).output.rgb
    made.frames = [Frame((p.clamp(0, 1) * 255).round().to(torch.uint8).numpy()) for p in pictures]
    return made


def trainer(folder: Path, terms: list[WeightedTerm] | None = None, **settings: Any) -> Trainer:
    settings = {"iterations": 60, "device": "cpu", "checkpoint": Occasions(), **settings}
    config = RunConfig(regularizers={"l1": Term(1.0)}, **settings)
    data = scene()
    return Trainer(
        config,
        tiny_avatar(),
        TrainingData(data, data.views.of("train"), extent=0.5),
        make_terms(config) if terms is None else terms,
        create("densifier", "adaptive"),
        Record(folder, Events([]), describe=dict, evaluate=lambda run, final: None),
    )


def test_training_fits_and_raises_psnr(tmp_path: Path) -> None:
    run = trainer(tmp_path, iterations=60)
    run.step()
    first = float(run.losses["l1"])
    run.run()
    assert run.images == 60
    assert float(run.losses["l1"]) < 0.5 * first


def test_rates_and_losses_count_images_not_steps(tmp_path: Path) -> None:
    run = trainer(tmp_path, batch_size=4, iterations=10)
    seen = []
    while run.images < run.length:
        run.step()
        seen.append(run.images)
    assert seen == [4, 8, 10]


def test_who_takes_steps_without_a_run_ends_what_works_for_them(tmp_path: Path) -> None:
    class Graphs:
        dropped = 0

        def drop(self) -> None:
            self.dropped += 1

    run = trainer(tmp_path, cache="disk")
    run.step()
    graphs = Graphs()
    run._captured = graphs  # type: ignore[assignment]
    run.close()
    assert graphs.dropped == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        run.feed.prefetch(run.scene.views.of("val"))  # not decoded ahead yet


def test_a_captured_step_is_named_by_all_that_the_host_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph holds for one batch size, set of surfels, stage of the appearance and set of weights only."""
    ramp = WeightedTerm("l1", create("regularizer", "l1"), 2.0, start=10, ramp=4)
    run = trainer(tmp_path, [ramp])
    seen = []
    for images in (0, 9, 10, 11, 20, 21):
        run.images = images
        seen.append(run._decided(2))
    assert seen[0] == seen[1]
    assert len(set(seen[1:5])) == 4  # the term began, grew, and reached its weight
    assert seen[4] == seen[5]
    assert run._decided(1) != seen[5]
    run.avatar.surfels.generation += 1
    assert run._decided(2) != seen[5]
    run.avatar.surfels.generation -= 1
    monkeypatch.setattr(run.avatar.appearance, "stage", lambda: ("another",))
    assert run._decided(2) != seen[5]


def test_a_run_names_what_keeps_its_steps_from_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(Regularizer):
        name = "own"
        summary = "Own."

        def __call__(self, step: Step) -> torch.Tensor:
            return step.output.rgb.mean()

    own = WeightedTerm("own", Own(), 0.1, 0, 0)
    made = trainer(tmp_path, [*make_terms(RunConfig(regularizers={"l1": Term(1.0)})), own])
    made.avatar.rig.capturable = made.avatar.rasterizer.capturable = True
    assert not made._capturable()
    assert not caplog.records, "on a CPU nothing is captured"
    monkeypatch.setattr(type(made.avatar), "device", torch.device("cuda"))
    monkeypatch.setattr(type(made.optimiser), "capturable", True)
    assert not made._capturable()
    (said,) = caplog.messages
    assert said.startswith('regularizer "own" does not say `capturable`')
    assert "twice the time a step" in said
    made.terms = made.terms[:1]
    assert made._capturable()
    assert len(caplog.messages) == 1


def test_a_broken_off_step_leaves_no_gradient_to_the_next(tmp_path: Path) -> None:
    """What a failed capture left in the gradients is never learnt from."""
    clean, dirty = (trainer(tmp_path / name) for name in ("clean", "dirty"))
    for run in (clean, dirty):
        run.optimiser.set_rates(0)
    for _, value in dirty.optimiser.named():
        value.grad = torch.full_like(value, 1e3)
    views = clean.order.views[:2]
    for run in (clean, dirty):
        run._learn(run.feed.batch(views))
    for (name, mine), (_, other) in zip(clean.optimiser.named(), dirty.optimiser.named(), strict=True):
        assert torch.equal(mine, other), name


def test_terms_start_and_ramp(tmp_path: Path) -> None:
    term = WeightedTerm("l1", create("regularizer", "l1"), 2.0, start=10, ramp=4)
    assert [term.weight_at(i) for i in (0, 9, 10, 11, 13, 50)] == [0.0, 0.0, 0.5, 1.0, 2.0, 2.0]
    run = trainer(tmp_path, [term])
    with pytest.raises(SurfheadError, match="No regularizer is on at image 0"):
        run.step()


class Poison(Regularizer):
    """NaN from the third step on."""

    name = "poison"
    summary = "NaN."
    calls = 0

    def __call__(self, step: Any) -> torch.Tensor:
        self.calls += 1
        value = step.binding.parameters["opacity"].sum()
        return value * math.nan if self.calls > 2 else value * 0.0


def test_a_nan_gradient_stops_the_run_before_the_step_and_dumps_its_inputs(tmp_path: Path) -> None:
    run = trainer(tmp_path, debug=0, iterations=20)
    run.terms.append(WeightedTerm("poison", Poison(), 1.0, 0, 0))
    with pytest.raises(SurfheadError, match='The gradient of parameter "opacity" is NaN'):
        run.run()
    assert run.images == 2
    for value in run.avatar.surfels.parameters.values():
        assert bool(torch.isfinite(value).all())
    assert list((tmp_path / "debug").glob("*.safetensors"))


class Vector(Regularizer):
    """Not a scalar."""

    name = "vector"
    summary = "Not a scalar."

    def __call__(self, step: Any) -> torch.Tensor:
        return step.output.rgb


def test_a_term_that_is_no_scalar_is_blamed(tmp_path: Path) -> None:
    run = trainer(tmp_path, [WeightedTerm("vector", Vector(), 1.0, 0, 0)])
    with pytest.raises(ContractError, match='Regularizer "vector" gave shape'):
        run.step()


class Faulty(Observer):
    """Raises in mid-run."""

    name = "faulty"
    summary = "Raises."
    steps = 0

    def stepped(self, run: Any, images: int, losses: Any) -> None:
        self.steps += 1
        if images == 3:
            raise RuntimeError("no space left")


class Counting(Observer):
    """Counts events."""

    name = "counting"
    summary = "Counts."

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def run_started(self, run: Any) -> None:
        self.seen.append("start")

    def stepped(self, run: Any, images: int, losses: Any) -> None:
        self.seen.append("step")

    def checkpointed(self, run: Any, images: int, path: Path) -> None:
        self.seen.append("checkpoint")

    def run_finished(self, run: Any, error: BaseException | None) -> None:
        self.seen.append("end")


def test_an_observer_that_raises_is_switched_off_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faulty, counting = Faulty(), Counting()
    run = trainer(tmp_path, iterations=6, checkpoint=Occasions(every=4))
    run.events = Events([faulty, counting])
    with caplog.at_level(logging.WARNING, "surfhead"):
        run.run()
    assert run.images == 6
    assert faulty.steps == 3
    wanted = ["start", *["step"] * 4, "checkpoint", *["step"] * 2, "checkpoint", "end"]
    assert counting.seen == wanted
    assert 'Observer "faulty" raised RuntimeError: no space left' in caplog.text


def test_an_interruption_leaves_a_checkpoint(tmp_path: Path) -> None:
    run = trainer(tmp_path, iterations=50)

    class Stop(Observer):
        name = "stop"
        summary = "Interrupts."

        def stepped(self, run: Any, images: int, losses: Any) -> None:
            if images == 7:
                raise KeyboardInterrupt

    run.events = Events([Stop()])
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["00000007"]


def test_an_image_of_the_wrong_size_is_named() -> None:
    data = scene()
    data.frames[2] = Frame(np.zeros((SIZE, SIZE + 1, 3), dtype=np.uint8))
    feed = Feed(data, torch.device("cpu"))
    feed.batch(np.array([0, 1]))
    with pytest.raises(DataError, match='Image of view "view2" is uint8'):
        feed.batch(np.array([1, 2]))
    feed.close()


class Maskless(Regularizer):
    """Wants what the data lack."""

    name = "maskless"
    summary = "Wants masks."

    def __call__(self, step: Any) -> torch.Tensor:
        raise DataError("There are no masks.")


def test_an_optional_term_is_left_out_where_the_data_lack_what_it_needs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = trainer(tmp_path)
    run.terms.append(WeightedTerm("maskless", Maskless(), 1.0, 0, 0, optional=True))
    with caplog.at_level(logging.WARNING, "surfhead"):
        run.step()
        run.step()
    assert caplog.text.count('Regularizer "maskless" is left out: There are no masks.') == 1
    run.terms.append(WeightedTerm("maskless", Maskless(), 1.0, 0, 0))
    with pytest.raises(DataError, match="There are no masks"):
        run.step()


def test_a_reset_between_two_plans_keeps_the_statistics(tmp_path: Path) -> None:
    run = trainer(tmp_path, iterations=20)
    run.densifier = create(
        "densifier",
        "adaptive",
        {"start": 8, "stop": 20, "every": 8, "reset_every": 3, "threshold": 1e9, "cull": 0},
    )
    for _ in range(4):
        run.step()
    assert float(run.statistics.seen.max()) == 4.0
    assert float(torch.sigmoid(run.avatar.surfels.parameters["opacity"].detach()).max()) < 0.05


def test_a_static_batch_of_several_views_shows_one_pose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every view shows pose 0, so the batch must not say that each has its own: kernels go by that."""
    seen: list[tuple[list[int], bool]] = []

    class Looks(Regularizer):
        name = "looks"
        summary = "Notes what it is shown."

        def __call__(self, step: Any) -> torch.Tensor:
            seen.append((step.batch.pose_of_view.tolist(), step.batch.paired))
            assert len(step.field.linear) == 1
            return step.output.rgb.mean()

    terms = [WeightedTerm("looks", Looks(), 1.0, 0, 0)]
    terms.append(WeightedTerm("normal_length", create("regularizer", "normal_length"), 0.1, 0, 0))
    run = trainer(tmp_path, terms, batch_size=3, iterations=4)
    run.avatar.deformer = create("deformer", "static")
    run.step()
    run.step()
    assert seen == [([0, 0, 0], False), ([0], True)]

"""Groups, schedules, freezing and the optimiser's state across a densifying plan."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from surfhead.core.config import Freeze, Rate, RunConfig
from surfhead.core.densification import DensifyPlan
from surfhead.core.errors import SurfheadError, UnknownNameError
from surfhead.core.parameters import Schedule
from surfhead.core.types import Cameras, RenderOutput
from surfhead.training.optimiser import Optimiser
from surfhead.training.statistics import Statistics
from tests.runs.tiny_run import tiny_avatar


def make(**settings: object) -> tuple[Optimiser, RunConfig]:
    config = RunConfig(iterations=100, **settings)  # type: ignore[arg-type]
    return Optimiser(tiny_avatar(), config, extent=2.0), config


def rate(optimiser: Optimiser, name: str) -> float:
    return next(float(g["lr"]) for g in optimiser.adam.param_groups if g["name"] == name)


def test_rates_follow_the_method() -> None:
    optimiser, _ = make()
    optimiser.set_rates(0)
    assert rate(optimiser, "offset") == pytest.approx(5e-3 * 2.0)
    assert rate(optimiser, "opacity") == pytest.approx(0.05)
    assert rate(optimiser, "sh_rest") == pytest.approx(2.5e-3 / 20)
    optimiser.set_rates(100)
    assert rate(optimiser, "offset") == pytest.approx(5e-5 * 2.0)
    optimiser.set_rates(50)
    assert rate(optimiser, "offset") == pytest.approx(2.0 * math.sqrt(5e-3 * 5e-5))


def test_rates_grow_with_the_root_of_the_batch_unless_kept() -> None:
    for keep, factor in ((True, 2.0), (False, 1.0)):
        optimiser, _ = make(batch_size=4, scale_rates=keep)
        optimiser.set_rates(0)
        assert rate(optimiser, "opacity") == pytest.approx(0.05 * factor)


def test_momenta_reach_back_over_as_many_images_if_wanted() -> None:
    for wanted, betas in ((True, (0.9**4, 0.999**4)), (False, (0.9, 0.999))):
        optimiser, _ = make(batch_size=4, scale_momenta=wanted)
        assert optimiser.adam.param_groups[0]["betas"] == pytest.approx(betas)


def test_rate_overrides_and_unknown_groups() -> None:
    optimiser, _ = make(rate={"opacity": Rate(0.1), "sh": Rate(2e-3)})
    optimiser.set_rates(0)
    assert rate(optimiser, "opacity") == pytest.approx(0.1)
    assert rate(optimiser, "sh_rest") == pytest.approx(1e-4)
    with pytest.raises(UnknownNameError, match='Unknown rate "opacty".*"opacity"'):
        make(rate={"opacty": Rate(0.1)})


def test_a_delay_and_own_steps() -> None:
    schedule = Schedule(1.0, 0.01, delay=0.1, delay_steps=10, steps=20)
    assert schedule.at(0, 1000) == pytest.approx(0.1)
    assert schedule.at(20, 1000) == pytest.approx(0.01)
    assert schedule.at(500, 1000) == pytest.approx(0.01)


def test_nan_gradients_name_the_parameter() -> None:
    optimiser, _ = make()
    for _, value in optimiser.named():
        value.grad = torch.zeros_like(value)
    assert float(optimiser.broken()) == 0.0, "nobody took note yet"
    optimiser.watch()
    assert float(optimiser.broken()) == 0.0
    optimiser.blame(3)
    optimiser.avatar.surfels.parameters["opacity"].grad[0] = math.nan  # type: ignore[index]
    optimiser.watch()
    assert float(optimiser.broken()) == 1.0
    with pytest.raises(SurfheadError, match='parameter "opacity" is NaN or infinite near image 3'):
        optimiser.blame(3)


def test_terms_of_the_loss_that_are_not_finite_are_named_with_the_gradient() -> None:
    optimiser, _ = make()
    optimiser.blame(0)  # nobody took note yet
    for _, value in optimiser.named():
        value.grad = torch.zeros_like(value)
    optimiser.avatar.surfels.parameters["opacity"].grad[0] = math.inf  # type: ignore[index]
    optimiser.watch()
    losses = {"l1": torch.tensor(0.5), "mask": torch.tensor(math.nan), "offset": torch.tensor(0.0)}
    with pytest.raises(SurfheadError, match=r"near image 8\. So are terms of the loss: mask\."):
        optimiser.blame(8, losses)


def test_frozen_regions_get_no_gradient() -> None:
    optimiser, _ = make()
    surfels = optimiser.avatar.surfels
    for value in surfels.parameters.values():
        value.grad = torch.ones_like(value)
    optimiser.freeze(surfels.parameters.values())
    eyes = surfels.regions["eyeballs"]
    others = torch.ones(len(surfels), dtype=torch.bool)
    others[eyes] = False
    offset = surfels.parameters["offset"].grad
    assert offset is not None
    assert float(offset[eyes].abs().sum()) == 0.0
    assert float(offset[others].min()) == 1.0
    opacity = surfels.parameters["opacity"].grad
    assert opacity is not None
    assert float(opacity.min()) == 1.0, "opacity is not frozen"


def test_rows_are_those_of_the_parameter_at_the_same_place() -> None:
    optimiser, _ = make()
    surfels = optimiser.avatar.surfels
    surfels.specs["sh_rest"] = dataclasses.replace(surfels.specs["sh_rest"], region="eyeballs")
    rows = optimiser.rows_in_backward_order()
    values = optimiser.in_backward_order()
    place = next(i for i, value in enumerate(values) if value is surfels.parameters["sh_rest"])
    assert rows[place] is surfels.regions["eyeballs"]
    assert [i for i, own in enumerate(rows) if own is not None] == [place]
    assert len(rows) == len(values)


def test_teeth_are_frozen_on_request() -> None:
    assert make()[0].detached == ["eyeballs"]
    optimiser, _ = make(freeze=Freeze(eyeballs=False, teeth=True))
    assert optimiser.detached == ["teeth"]
    surfels = optimiser.avatar.surfels
    assert surfels.topology is not None
    surfels.topology.regions["teeth"][2] = True  # of the triangles
    surfels.parameters["offset"].grad = torch.ones_like(surfels.parameters["offset"])
    optimiser.freeze([surfels.parameters["offset"]])
    grad = surfels.parameters["offset"].grad
    assert grad is not None
    assert torch.equal(grad[:, 0] == 0.0, surfels.triangle == 2)


def test_steps_in_parts_are_one_step() -> None:
    """As gradients of other processes come, some parameters at a time: the same bits, frozen surfels too."""
    whole, parts = make()[0], make()[0]
    for optimiser in (whole, parts):
        optimiser.set_rates(0)
        generator = torch.Generator().manual_seed(3)
        for _, value in optimiser.named():
            value.grad = torch.randn(value.shape, generator=generator)
    whole.freeze_and_step([value for _, value in whole.named()])
    values = [value for _, value in parts.named()]
    start = [value.detach().clone() for value in values]
    parts.freeze_and_step(values[1:])
    assert torch.equal(values[0], start[0])
    assert values[0] not in parts.adam.state
    parts.freeze_and_step(values[:1])
    assert not torch.equal(values[0], start[0])
    for (name, one), other in zip(whole.named(), values, strict=True):
        assert torch.equal(one, other), name
        assert float(parts.adam.state[other]["step"]) == 1.0, name
    eyes = parts.avatar.surfels.regions["eyeballs"]
    offset = [name for name, _ in parts.named()].index("offset")
    assert torch.equal(values[offset][eyes], start[offset][eyes])


def test_a_plan_moves_parameters_and_state() -> None:
    optimiser, _ = make()
    surfels = optimiser.avatar.surfels
    count = len(surfels)
    with torch.no_grad():
        surfels.parameters["opacity"].copy_(torch.arange(count).float())
    for value in surfels.parameters.values():
        value.grad = torch.ones_like(value)
    optimiser.set_rates(0)
    optimiser.step()
    before = {k: v.detach().clone() for k, v in surfels.parameters.items()}
    hosts = surfels.triangle.clone()
    clone, split, prune = (torch.zeros(count, dtype=torch.bool) for _ in range(3))
    clone[0], split[1], prune[2] = True, True, True
    plan = DensifyPlan(clone, split, prune, opacity_ceiling=0.01)
    selection = surfels.apply(plan, torch.Generator().manual_seed(0))
    optimiser.select(selection, reset_opacity=True)
    assert len(surfels) == count - 1 - 1 + 1 + 2
    keep = [i for i in range(count) if i not in (1, 2)]
    wanted = torch.tensor([*keep, 0, 1, 1])
    assert torch.equal(selection.source, wanted)
    assert torch.equal(surfels.triangle, hosts[wanted])
    children = surfels.parameters["log_scale"][-2:]
    assert torch.allclose(children, before["log_scale"][1] - math.log(1.6))
    assert not torch.equal(surfels.parameters["offset"][-1], surfels.parameters["offset"][-2])
    ceiling = torch.sigmoid(surfels.parameters["opacity"].detach()).max()
    assert float(ceiling) <= 0.01 + 1e-6
    state = optimiser.adam.state[surfels.parameters["log_scale"]]
    assert float(state["exp_avg"][: len(keep)].abs().min()) > 0.0
    assert float(state["exp_avg"][len(keep) :].abs().max()) == 0.0
    assert float(optimiser.adam.state[surfels.parameters["opacity"]]["exp_avg"].abs().max()) == 0.0
    for value in surfels.parameters.values():  # the optimiser now owns the new tensors
        value.grad = torch.ones_like(value)
    old = surfels.parameters["opacity"].detach().clone()
    optimiser.step()
    assert not torch.equal(old, surfels.parameters["opacity"])


def test_the_densification_statistic_by_hand() -> None:
    """g = B |dL/dm_x z/fx W/2, dL/dm_y z/fy H/2| in a turned camera."""
    turn = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    pose = torch.eye(4)
    pose[:3, :3] = turn
    pose[2, 3] = 1.0
    k = torch.tensor([[100.0, 0, 10], [0, 200.0, 20], [0, 0, 1]])
    cameras = Cameras(torch.stack([pose, pose]), torch.stack([k, k]), height=40, width=20)
    mean = torch.tensor([[[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]]]).requires_grad_()
    mean.grad = torch.tensor([[[3.0, 0.0, 0.0]], [[0.0, 4.0, 7.0]]])
    empty = torch.zeros(2, 40, 20)
    output = RenderOutput(
        empty, empty, empty, empty, empty, empty, torch.tensor([[True], [True]]), torch.tensor([[5.0], [9.0]])
    )
    statistics = Statistics(1, "cpu")
    statistics.update(mean, cameras, output)
    first = 3.0 * 2.0 / 200.0 * 20.0  # world x is camera -y
    second = 4.0 * 2.0 / 100.0 * 10.0  # world y is camera x
    assert float(statistics.mean_gradient()) == pytest.approx(2 * (first + second) / 2)
    assert float(statistics.radius) == 9.0

"""Fitting the motion of frames to their pictures, on pictures that the avatar itself has drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError, OptionError
from surfhead.core.scene import Frame, Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import background_of, cameras_of
from surfhead.measuring import motion_fit
from surfhead.measuring.motion_fit import fit_motion
from surfhead.runs.run import Run

Motion = dict[str, Tensor]


class Portraits(Scene):
    """Pictures of an avatar in its own motion, from the cameras of a data set."""

    def __init__(self, avatar: Avatar, scene: Scene) -> None:
        super().__init__(
            scene.views, rig=scene.rig, rig_parameters=avatar.motion, background=scene.background
        )
        self._avatar = avatar

    def frame(self, view: int) -> Frame:
        cameras: Cameras = cameras_of(self, [view], "cpu")
        drawn = self._avatar.render(
            cameras, int(self.views.timestep[view]), background=background_of(self)
        ).output.rgb
        return Frame((255.0 * drawn[0].clamp(0, 1)).round().byte().numpy())


@pytest.fixture(scope="module")
def subject(trained_run: Path) -> tuple[Avatar, Portraits]:
    """An avatar whose surfels differ in colour, and its pictures."""
    run = Run(trained_run)
    avatar = run.avatar("cpu")
    for value in avatar.motion.values():
        value.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    colour = next(
        p for name, p in avatar.surfels.parameters.items() if p.shape[1:] == (3,) and name != "offset"
    )
    with torch.no_grad():
        colour += torch.randn(colour.shape, generator=generator)
        avatar.surfels.parameters["opacity"] += 3.0
    return avatar, Portraits(avatar, run.scene)


def disturbed(avatar: Avatar, timesteps: list[int], **by: list[float]) -> Motion:
    """The avatar's motion with some numbers added to its first values at some timesteps."""
    moved = {name: rows.clone() for name, rows in avatar.motion.items()}
    for name, values in by.items():
        moved[name][timesteps, : len(values)] += torch.tensor(values)
    return moved


def off(avatar: Avatar, motion: Motion, name: str, timesteps: list[int], *more: str) -> float:
    """How far a parameter, or the sum of several small rotations, is from the avatar's own at most."""
    by = torch.stack([motion[each] - avatar.motion[each] for each in (name, *more)]).sum(dim=0)
    return float(by[timesteps].norm(dim=1).max())


def views_at(scene: Scene, timesteps: list[int], cameras: int = 1) -> np.ndarray:
    """So many views of each timestep."""
    found = [np.flatnonzero(scene.views.timestep == step)[:cameras] for step in timesteps]
    return np.concatenate(found)


@pytest.fixture
def untouched(subject: tuple[Avatar, Portraits]) -> Iterator[None]:
    """Sees that a test left every tensor of the avatar as it was."""
    avatar = subject[0]
    before = {name: value.detach().clone() for name, value in avatar.state().tensors().items()}
    wanted = {name: value.requires_grad for name, value in avatar.state().tensors().items()}
    yield
    now = avatar.state().tensors()
    assert before.keys() == now.keys()
    assert all(torch.equal(before[name], now[name]) for name in now)
    assert wanted == {name: value.requires_grad for name, value in now.items()}
    assert all(value.grad is None for value in avatar.surfels.parameters.values())


@pytest.mark.usefixtures("untouched")
def test_a_disturbed_pose_is_found_again_and_nothing_else_moves(subject: tuple[Avatar, Portraits]) -> None:
    avatar, scene = subject
    moved = disturbed(avatar, [1, 3], rotation=[0.01, -0.015, 0.01], translation=[0.002, 0.0, 0.002])
    start = {name: rows.clone() for name, rows in moved.items()}
    fit = fit_motion(avatar, scene, views_at(scene, [1, 3]), moved, steps=16)
    # what the head turns by can be given to the root or to the neck
    assert off(avatar, fit.motion, "rotation", [1, 3], "neck") < 0.5 * off(avatar, start, "rotation", [1, 3])
    assert off(avatar, fit.motion, "translation", [1, 3]) < 0.5 * off(avatar, start, "translation", [1, 3])
    assert bool((fit.after < 0.2 * fit.before).all())
    assert fit.timesteps.tolist() == [1, 3]
    others = [step for step in range(len(start["rotation"])) if step not in (1, 3)]
    for name, rows in fit.motion.items():
        assert torch.equal(rows[others], start[name][others])
        assert torch.equal(moved[name], start[name])


@pytest.mark.usefixtures("untouched")
def test_jaw_and_expressions_follow_in_the_second_stage(subject: tuple[Avatar, Portraits]) -> None:
    avatar, scene = subject
    moved = disturbed(avatar, [2], jaw=[0.03], expression=[0.3, 0.3, -0.3, -0.3] * 6)
    fit = fit_motion(avatar, scene, views_at(scene, [2], 2), moved, steps=25)
    assert bool((fit.after < 0.75 * fit.before).all())
    assert off(avatar, fit.motion, "jaw", [2]) < 0.8 * off(avatar, moved, "jaw", [2])
    assert off(avatar, fit.motion, "expression", [2]) < 0.9 * off(avatar, moved, "expression", [2])


def test_who_wants_to_know_is_told_how_much_is_done(
    subject: tuple[Avatar, Portraits], monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar, scene = subject
    monkeypatch.setattr(motion_fit, "progress", None)  # no bar beside it
    told: list[tuple[float, int]] = []
    fit_motion(
        avatar, scene, views_at(scene, [0, 1]), steps=2, batch_size=1, report=lambda *said: told.append(said)
    )
    # two timesteps, one after the other, in two stages of two steps
    assert [part for part, _ in told] == [0.25 * step for step in range(1, 9)]
    assert {count for _, count in told} == {2}


def test_it_never_ends_worse_than_it_began(
    subject: tuple[Avatar, Portraits], monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar, scene = subject
    monkeypatch.setattr(motion_fit, "RATE", 40.0)  # every step leads far away
    fit = fit_motion(avatar, scene, views_at(scene, [0, 4]), steps=3)
    assert torch.equal(fit.after, fit.before)
    assert all(torch.equal(fit.motion[name], rows) for name, rows in avatar.motion.items())


def test_what_is_not_finite_moves_nothing(
    subject: tuple[Avatar, Portraits], monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar, scene = subject
    losses = motion_fit.ops.picture_losses

    def broken(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        colour, similarity = losses(image, truth)
        spoilt = torch.ones(len(colour))
        spoilt[0] = torch.nan  # the first timestep of the two
        return spoilt * colour, similarity

    monkeypatch.setattr(motion_fit.ops, "picture_losses", broken)
    moved = disturbed(avatar, [1, 3], rotation=[0.03])
    fit = fit_motion(avatar, scene, views_at(scene, [1, 3]), moved, steps=8)
    assert all(torch.equal(fit.motion[name][1], rows[1]) for name, rows in moved.items())
    assert all(bool(rows.isfinite().all()) for rows in fit.motion.values())
    assert off(avatar, fit.motion, "rotation", [3]) < 0.025


def test_how_many_views_are_drawn_at_once_changes_nothing(subject: tuple[Avatar, Portraits]) -> None:
    avatar, scene = subject
    moved = disturbed(avatar, [0, 1], rotation=[0.02])
    views = views_at(scene, [0, 1], 2)
    one, many = (fit_motion(avatar, scene, views, moved, steps=2, batch_size=n) for n in (1, 9))
    alone = [fit_motion(avatar, scene, views[first::2], moved, steps=1).before for first in (0, 1)]
    assert torch.allclose(many.before, torch.stack(alone).mean(dim=0), rtol=1e-4)
    assert torch.allclose(one.before, many.before, rtol=1e-4)
    assert torch.allclose(one.after, many.after, rtol=2e-2)
    assert torch.allclose(one.motion["rotation"], many.motion["rotation"], atol=5e-4)


def test_what_is_constant_or_not_trainable_stays(subject: tuple[Avatar, Portraits]) -> None:
    avatar, scene = subject
    moved = disturbed(avatar, [1], rotation=[0.03])
    moved["jaw"] = torch.zeros_like(moved["jaw"])
    fit = fit_motion(avatar, scene, views_at(scene, [1]), moved, steps=2)
    assert "jaw" not in fit.names
    assert not fit.motion["jaw"].any()
    still = {name: rows[:1].expand(len(rows), -1) for name, rows in moved.items()}
    with pytest.raises(DataError, match="every parameter is constant"):
        fit_motion(avatar, scene, [0], still)


def test_bad_options_and_avatars_without_motion_are_refused(subject: tuple[Avatar, Portraits]) -> None:
    avatar, scene = subject
    with pytest.raises(OptionError, match="steps"):
        fit_motion(avatar, scene, [0], steps=0)
    with pytest.raises(DataError, match=r"(?s)no rig that moves.*Leave out --fit-motion"):
        fit_motion(avatar, scene, [0], {})

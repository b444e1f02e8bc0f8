"""The checks of densifiers each reject what they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.api import Densifier, DensifyPlan, DensifyState
from surfhead.testing import check
from tests.conformance.planted import checks_of_kind_alone, error_of

EVERY = 10_000  # images


class Faint(Densifier):
    """Sound: prunes what is faint, unless a triangle would go bare; clones and splits what moved."""

    name = "faint"
    summary = "Prunes what is faint."
    keeps_covered = True

    def due(self, before: int, after: int, length: int) -> bool:
        return after // EVERY > before // EVERY

    def faint(self, state: DensifyState) -> torch.Tensor:
        faint = state.opacity < 0.05
        host = state.binding.triangle
        kept = set(host[~faint].tolist())
        for i in faint.nonzero().squeeze(1).tolist():
            if int(host[i]) >= 0 and int(host[i]) not in kept:
                faint[i] = False
                kept.add(int(host[i]))
        return faint

    def plan(self, state: DensifyState) -> DensifyPlan:
        prune = self.faint(state)
        moved = (state.gradient > 1e-4) & ~prune
        small = state.world_scale < 0.01
        return DensifyPlan(clone=moved & small, split=moved & ~small, prune=prune)


def planned(change: Any) -> type[Faint]:
    """A densifier whose plans are changed."""

    class Planned(Faint):
        def plan(self, state: DensifyState) -> DensifyPlan:
            return change(super().plan(state))

    return Planned


class NeedsSurfels(Faint):
    def plan(self, state: DensifyState) -> DensifyPlan:
        assert float(state.gradient.max()) < 1
        return super().plan(state)


class NeedsRig(Faint):
    def plan(self, state: DensifyState) -> DensifyPlan:
        assert state.binding.regions or not len(state.binding)
        return super().plan(state)


class PrunesAllFaint(Faint):
    def faint(self, state: DensifyState) -> torch.Tensor:
        return state.opacity < 0.05


class CountsCalls(Faint):
    calls = 0

    def due(self, before: int, after: int, length: int) -> bool:
        self.calls += 1
        return self.calls % 7 == 0


class Forgetful(Faint):
    def due(self, before: int, after: int, length: int) -> bool:
        return None  # type: ignore[return-value]


class BelowNothing(Faint):
    def most(self) -> int:
        return -1


class Boundless(Faint):
    def most(self) -> int:
        return float("inf")  # type: ignore[return-value]


class Trembles(Faint):
    def plan(self, state: DensifyState) -> DensifyPlan:
        return replace(
            super().plan(state), opacity_ceiling=float(torch.rand(())), clone=torch.rand(90) < 0.01
        )


class RemembersDue(Faint):
    """Resets what was due when it was last asked."""

    def due(self, before: int, after: int, length: int) -> bool:
        self.long = after - before > 1
        return super().due(before, after, length)

    def plan(self, state: DensifyState) -> DensifyPlan:
        return replace(super().plan(state), opacity_ceiling=0.01 if self.long else None)


class ResetsOpacity(Faint):
    def plan(self, state: DensifyState) -> DensifyPlan:
        made = super().plan(state)
        with torch.no_grad():
            state.binding.parameters["opacity"].clamp_(max=-4)
        return made


BUGS = [
    ("plans_fit", planned(lambda p: replace(p, prune=p.prune | p.clone)), "to clone and to prune"),
    ("plans_fit", planned(lambda p: replace(p, split=p.split | p.prune)), "to split and to prune"),
    ("plans_fit", planned(lambda p: replace(p, clone=p.split | p.clone)), "to clone and to split"),
    ("plans_fit", planned(lambda p: replace(p, clone=p.clone.float())), "Expected bool"),
    ("plans_fit", planned(lambda p: replace(p, clone=p.clone.nonzero())), "clone has shape"),
    ("plans_fit", planned(lambda p: replace(p, opacity_ceiling=0.0)), "opacity_ceiling is 0"),
    ("plans_fit", planned(lambda p: None), "gave a NoneType"),
    ("plans_fit", NeedsSurfels, ""),
    ("plans_fit", NeedsRig, ""),
    ("plans_can_be_applied", planned(lambda p: replace(p, shrink=0.0)), ""),
    ("plans_can_be_applied", planned(lambda p: replace(p, clone=p.clone[:-1])), ""),
    ("keeps_triangles_covered", PrunesAllFaint, "lose all their surfels"),
    ("due_is_a_matter_of_images", CountsCalls, "says otherwise"),
    ("due_is_a_matter_of_images", Forgetful, "no bool"),
    ("most_is_a_number", BelowNothing, "gave -1"),
    ("most_is_a_number", Boundless, "gave inf"),
    ("plan_is_a_matter_of_its_state", RemembersDue, "due() changes the reset"),
    ("deterministic", Trembles, "clone"),
    ("inputs_unmodified", ResetsOpacity, "opacity"),
]


def test_the_sound_one_passes(tmp_path: Path) -> None:
    assert [result for result in check(Faint, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Faint) == {name for name, _, _ in BUGS}


def test_only_a_densifier_that_promises_it_must_keep_triangles_covered() -> None:
    class Modest(PrunesAllFaint):
        keeps_covered = False

    assert "keeps_triangles_covered" not in checks_of_kind_alone(Modest)

"""Checks of densifiers (docs/method.md, section 8)."""

from __future__ import annotations

from typing import Any

import torch

from surfhead.avatars.surfels import CORE_PARAMETERS, Surfels
from surfhead.core.densification import DensifyPlan, DensifyState
from surfhead.testing import tiny
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import (
    require_equal,
    require_finite,
    require_repeatable,
    require_shape,
    require_unchanged,
    snapshot,
)

MANY = 90
LENGTH = 300_000  # images of the run
MOMENTS = tuple(range(5000, LENGTH + 1, 5000))


def _state(count: int = MANY, images: int = 30_000, seed: int = 0, rig: bool = True) -> DensifyState:
    """Surfels of every sort: moved much and little, large and small, opaque and faint."""
    random = tiny.generator(seed)
    topology = tiny.rest_mesh().topology if rig else None
    binding = tiny.binding({}, count, topology, seed, spread=2.0)

    def spread(low: float, high: float) -> torch.Tensor:
        return 10 ** (low + (high - low) * torch.rand(count, generator=random))

    opacity = torch.sigmoid(binding.parameters["opacity"])
    if rig and count:
        # one triangle whose surfels are all faint: what keeping it covered is about
        opacity[binding.triangle == 0] *= 1e-3
    return DensifyState(
        images=images,
        length=LENGTH,
        gradient=spread(-7, -2),
        radius=spread(-1, 2.5),
        world_scale=spread(-4, 0),
        opacity=opacity,
        binding=binding,
        extent=1.0,
        image_size=(550, 802),
    )


def _require_plan(plan: Any, count: int) -> None:
    require(isinstance(plan, DensifyPlan), f"It gave a {type(plan).__name__}.", "Expected a DensifyPlan.")
    for name in ("clone", "split", "prune"):
        flags = getattr(plan, name)
        require_shape(flags, (count,), name)
        require(flags.dtype == torch.bool, f"{name} is {flags.dtype}.", "Expected bool.")
    for one, other in (("clone", "prune"), ("split", "prune"), ("clone", "split")):
        both = getattr(plan, one) & getattr(plan, other)
        require(not bool(both.any()), f"{int(both.sum())} surfels are to {one} and to {other} at once.")
    require(plan.children >= 1, f"children is {plan.children}.", "Expected at least 1.")
    require(plan.shrink > 0, f"shrink is {plan.shrink}.", "Expected > 0.")
    ceiling = plan.opacity_ceiling
    require(ceiling is None or 0 < ceiling < 1, f"opacity_ceiling is {ceiling}.", "Expected 0 to 1.")


def _plan(densifier: Any, state: DensifyState) -> Any:
    """The plan, asked for as the trainer does: after ``due``, with the images of a step."""
    densifier.due(state.images - 1, state.images, state.length)
    return densifier.plan(state)


@promise("densifier")
def plans_fit(subject: Subject) -> None:
    """Through the run, for 0, 1 and many surfels, with or without a rig, plans are masks without clashes."""
    densifier = subject.make()
    for images in MOMENTS:
        _require_plan(_plan(densifier, _state(MANY, images)), MANY)
    for count in (0, 1):
        _require_plan(_plan(densifier, _state(count)), count)
    _require_plan(_plan(densifier, _state(rig=False)), MANY)


@promise("densifier")
def plans_can_be_applied(subject: Subject) -> None:
    """Surfels that a plan was applied to are finite, and sit on the triangles they came from."""
    densifier = subject.make()
    for images in MOMENTS:
        state = _state(MANY, images)
        surfels = Surfels(CORE_PARAMETERS, state.binding.parameters, state.binding.triangle, None)
        selection = surfels.apply(_plan(densifier, state), tiny.generator())
        require_finite(surfels.parameters, "A parameter after the plan")
        hosts = state.binding.triangle[selection.source]
        require(torch.equal(surfels.triangle, hosts), "A surfel changed its triangle.")


@promise("densifier", lambda cls: cls.keeps_covered)
def keeps_triangles_covered(subject: Subject) -> None:
    """Every triangle that had surfels has at least one after any plan."""
    densifier = subject.make()
    for images in MOMENTS:
        state = _state(MANY, images)
        prune = _plan(densifier, state).prune
        host = state.binding.triangle
        lost = sorted(set(host.tolist()) - set(host[~prune].tolist()))
        require(not lost, f"At image {images} the triangles {lost} lose all their surfels.")


@promise("densifier")
def due_is_a_matter_of_images(subject: Subject) -> None:
    """``due`` gives a bool that depends on the interval of images alone, not on how often it is asked."""
    densifier = subject.make()
    moments = range(0, LENGTH, 500)
    first = [densifier.due(i, i + 500, LENGTH) for i in moments]
    require(all(isinstance(value, bool) for value in first), "due() gave no bool.")
    require(
        first == [densifier.due(i, i + 500, LENGTH) for i in moments], "Asked again, due() says otherwise."
    )
    other = subject.make()
    require(first == [other.due(i, i + 500, LENGTH) for i in moments], "Another instance says otherwise.")


@promise("densifier")
def most_is_a_number(subject: Subject) -> None:
    """``most`` gives a whole number of surfels; 0: no limit."""
    most = subject.make().most()
    whole = isinstance(most, int) and not isinstance(most, bool)
    require(whole and most >= 0, f"most() gave {most!r}.", "Expected a whole number, at least 0.")


@promise("densifier")
def plan_is_a_matter_of_its_state(subject: Subject) -> None:
    """A plan is what follows from the statistics and images it is given, not from the last ``due``."""
    densifier = subject.make()
    for images in MOMENTS:
        state = _state(MANY, images)
        plans = []
        for before, after in ((images - 1, images), (0, LENGTH)):
            densifier.due(before, after, LENGTH)
            plans.append(densifier.plan(state))
        first, second = plans
        require_equal(first, second, f"At image {images}, after due() was asked about other images")
        ceilings = [first.opacity_ceiling, second.opacity_ceiling]
        require(ceilings[0] == ceilings[1], f"At image {images} due() changes the reset: {ceilings}.")


@promise("densifier")
def deterministic(subject: Subject) -> None:
    """Equal statistics give equal plans in every instance."""
    require_repeatable(subject.make, lambda densifier: _plan(densifier, _state()))


@promise("densifier")
def inputs_unmodified(subject: Subject) -> None:
    """The statistics and parameters are left as they were."""
    state = _state()
    before = snapshot(state)
    _plan(subject.make(), state)
    require_unchanged(state, before)

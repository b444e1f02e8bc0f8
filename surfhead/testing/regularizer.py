"""Checks of loss terms (docs/method.md, section 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from surfhead.core.errors import DataError
from surfhead.core.types import Step
from surfhead.testing import steps
from surfhead.testing.capture import require_capturable
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import (
    require_close,
    require_finite,
    require_repeatable,
    require_unchanged,
    snapshot,
)

ZERO = 1e-5


def _require_term(value: Any, where: str) -> None:
    require(isinstance(value, Tensor), f"{where} it gave a {type(value).__name__}.", "Expected a tensor.")
    require(value.ndim == 0, f"{where} it has shape {tuple(value.shape)}.", "Expected a scalar.")
    require_finite(value, where)
    require(_number(value) >= 0, f"{where} it is {_number(value):.3g}.", "Expected >= 0.")


def _number(value: Tensor) -> float:
    return float(value.detach())


def _require_finite_gradients(value: Tensor, step: Step, where: str) -> list[str]:
    """The names of what it pulls on."""
    if not value.requires_grad:
        return []
    named = steps.leaves(step)
    found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    pulled = []
    for (name, _), gradient in zip(named.items(), found, strict=True):
        if gradient is not None:
            require_finite(gradient, f'{where} the gradient of "{name}"')
            if bool((gradient != 0).any()):
                pulled.append(name)
    return pulled


@promise("regularizer")
def gives_scalar(subject: Subject) -> None:
    """On random steps it is a finite scalar > 0 with finite gradients, and pulls on something."""
    term = subject.make()
    for seed in range(2):
        step = steps.random_step(seed=seed)
        value = term(step)
        _require_term(value, "On a random step")
        require(
            _number(value) > 0, "On a random step it is 0.", "Expected > 0: nothing there is at its optimum."
        )
        pulled = _require_finite_gradients(value, step, "On a random step")
        require(bool(pulled), "It pulls on nothing: every gradient is zero.")


@promise("regularizer")
def zero_at_optimum(subject: Subject) -> None:
    """It is zero, with finite gradients, where nothing is left to improve (``steps.perfect_step``)."""
    step = steps.perfect_step()
    value = subject.make()(step)
    _require_term(value, "At the optimum")
    require(
        _number(value) <= ZERO, f"At the optimum it is {_number(value):.3g}.", f"Expected at most {ZERO}."
    )
    _require_finite_gradients(value, step, "At the optimum")


@promise("regularizer")
def finite_with_nothing_visible(subject: Subject) -> None:
    """With nothing visible, without surfels, and without a rig, it and its gradients are finite."""
    term = subject.make()
    for where, step in (
        ("With nothing visible", steps.empty_step()),
        ("Without surfels", steps.empty_step(count=0)),
        ("Without a rig", steps.empty_step(rig=False)),
    ):
        value = term(step)
        _require_term(value, where)
        _require_finite_gradients(value, step, where)


@promise("regularizer")
def copes_without_mask(subject: Subject) -> None:
    """Without foreground masks it is finite, or says in a DataError that it needs them."""
    step = steps.random_step(mask=False)
    try:
        value = subject.make()(step)
    except DataError:
        return
    _require_term(value, "Without masks")
    _require_finite_gradients(value, step, "Without masks")


@promise("regularizer")
def deterministic(subject: Subject) -> None:
    """Equal steps give equal values, bit for bit, in every instance."""
    require_repeatable(subject.make, lambda term: term(steps.random_step()).reshape(1))


@promise("regularizer")
def inputs_unmodified(subject: Subject) -> None:
    """The step is left as it was."""
    step = steps.random_step()
    before = snapshot(step)
    subject.make()(step)
    require_unchanged(step, before)


@promise("regularizer")
def weight_and_start(subject: Subject) -> None:
    """The declared weight is >= 0, and the declared start a fraction of the run."""
    cls = type(subject.make())
    require(cls.weight >= 0, f"weight is {cls.weight}.", "Expected >= 0.")
    require(0 <= cls.start <= 1, f"start is {cls.start}.", "Expected 0 to 1.")


@promise("regularizer")
def views_and_poses(subject: Subject) -> None:
    """Two views of one pose give a finite term; a batch known to be paired gives the same as before."""
    term = subject.make()
    shared = steps.shared_step()
    value = term(shared)
    _require_term(value, "With two views of one pose")
    _require_finite_gradients(value, shared, "With two views of one pose")
    known, unknown = term(steps.paired_step()), term(steps.random_step())
    require_close(known, unknown, "With every view paired with its pose", ZERO, ZERO)


@promise("regularizer")
def capturable(subject: Subject) -> None:
    """Where it says so, a CUDA graph can hold it: no look at values, no copies, the same at every image."""
    term = subject.make()
    if not term.capturable:
        return
    for make in (steps.random_step, steps.paired_step, steps.shared_step):
        require_capturable(term, make(), make())
    step = steps.random_step()
    later = term(replace(step, images=step.images + 2000))
    require(bool(later == term(step)), "It depends on the image count, which a CUDA graph does not see.")

"""The checks of loss terms each reject what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step
from surfhead.testing import check
from tests.conformance.planted import checks_of_kind_alone, error_of


class Difference(Regularizer):
    """Sound."""

    name = "difference"
    summary = "Mean absolute error."
    weight = 0.5
    capturable = True

    def __call__(self, step: Step) -> Tensor:
        return (step.output.rgb - step.batch.target).abs().mean()


class Map(Difference):
    def __call__(self, step: Step) -> Tensor:
        return (step.output.rgb - step.batch.target).abs().mean(dim=0)


class Signed(Difference):
    def __call__(self, step: Step) -> Tensor:
        return -super().__call__(step)


class Number(Difference):
    def __call__(self, step: Step) -> Tensor:
        return float(super().__call__(step).detach())  # type: ignore[return-value]


class Deaf(Difference):
    def __call__(self, step: Step) -> Tensor:
        return super().__call__(step).detach()


class Nothing(Difference):
    def __call__(self, step: Step) -> Tensor:
        return 0 * super().__call__(step)


class Infinite(Difference):
    def __call__(self, step: Step) -> Tensor:
        return super().__call__(step) / 0


class NeverZero(Difference):
    def __call__(self, step: Step) -> Tensor:
        return super().__call__(step) + 0.01


class RootOfSquares(Difference):
    """The square root's derivative is infinite at zero, the optimum."""

    def __call__(self, step: Step) -> Tensor:
        return (step.output.rgb - step.batch.target).square().sum(dim=-1).sqrt().mean()


class MeanOverVisible(Difference):
    def __call__(self, step: Step) -> Tensor:
        length = step.binding.parameters["offset"].square().sum(dim=-1)
        return length[step.seen].mean()


class PicksByList(Difference):
    """A list as an index is made a tensor on the host at every step."""

    def __call__(self, step: Step) -> Tensor:
        return super().__call__(step) + step.binding.parameters["offset"][:, [0, 2]].square().mean()


class NeedsMask(Difference):
    def __call__(self, step: Step) -> Tensor:
        foreground = step.batch.foreground
        assert foreground is not None
        return (step.output.alpha - foreground).abs().mean()


class Trembles(Difference):
    def __call__(self, step: Step) -> Tensor:
        return super().__call__(step) * (1 + 1e-3 * torch.rand(()))


class MovesInput(Difference):
    def __call__(self, step: Step) -> Tensor:
        with torch.no_grad():
            step.output.rgb.clamp_(0.1, 0.9)
        return super().__call__(step)


class CountsImages(Difference):
    start = 2500.0


class NegativeWeight(Difference):
    weight = -1.0


class PoseOfItsOwn(Difference):
    """Takes a mesh for every view."""

    def __call__(self, step: Step) -> Tensor:
        views = torch.arange(len(step.batch.image))
        return super().__call__(step) * step.surfels.mean[views].square().mean()


class CountsPairs(Difference):
    def __call__(self, step: Step) -> Tensor:
        return super().__call__(step) * (2.0 if step.batch.paired else 1.0)


class Asks(Difference):
    def __call__(self, step: Step) -> Tensor:
        value = super().__call__(step)
        return value if value > 0.1 else 0.5 * value


class Weighs(Difference):
    def __call__(self, step: Step) -> Tensor:
        weights = torch.tensor([0.3, 0.6, 0.1])
        return ((step.output.rgb - step.batch.target).abs() * weights).mean()


class Fades(Difference):
    def __call__(self, step: Step) -> Tensor:
        return super().__call__(step) / step.images


class _AsksBackwards(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        return gradient if bool(gradient.isfinite().all()) else None


class LooksBack(Difference):
    def __call__(self, step: Step) -> Tensor:
        return _AsksBackwards.apply(super().__call__(step))


class LooksWhenPaired(Difference):
    def __call__(self, step: Step) -> Tensor:
        value = super().__call__(step)
        return value * float(value.detach() > 0) if step.batch.paired else value


BUGS = [
    ("gives_scalar", Map, "Expected a scalar"),
    ("gives_scalar", Signed, "Expected >= 0"),
    ("gives_scalar", Number, "gave a float"),
    ("gives_scalar", Deaf, "pulls on nothing"),
    ("gives_scalar", Nothing, "it is 0"),
    ("gives_scalar", Infinite, "infinity"),
    ("zero_at_optimum", NeverZero, "At the optimum it is 0.01"),
    ("zero_at_optimum", RootOfSquares, 'gradient of "rgb" holds NaN'),
    ("finite_with_nothing_visible", MeanOverVisible, "With nothing visible"),
    ("copes_without_mask", NeedsMask, ""),
    ("views_and_poses", PoseOfItsOwn, "out of bounds"),
    ("views_and_poses", CountsPairs, "With every view paired"),
    ("capturable", Asks, "reads values back (__bool__)"),
    ("capturable", MeanOverVisible, "indexing with a mask"),
    ("capturable", Weighs, "copies from the host (mul)"),
    ("capturable", PicksByList, "copies from the host (a list as an index)"),
    ("capturable", Fades, "depends on the image count"),
    ("capturable", LooksBack, "waits for the GPU (_local_scalar_dense)"),
    ("capturable", LooksWhenPaired, "reads values back (__float__)"),
    ("deterministic", Trembles, "differs"),
    ("inputs_unmodified", MovesInput, "output.rgb"),
    ("weight_and_start", CountsImages, "start is 2500"),
    ("weight_and_start", NegativeWeight, "weight is -1"),
]


def test_the_sound_one_passes(tmp_path: Path) -> None:
    assert [result for result in check(Difference, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Difference) == {name for name, _, _ in BUGS}

"""The checks of every kind each reject what they should."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.testing import check
from tests.conformance.planted import error_of


class Difference(Regularizer):
    """Sound."""

    name = "difference"
    summary = "Mean absolute error."
    weight = 0.5

    @dataclass(frozen=True)
    class Options:
        """One of each type."""

        power: int = option(1, "Exponent.")
        path: Path = option(Path("weights.bin"), "A file.")
        limits: tuple[float, ...] = option((0.0, 1.0), "Range.")
        region: str | None = option(None, "Region.")

    def __call__(self, step: Step) -> Tensor:
        return (step.output.rgb - step.batch.target).abs().mean()


class OpensFile(Difference):
    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        Path(__file__).read_bytes()


class NeedsArgument(Difference):
    def __init__(self, options: Any) -> None:
        super().__init__(options)


class BadName(Difference):
    name = "My Difference"


class LongSummary(Difference):
    summary = "Mean absolute error.\nOf colours."


class NoDescription(Difference):
    @dataclass(frozen=True)
    class Options:
        power: int = 1


class NoDefault(Difference):
    @dataclass(frozen=True)
    class Options:
        power: int


class Thawed(Difference):
    @dataclass
    class Options:
        power: int = option(1, "Exponent.")


class ChangesOptions(Difference):
    @dataclass(frozen=True)
    class Options:
        degrees: float = option(30.0, "An angle.")

        def __post_init__(self) -> None:
            object.__setattr__(self, "degrees", self.degrees * 3.14159 / 180)


class SaysTrue(Difference):
    @classmethod
    def available(cls) -> str | None:
        return True  # type: ignore[return-value]


class SaysNothing(Difference):
    @classmethod
    def available(cls) -> str | None:
        return ""


class RenamesParameter(Difference):
    def __call__(self, data: Step) -> Tensor:  # type: ignore[override]
        return super().__call__(data)


class WantsMore(Difference):
    def __call__(self, step: Step, extra: int) -> Tensor:  # type: ignore[override]
        return super().__call__(step) * extra


BUGS = [
    ("constructible", OpensFile, "opened"),
    ("constructible", NeedsArgument, "missing 1 required"),
    ("constructible", BadName, "lower case"),
    ("constructible", LongSummary, "one line"),
    ("options_described", NoDescription, '"power" has no description'),
    ("options_described", NoDefault, '"power" has no default'),
    ("options_described", Thawed, "not a frozen dataclass"),
    ("options_round_trip", ChangesOptions, "became"),
    ("available_answers", SaysTrue, "It gave True"),
    ("available_answers", SaysNothing, "It gave ''"),
    ("signatures", RenamesParameter, "lacks step"),
    ("signatures", WantsMore, "extra"),
]


def test_the_sound_one_passes(tmp_path: Path) -> None:
    assert [result for result in check(Difference, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug.__name__} passes {name}"
    assert says in str(error)

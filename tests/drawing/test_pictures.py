"""Colours as bytes, and pictures that are asked for before the ones before them are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from surfhead.drawing.pictures import Coming, arriving, to_bytes


def test_colours_are_clipped_and_rounded_to_the_nearest() -> None:
    """Halves go to the even number; what is given stays as it is."""
    steps = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 254.4 / 255, 1.0, 7.0])
    kept = steps.clone()
    assert to_bytes(steps).tolist() == [0, 0, 0, 1, 128, 254, 255, 255]
    assert torch.equal(steps, kept)
    assert to_bytes(torch.tensor([0.5 / 255, 1.5 / 255], dtype=torch.float64)).tolist() == [0, 2]
    assert to_bytes(torch.tensor([1, 0, 3])).tolist() == [255, 0, 255]
    assert to_bytes(torch.ones(2, 3, requires_grad=True)).dtype == np.uint8


@dataclass
class Asked:
    """A picture that arrives when somebody waits for it, and says what happened when."""

    told: list[str]
    number: int
    drawn: bool = False

    def wait(self) -> int:
        self.told.append(f"wait {self.number}")
        return self.number


def asked(told: list[str], count: int, drawn: bool = False, broken: int = -1) -> Iterator[Asked]:
    for number in range(count):
        told.append(f"begin {number}")
        if number == broken:
            raise ValueError("broken")
        yield Asked(told, number, drawn)


def test_the_next_is_begun_before_one_waits() -> None:
    told: list[str] = []
    assert list(arriving(asked(told, 3))) == [0, 1, 2]
    assert told == ["begin 0", "begin 1", "wait 0", "begin 2", "wait 1", "wait 2"]
    assert list(arriving(asked(told, 0))) == []


def test_what_is_there_already_is_given_at_once() -> None:
    told: list[str] = []
    taken = arriving(asked(told, 3, drawn=True))
    assert next(taken) == 0
    assert told == ["begin 0", "wait 0"]
    assert list(taken) == [1, 2]


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_an_error_comes_in_the_place_of_its_picture(broken: int) -> None:
    taken = arriving(asked([], 3, broken=broken))
    assert [next(taken) for _ in range(broken)] == list(range(broken))
    with pytest.raises(ValueError, match="broken"):
        next(taken)
    assert list(taken) == []


def test_without_a_gpu_pixels_are_there_at_once() -> None:
    coming = Coming.of(torch.full((2, 3), 0.2))
    assert coming.drawn
    assert coming.wait().tolist() == [[51, 51, 51]] * 2

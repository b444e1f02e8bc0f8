"""Columns by name, whatever program spelt the name."""

from __future__ import annotations

import pytest
import torch

from surfhead.core.errors import DataError
from surfhead.results.labelled import arranged, plain_name


@pytest.mark.parametrize(
    "name", ["eyeBlinkLeft", "EyeBlinkLeft", "eyeBlink_L", "eye_blink_left", "eyeBlink.l"]
)
def test_spellings_of_one_name_are_one(name: str) -> None:
    assert plain_name(name) == "eyeblink.l"


def test_directions_are_no_sides() -> None:
    assert plain_name("jawLeft") == plain_name("JawLeft") == "jawleft"
    assert plain_name("mouthRight") == "mouthright"
    assert plain_name("mouthSmileRight") == "mouthsmile.r"


def test_columns_go_where_their_names_are() -> None:
    rows = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])
    given = ("MouthSmileLeft", "BrowInnerUp", "TongueOut", "JawOpen")
    made = arranged(
        rows, given, ("jawOpen", "browInnerUp_L", "browInnerUp_R", "mouthSmile_L", "noseSneer_L"), "x"
    )
    expected = [[0.4, 0.2, 0.2, 0.1, 0.0], [0.8, 0.6, 0.6, 0.5, 0.0]]
    torch.testing.assert_close(made, torch.tensor(expected))


def test_two_sides_move_what_has_none_by_their_mean() -> None:
    made = arranged(torch.tensor([[0.2, 0.6]]), ("cheekPuff_L", "cheekPuff_R"), ("cheekPuff",), "x")
    torch.testing.assert_close(made, torch.tensor([[0.4]]))


@pytest.mark.parametrize("wanted", [("smirk",), ()])
def test_nothing_in_common_is_an_error(wanted: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match='Driver "take.csv" and the avatar have no blendshape in common'):
        arranged(torch.zeros(1, 1), ("jawOpen",), wanted, "take.csv")

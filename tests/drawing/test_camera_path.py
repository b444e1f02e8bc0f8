"""Camera paths around an avatar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.core.types import Cameras
from surfhead.drawing.camera_path import intrinsics_of, orbit, spiral
from tests.runs.tiny_run import tiny_avatar

SIZE = {"height": 40, "width": 60}


def angles(cameras: Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """Degrees to the side and above the horizon, of cameras that look at the origin."""
    away = torch.nn.functional.normalize(cameras.centre, dim=-1)
    forward = cameras.camera_from_world[:, 2, :3]
    torch.testing.assert_close(forward, -away, atol=1e-5, rtol=0)
    return torch.rad2deg(torch.atan2(away[:, 0], away[:, 2])), torch.rad2deg(torch.asin(away[:, 1]))


def test_an_orbit_sweeps_to_and_fro_or_goes_round() -> None:
    side, above = angles(orbit(tiny_avatar(), 8, turn=60.0, elevation=10.0, **SIZE))
    torch.testing.assert_close(side, 30 * torch.sin(torch.arange(8) * math.pi / 4), atol=1e-3, rtol=0)
    torch.testing.assert_close(above, torch.full((8,), 10.0), atol=1e-3, rtol=0)
    side, _ = angles(orbit(tiny_avatar(), 8, turn=360.0, **SIZE))
    torch.testing.assert_close(side.remainder(360), 45.0 * torch.arange(8), atol=1e-3, rtol=0)


def test_a_spiral_climbs_while_it_goes_round_and_is_in_front_halfway() -> None:
    cameras = spiral(tiny_avatar(), 9, turn=720.0, elevation=40.0, **SIZE)
    side, above = angles(cameras)
    torch.testing.assert_close(above, torch.linspace(-40, 40, 9), atol=1e-3, rtol=0)
    turned = (90.0 * torch.arange(9) + 0.5).remainder(360) - 0.5
    torch.testing.assert_close((side + 0.5).remainder(360) - 0.5, turned, atol=1e-3, rtol=0)
    distance = cameras.centre.norm(dim=-1)
    torch.testing.assert_close(distance, distance[:1].expand(9))
    side, above = angles(spiral(tiny_avatar(), 1, **SIZE))
    assert side.tolist() == pytest.approx([0.0], abs=1e-3)
    assert above.tolist() == pytest.approx([0.0], abs=1e-3)


def test_the_field_of_view_is_that_of_the_shorter_side() -> None:
    lens = intrinsics_of(90.0, 40, 60)
    assert lens.tolist() == [[pytest.approx(20.0), 0, 30], [0, pytest.approx(20.0), 20], [0, 0, 1]]
    assert torch.equal(orbit(tiny_avatar(), 2, field_of_view=90.0, **SIZE).intrinsics[1], lens.float())


@pytest.mark.parametrize("path", [orbit, spiral])
@pytest.mark.parametrize("frames", [0, -2])
def test_a_path_needs_frames(path: object, frames: int) -> None:
    with pytest.raises(OptionError, match='"frames" is'):
        path(tiny_avatar(), frames, **SIZE)  # type: ignore[operator]


@pytest.mark.parametrize("path", [orbit, spiral])
@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 2.5},
        {"frames": "4"},
        {"frames": math.nan},
        {"frames": True},
        {"height": 40.0},
        {"turn": math.nan},
        {"elevation": math.inf},
        {"elevation": 10**400},
        {"turn": torch.zeros(2)},
        {"turn": "90"},
        {"field_of_view": None},
        {"field_of_view": math.nan},
        {"up": (0, 1)},
        {"up": (0, 0, 0)},
        {"up": (math.nan, 0, 0)},
        {"up": "up"},
        {"up": None},
    ],
)
def test_a_path_without_sense_is_refused_by_name(path: Any, wrong: dict[str, Any]) -> None:
    """Not drawn with another number of frames, nor with cameras that are nowhere."""
    (name,) = wrong
    with pytest.raises(OptionError, match=f'"{name.replace("_", " ")}" is '):
        path(tiny_avatar(), **{"frames": 2, **SIZE, **wrong})


def test_numbers_of_numpy_will_do() -> None:
    sizes = {name: np.int64(size) for name, size in SIZE.items()}
    found = orbit(tiny_avatar(), np.int64(2), turn=np.float64(30.0), up=np.array([0.0, 1.0, 0.0]), **sizes)  # type: ignore[arg-type]
    assert torch.equal(found.camera_from_world, orbit(tiny_avatar(), 2, turn=30.0, **SIZE).camera_from_world)

"""What callers of public functions give instead of what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import surfhead
from surfhead.core.errors import DataError, OptionError, ShapeError, SurfheadError, nearest
from surfhead.core.types import Cameras
from surfhead.files.places import path_text, place
from surfhead.runs.run import Run
from surfhead.training.devices import choose_device

CAMERAS = Cameras(torch.eye(4)[None], torch.eye(3)[None], 8, 8)
WRONG = (Run("no-run"), CAMERAS, None, 3, [1], torch.zeros(2), b"run")
CALLS: dict[str, tuple[Callable[[Any], object], tuple[object, ...], type[SurfheadError], str]] = {
    "orbit": (lambda x: surfhead.orbit(x, 2, height=8, width=8), (*WRONG, "run"), OptionError, "an avatar"),
    "spiral": (lambda x: surfhead.spiral(x, 2, height=8, width=8), (*WRONG, "run"), OptionError, "an avatar"),
    "open_run": (surfhead.open_run, WRONG, DataError, "a path"),
    "load_avatar": (surfhead.load_avatar, WRONG, DataError, "a path"),
    "evaluate": (surfhead.evaluate, WRONG[1:], DataError, "a path"),
    "evaluate on": (lambda x: surfhead.evaluate("run", data=x), (WRONG[0], 3), DataError, "a path"),
    "moved": (lambda x: surfhead.evaluate("run", moved=x), (WRONG[0], 3), DataError, "a path"),
    "train": (surfhead.train, (WRONG[0], 3, [1]), DataError, "a path"),
    "train out": (lambda x: surfhead.train(out=x), (WRONG[0], 3, b"run"), DataError, "a path"),
    "train file": (lambda x: surfhead.train(file=x), (WRONG[0], 3), DataError, "a path"),
    "surfels": (lambda x: surfhead.rasterize(x, torch.zeros(1, 3), CAMERAS), WRONG, OptionError, "surfels"),
}


@pytest.mark.parametrize("name", CALLS)
def test_another_thing_than_was_asked_for_is_named(name: str) -> None:
    call, given, error, noun = CALLS[name]
    for thing in given:
        with pytest.raises(error) as raised:
            call(thing)
        kind = type(thing).__name__
        assert raised.value.what == f"{'An' if kind[0] == 'i' else 'A'} {kind} is not {noun}."
        assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize("rasterizer", [None, 3, Path("torch"), CAMERAS])
def test_a_rasterizer_is_a_name_or_was_made(rasterizer: Any) -> None:
    mean, tangents = torch.zeros(1, 1, 3), torch.eye(3)[None, None, :, :2]
    surfels = surfhead.WorldSurfels(mean, tangents, torch.eye(3)[None, None, 2], torch.ones(1))
    with pytest.raises(OptionError, match="is not a rasterizer"):
        surfhead.rasterize(surfels, torch.zeros(1, 3), CAMERAS, rasterizer=rasterizer)


def test_paths_are_text_or_paths() -> None:
    assert path_text(Path("a") / "b") == str(Path("a") / "b")
    assert path_text("") == ""
    assert place("a/") == Path("a")
    with pytest.raises(DataError, match="it is empty"):
        place("")


@pytest.mark.parametrize("value", [np.eye(4)[None], [[1.0]], None, "eye"])
def test_tensors_are_tensors(value: Any) -> None:
    with pytest.raises(ShapeError, match=f'"camera_from_world" is a {type(value).__name__}'):
        Cameras(value, torch.eye(3)[None], 8, 8)


@pytest.mark.parametrize("height", [0, -1, 2.5, float("nan"), "8", None])
def test_a_picture_has_whole_sides(height: Any) -> None:
    with pytest.raises(ShapeError, match="no picture's size"):
        Cameras(torch.eye(4)[None], torch.eye(3)[None], height, 8).validate()


def test_cameras_are_no_index() -> None:
    with pytest.raises(ShapeError, match="no index"):
        CAMERAS[CAMERAS]  # type: ignore[index]


@pytest.mark.parametrize("limit", [-1, 2.5, float("nan"), None, "2", [1]])
def test_a_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(OptionError, match='"limit" is'):
        surfhead.evaluate("run", limit=limit)


@pytest.mark.parametrize("settings", [[], 0, "", torch.zeros(2), "a"])
def test_settings_are_tables_also_where_they_are_empty(settings: Any) -> None:
    with pytest.raises(OptionError, match='"settings" is'):
        surfhead.train(settings=settings)


@pytest.mark.parametrize("device", ["meta", "mps", "cpu:3", 10**30, "gpu", ""])
def test_a_device_is_one_that_it_can_compute_on(device: Any) -> None:
    """Not a checkpoint that is called damaged, nor PyTorch's own words."""
    with pytest.raises(OptionError, match="is not a device"):
        choose_device(device)


@pytest.mark.parametrize(("name", "meant"), [("JBS", "jbs"), ("Jsb", "jbs"), ("xyz", None)])
def test_letters_in_the_other_case_are_the_same_name(name: str, meant: str | None) -> None:
    assert nearest(name, ["jacobian", "jbs"]) == meant

"""A data set's description: splits, extent, and data that cannot be right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.errors import DataError, UnknownNameError
from surfhead.core.scene import Frame, Scene, Views


class Blank(Scene):
    """Black pictures."""

    def frame(self, view: int) -> Frame:
        return Frame(np.zeros((self.views.height, self.views.width, 3), dtype=np.uint8))


def views(positions: list[tuple[float, float, float]], split: str | list[str] = "train") -> Views:
    """Cameras at these places, turned differently, so that the translation is not the position."""
    count = len(positions)
    poses = np.tile(np.eye(4), (count, 1, 1))
    for i, position in enumerate(positions):
        angle = 0.7 * i
        rotation = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        poses[i, :3, :3] = rotation
        poses[i, :3, 3] = -rotation @ np.asarray(position)
    return Views(
        camera_from_world=poses,
        intrinsics=np.tile(np.diag([100.0, 100.0, 1.0]), (count, 1, 1)),
        timestep=np.zeros(count, dtype=np.int64),
        camera=np.arange(count),
        split=np.array([split] * count if isinstance(split, str) else split),
        names=tuple(f"view {i}" for i in range(count)),
        height=4,
        width=6,
    )


def scene(given: Views, **settings: Any) -> Scene:
    return Blank(given, rig="none", rig_parameters=settings.pop("rig_parameters", {}), **settings)


def test_splits_give_indices_in_order() -> None:
    given = views([(0, 0, 1)] * 4, ["val", "train", "test", "train"])
    assert given.of("train").tolist() == [1, 3]
    assert given.of("val").tolist() == [0]
    assert given.of("test").tolist() == [2]
    assert given.of("all").tolist() == [0, 1, 2, 3]
    with pytest.raises(UnknownNameError, match='Did you mean "train"'):
        given.of("trian")


def test_the_extent_is_a_tenth_more_than_the_largest_distance_from_the_mean_camera() -> None:
    given = views([(1, 0, 5), (-1, 0, 5), (0, 2, 5), (0, -2, 5)])
    assert scene(given).extent(np.array([0.0, 0.0, 5.0])) == pytest.approx(2.2)


def test_the_extent_is_at_least_the_mean_distance_to_the_head() -> None:
    one = scene(views([(0, 0, 3)]))
    assert one.extent() == pytest.approx(3.0)
    assert one.extent(np.array([0.0, 0.0, 1.0])) == pytest.approx(2.0)


def test_only_training_cameras_count_for_the_extent() -> None:
    given = views([(1, 0, 0), (-1, 0, 0), (100, 0, 0)], ["train", "train", "val"])
    assert scene(given).extent(np.zeros(3)) == pytest.approx(1.1)
    held_out = views([(1, 0, 0), (-1, 0, 0)], "val")  # no training cameras: all of them
    assert scene(held_out).extent(np.zeros(3)) == pytest.approx(1.1)


def test_timesteps_are_the_rows_of_the_rigs_parameters() -> None:
    given = views([(0, 0, 1)])
    assert scene(given).timesteps == 0
    assert scene(given, rig_parameters={"expression": torch.zeros(7, 3)}).timesteps == 7


def test_a_data_set_without_views_is_refused() -> None:
    with pytest.raises(DataError, match="no views"):
        scene(views([]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["camera_from_world", "intrinsics"])
def test_a_camera_with_nan_is_named(field: str, bad: float) -> None:
    given = views([(0, 0, 1), (0, 0, 2)])
    values = getattr(given, field).copy()
    values[1, 0, 0] = bad
    with pytest.raises(DataError) as caught:
        scene(replace(given, **{field: values}))
    assert str(caught.value).splitlines() == [
        'The camera of view "view 1" holds NaN or infinity.',
        "Expected finite poses and intrinsics.",
        "Mend or remove this view.",
    ]


def test_a_rig_parameter_with_nan_is_named_with_its_timestep() -> None:
    values = torch.zeros(5, 3)
    values[3, 1] = float("nan")
    with pytest.raises(DataError, match='Rig parameter "jaw" holds NaN or infinity at timestep 3'):
        scene(views([(0, 0, 1)]), rig_parameters={"jaw": values})

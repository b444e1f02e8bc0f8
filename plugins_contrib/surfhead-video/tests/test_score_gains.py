"""Scores count as far as they were seen to tell of expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surfhead_video.detection import Found
from surfhead_video.landmark_places import LandmarkPlaces
from surfhead_video.score_gains import score_gains
from surfhead_video.tracking import as_detections


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """Writes a table; gives its path."""

    def write(**rows: float) -> Path:
        path = tmp_path / "gains.npz"
        np.savez(path, names=np.array(list(rows)), gain=np.array(list(rows.values()), np.float32))
        return path

    return write


def test_a_name_that_the_table_does_not_know_is_left_alone(table: Any) -> None:
    path = table(jawOpen=1.2, eyeSquint_L=0.1)
    gains = score_gains(("tongueOut", "eyeSquint_L", "jawOpen"), path)
    np.testing.assert_allclose(gains, [1.0, 0.1, 1.2], rtol=1e-6)


def test_a_damaged_row_is_no_gain(table: Any) -> None:
    path = table(jawOpen=np.nan, jawLeft=-2.0, jawRight=np.inf, mouthLeft=0.0)
    gains = score_gains(("jawOpen", "jawLeft", "jawRight", "mouthLeft"), path)
    np.testing.assert_allclose(gains, [1, 1, 1, 0])


def test_the_packages_table_knows_every_expression_of_the_head(places: LandmarkPlaces) -> None:
    gains = score_gains(places.names)
    assert (gains != 1).all()  # the gain of names that it does not know
    of = dict(zip(places.names, gains.tolist(), strict=True))
    for name in places.names:
        if name.endswith("_L"):
            assert of[name] == of[name[:-1] + "R"]


def test_scores_that_follow_the_head_do_not_pass_for_expressions(places: LandmarkPlaces) -> None:
    """Squints that rise and fall as the head turns, and a mouth that opens."""
    frames = np.arange(41)
    turn, mouth = np.sin(0.3 * frames), (frames % 4 == 3) * 0.5
    clip = Found(
        number=frames,
        time=frames / 25,
        landmarks=np.zeros((41, 478, 2)),
        scores=np.stack([0.4 + 0.3 * turn, mouth], axis=1),
        pose=np.tile(np.eye(4), (41, 1, 1)),
        sharpness=np.ones(41),
        change=np.zeros(41),
        names=("eyeSquintLeft", "jawOpen"),
    )
    scores = as_detections(clip, places).scores
    assert scores[:, places.names.index("eyeSquint_L")].max() < 0.1
    opened = scores[:, places.names.index("jawOpen")]
    np.testing.assert_allclose(opened, mouth, atol=0.15)
    assert opened[mouth > 0].min() > 0.35

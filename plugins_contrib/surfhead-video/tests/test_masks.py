"""Masks by colour keep the head where the wall is like skin, and lose the wall where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter
from surfhead_video.masks import MaskMaker, told_apart

SIZE, TALL = 240, 160  # pixels: of the picture, of the head
Y, X = np.mgrid[:SIZE, :SIZE] + 0.5
SKIN, GREEN, HAIR = np.array([200, 150, 125.0]), np.array([90, 150, 110.0]), np.array([50, 35, 25.0])


def oval(wider: float = 0.0) -> np.ndarray:
    """(H, W) bool: a head, or one whose edge lies further out by pixels."""
    return np.asarray(np.hypot((X - 120) / (62 + wider), (Y - 120) / (TALL / 2 + wider)) < 1)


def skin() -> np.ndarray:
    """(H, W, 3) a face lit from the left, with spots."""
    random = np.random.default_rng(1)
    spots = gaussian_filter(random.normal(size=(SIZE, SIZE)), 5.0)
    light = 1.0 - 0.3 * (X - 60) / 120 + 0.08 * spots / spots.std()
    return np.asarray(SKIN * light[..., None])


def picture(head: np.ndarray, inside: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: a head before a wall, through a lens and with noise."""
    whole = gaussian_filter(np.where(head[..., None], inside, wall), (0.7, 0.7, 0))
    noise = np.random.default_rng(2).normal(0, 3, whole.shape)
    return np.asarray((whole + noise).round().clip(0, 255), np.uint8)


def grey(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 255, 0).astype(np.uint8)


def test_a_wall_like_skin_takes_nothing_from_the_head() -> None:
    wall = np.broadcast_to(0.82 * SKIN, (SIZE, SIZE, 3))  # as the face's darker side
    head = oval()
    mask = MaskMaker()(picture(head, skin(), wall), grey(head))
    bite = distance_transform_edt(head)[mask < 128].max()
    assert bite < 0.02 * TALL
    assert distance_transform_edt(~head)[mask >= 128].max() < 0.02 * TALL


@pytest.mark.parametrize("wider", [0.015, 0.02])
def test_a_wall_of_another_colour_is_cut_off_an_outline_too_wide(wider: float) -> None:
    head, wide = oval(), oval(wider * TALL)
    mask = MaskMaker()(picture(head, skin(), np.broadcast_to(GREEN, (SIZE, SIZE, 3))), grey(wide))
    strip = oval(0.012 * TALL) & ~oval(0.004 * TALL)
    assert mask[strip].mean() < 0.1 * 255
    assert mask[head].mean() > 0.99 * 255


def test_hair_beyond_the_outline_is_found_by_its_colour() -> None:
    skull, hair = oval(), oval(0.05 * TALL) & (Y < 110)
    inside = np.where((Y < 80)[..., None] | ~skull[..., None], HAIR, skin())
    mask = MaskMaker()(picture(skull | hair, inside, np.broadcast_to(GREEN, (SIZE, SIZE, 3))), grey(skull))
    assert mask[hair & ~skull].mean() > 0.9 * 255
    assert mask[~oval(0.06 * TALL)].max() < 128
    assert mask[skull].mean() > 0.99 * 255


def test_without_background_in_sight_the_outline_stays() -> None:
    head = X < SIZE - 24  # a tenth of the height
    made = MaskMaker()(picture(head, skin(), np.broadcast_to(GREEN, (SIZE, SIZE, 3))), grey(head))
    assert made[X < SIZE - 27].min() >= 128
    assert made[X > SIZE - 21].max() < 128


def test_colours_count_where_they_tell_sure_cells_apart() -> None:
    deep, far = (X > 90) & (X < 150), (X < 60) | (X > 180)
    odds = np.where(deep, 3.0, -3.0)
    odds[160:] = -3.0  # there the head looks like the wall
    made = told_apart(odds, deep, far, 10.0)
    assert made[:120, 60:180].min() > 0.75
    assert made[200:, 60:180].max() < 0.3
    assert told_apart(odds, deep, np.zeros_like(far), 10.0).max() == 0

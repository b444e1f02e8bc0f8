"""A ragged mask's edge goes to the picture's own edge; where the picture has none, the mask stays."""

from __future__ import annotations

import numpy as np
from PIL import Image
from surfhead_video.matting import guided


def test_a_ragged_edge_goes_to_the_pictures() -> None:
    row, column = np.indices((240, 240))
    head = np.hypot(row - 120, column - 120) < 70
    noise = np.random.default_rng(0).normal(0, 4, (240, 240, 3))
    picture = (
        (np.where(head[..., None], [200, 150, 120], [110, 120, 160]) + noise).clip(0, 255).astype(np.uint8)
    )
    small = np.asarray(Image.fromarray(picture).resize((80, 80), Image.Resampling.BOX))
    angle = np.arctan2(*(np.indices((80, 80)) - 39.5))
    ragged = np.hypot(*(np.indices((80, 80)) - 39.5)) < 23.3 + 1.5 * np.sin(14 * angle)
    rough = np.asarray(Image.fromarray(ragged).resize((240, 240), Image.Resampling.NEAREST))
    mask = guided(small, ragged.astype(np.float32), picture, 7)
    before, after = np.abs(rough.astype(float) - head).sum(), np.abs(mask - head).sum()
    assert after < 0.35 * before
    assert mask[120, 120] == 1
    assert mask[:40].max() == 0


def test_where_the_picture_is_plain_the_mask_stays() -> None:
    plain = np.full((60, 60, 3), 128, np.uint8)
    rough = np.zeros((30, 30), np.float32)
    rough[:, :15] = 1
    mask = guided(plain[::2, ::2], rough, plain, 5)
    assert mask[:, :22].min() == 1
    assert mask[:, 38:].max() == 0
    assert 0.3 < float(mask[30, 29:31].mean()) < 0.7

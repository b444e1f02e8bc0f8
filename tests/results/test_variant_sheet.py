"""The picture that shows runs side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surfhead.core.errors import DataError
from surfhead.data.opening import open_scene
from surfhead.drawing.contact_sheet import GAP, LABEL
from surfhead.results.variant_sheet import variant_sheet, window
from surfhead.runs.run import read_config

SIZE = 48


def cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    top = LABEL + GAP + row * (SIZE + LABEL + GAP) + LABEL
    left = GAP + column * (SIZE + GAP)
    return sheet[top : top + SIZE, left : left + SIZE].astype(int)


def test_truth_and_runs_are_shown_with_their_normals(trained_run: Path) -> None:
    sheet = variant_sheet({"one": trained_run, "two": trained_run}, views=2, device="cpu")
    assert sheet.shape == (LABEL + GAP + 8 * (SIZE + LABEL + GAP), GAP + 3 * (SIZE + GAP), 3)
    scene = open_scene(read_config(trained_run)).scene
    held_out = [*scene.views.of("val"), *scene.views.of("test")]
    for number, view in enumerate((held_out[0], held_out[len(held_out) // 2])):
        frame = scene.frame(int(view))
        assert np.array_equal(cell(sheet, 4 * number, 0), frame.image)
        assert frame.normal is not None
        inside = np.abs(frame.normal).sum(axis=-1) > 0
        truth = cell(sheet, 4 * number + 3, 0)
        assert truth[~inside].min() == 255  # the data's background, as the runs have it
        assert cell(sheet, 4 * number + 3, 1)[0, 0].min() == 255
        np.testing.assert_allclose(
            truth[inside], 255 * (frame.normal[inside] * [0.5, -0.5, -0.5] + 0.5), atol=1.0
        )  # rounding, of normals that are unit to half precision only
        for row in (4 * number, 4 * number + 3):
            assert np.array_equal(cell(sheet, row, 1), cell(sheet, row, 2))
            drawn = np.abs(cell(sheet, row, 1) - cell(sheet, row, 0))[inside].mean()
            assert 0 < drawn < 60  # a head that is hardly trained, but there


def test_errors_and_close_ups_are_shown(trained_run: Path) -> None:
    sheet = variant_sheet({"one": trained_run}, views=1, device="cpu")
    difference = np.abs(cell(sheet, 0, 1) - cell(sheet, 0, 0)).mean(axis=2) / 255.0
    shown = cell(sheet, 1, 1).mean(axis=2)
    assert cell(sheet, 1, 0).min() == 255  # the truth has no error
    assert np.corrcoef(difference.ravel(), shown.ravel())[0, 1] > 0.8
    rows, columns = window(difference)
    close = Image.fromarray(cell(sheet, 0, 0)[rows, columns].astype(np.uint8))
    enlarged = np.asarray(close.resize((SIZE, SIZE), Image.Resampling.LANCZOS)).astype(int)
    assert np.array_equal(cell(sheet, 2, 0), enlarged)


def test_a_close_up_is_where_the_error_is_largest() -> None:
    error = np.zeros((9, 12))
    error[4:7, 5:9] = 1.0
    assert window(error) == (slice(4, 7), slice(5, 9))


def test_runs_of_other_data_do_not_fit(trained_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained_run, other)
    config = (other / "config.toml").read_text()
    (other / "config.toml").write_text(config.replace("timesteps = 4", "timesteps = 3", 1))
    with pytest.raises(DataError, match='Runs "one" and "two" have other views'):
        variant_sheet({"one": trained_run, "two": other}, views=1, device="cpu")

"""A predictor's normals beside the pictures: where they are looked for, and what files mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.errors import DataError
from surfhead.core.scene import Views
from surfhead.data.feed import Feed
from surfhead.plugins.datasets import predicted_normals
from surfhead.plugins.datasets.images import ImageOptions, Picture, Pictures, PictureScene

WIDTH, HEIGHT = 8, 6
UP = (128, 255, 128)  # a normal that points up, as predictors draw it


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_they_lie_under_normals_in_place_of_images(tmp_path: Path) -> None:
    image = picture(tmp_path / "images" / "a" / "0001.jpg", (9, 9, 9))
    assert predicted_normals.beside(image) is None
    loose = picture(tmp_path / "images" / "normals" / "0001.png", UP)
    assert predicted_normals.beside(image) == loose  # beside the picture's folder
    near = picture(tmp_path / "normals" / "a" / "0001.png", UP)
    assert predicted_normals.beside(image) == near


def test_axes_go_to_opencv_and_black_is_nothing(tmp_path: Path) -> None:
    file = picture(tmp_path / "n.png", UP)
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0] = 0
    pixels[1] = (128, 128, 255)  # towards the camera
    Image.fromarray(pixels).save(file)
    found = predicted_normals.read(file, (WIDTH, HEIGHT))
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert found[0].max() == 0
    np.testing.assert_allclose(
        found[1, 0].astype(int), (128, 128, 1), atol=1
    )  # OpenCV: z away from the camera
    np.testing.assert_allclose(found[3, 0].astype(int), (128, 1, 128), atol=1)  # and y down


def test_an_array_is_read_and_brought_to_size(tmp_path: Path) -> None:
    values = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.float16)
    values[..., 0] = 3.0  # not of unit length
    np.save(tmp_path / "n.npy", values)
    found = predicted_normals.read(tmp_path / "n.npy", (WIDTH, HEIGHT))
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert (found == (255, 128, 128)).all()


@pytest.mark.parametrize("kind", ["torn", "grey", "shape", "nan", "text"])
def test_other_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("n.npy" if kind in ("nan", "text") else "n.png")
    if kind == "torn":
        picture(file, UP)
        file.write_bytes(file.read_bytes()[:40])
    elif kind == "grey":
        Image.new("L", (WIDTH, HEIGHT), 9).save(file)
    elif kind == "shape":
        picture(file, UP, (WIDTH, WIDTH))
    elif kind == "nan":
        np.save(file, np.full((HEIGHT, WIDTH, 3), np.nan))
    else:
        file.write_text("no array")
    with pytest.raises(DataError, match="Normals .*n\\."):
        predicted_normals.read(file, (WIDTH, HEIGHT))


def test_batches_bring_them_and_views_without_say_nothing(tmp_path: Path) -> None:
    files = [Picture(picture(tmp_path / "images" / f"{i}.png", (9, 9, 9))) for i in range(2)]
    picture(tmp_path / "normals" / "0.png", UP)
    views = Views(
        np.tile(np.eye(4), (2, 1, 1)),
        np.tile(np.eye(3), (2, 1, 1)),
        np.zeros(2, np.int64),
        np.zeros(2, np.int64),
        np.array(["train"] * 2),
        ("a", "b"),
        HEIGHT,
        WIDTH,
    )
    scene = PictureScene(Pictures(files, (WIDTH, HEIGHT), ImageOptions()), views, rig=None, rig_parameters={})
    feed = Feed(scene, torch.device("cpu"))
    try:
        batch = feed.batch(np.array([0, 1]))
    finally:
        feed.close()
    assert batch.normal_prior is not None
    np.testing.assert_allclose(batch.normal_prior[0, 0, 0].int(), (128, 1, 128), atol=1)
    assert int(batch.normal_prior[1].max()) == 0
    assert batch.normal is None  # no truth to be measured against
    assert scene.files(0) == (files[0].image, tmp_path / "normals" / "0.png")

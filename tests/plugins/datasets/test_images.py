"""Tests of decoding, the resolution rule and resizing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import DataError, OptionError, UnknownNameError
from surfhead.core.options import check_options
from surfhead.data.file_check import damage
from surfhead.plugins.datasets.images import (
    ImageOptions,
    Picture,
    Pictures,
    scaled_intrinsics,
    target_size,
)
from surfhead.plugins.datasets.picture_headers import READERS, header_size, read_headers


@pytest.mark.parametrize(
    ("native", "resolution", "expected"),
    [
        ((802, 550), -1, (802, 550)),
        ((1600, 900), -1, (1600, 900)),
        ((3200, 1801), -1, (1600, 900)),
        ((3200, 1801), 1, (3200, 1801)),
        ((802, 550), 2, (401, 275)),
        ((803, 551), 4, (201, 138)),
        ((800, 600), 8, (100, 75)),
        ((800, 600), 400, (400, 300)),
        ((800, 600), 1000, (1000, 750)),
        ((3, 3), 8, (1, 1)),
    ],
)
def test_the_resolution_rule(native, resolution, expected):
    assert target_size(native, resolution) == expected


def test_intrinsics_follow_the_size_exactly():
    matrix = np.array([[[100.0, 0, 33], [0, 90, 21], [0, 0, 1]]])
    scaled = scaled_intrinsics(matrix, (80, 60), (40, 20))
    assert scaled.tolist() == [[[50, 0, 16.5], [0, 30, 7], [0, 0, 1]]]


def decode(path, native, mask=None, composited=None, **options):
    return Pictures([Picture(path, mask)], native, ImageOptions(**options), composited).frame(0)


def test_halving_averages_blocks_and_keeps_edges_where_cameras_see_them(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "x.png")
    frame = decode(tmp_path / "x.png", (16, 12), resolution=2)
    blocks = image.reshape(6, 2, 8, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(frame.image - blocks).max() <= 1
    # a vertical edge at x = 8 of 16 must lie at x = 4 of 8
    step = np.zeros((12, 16, 3), np.uint8)
    step[:, 8:] = 255
    Image.fromarray(step).save(tmp_path / "step.png")
    half = decode(tmp_path / "step.png", (16, 12), resolution=2).image
    assert (half[:, :4] == 0).all()
    assert (half[:, 4:] == 255).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    grey = np.full((4, 6), 200, np.uint8)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(path)
    expected = 255 if mode == "1" else 200
    frame = decode(path, (6, 4))
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (4, 6, 3)
    assert np.abs(frame.image.astype(int) - expected).max() <= 1
    assert frame.image.flags.writeable


def test_a_palette_with_transparency_is_composited(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "x.png", transparency=0)
    frame = decode(tmp_path / "x.png", (4, 4), background=(0.0, 0.0, 0.0))
    assert frame.image[1, 1].tolist() == [200, 100, 50]
    assert frame.image[0, 0].tolist() == [0, 0, 0]
    assert frame.mask[0, 0] == 0


def test_a_mask_cuts_the_head_out_of_pictures_that_show_their_surroundings(tmp_path):
    image = np.full((4, 4, 3), 100, np.uint8)
    mask = np.zeros((4, 4), np.uint8)
    mask[1] = 255
    mask[2] = 128
    Image.fromarray(image).save(tmp_path / "x.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    frame = decode(tmp_path / "x.png", (4, 4), tmp_path / "m.png", background=(1.0, 0.0, 0.0))
    assert frame.image[:3, 0].tolist() == [[255, 0, 0], [100, 100, 100], [177, 50, 50]]


def test_headers_give_sizes_and_damage_is_named(tmp_path):
    Image.new("RGB", (7, 5)).save(tmp_path / "x.png")
    assert header_size(tmp_path / "x.png") == (7, 5)
    (tmp_path / "y.png").write_bytes(b"no picture")
    for name in ("y.png", "absent.png"):
        with pytest.raises(DataError, match=name):
            header_size(tmp_path / name)


def test_mutated_pictures_raise_nothing_but_the_declared_error(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "mutant"
    refused = 0
    for kind in ("png", "jpeg"):
        Image.fromarray(generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(tmp_path / "x", kind)
        good = bytearray((tmp_path / "x").read_bytes())
        for _ in range(200):
            raw = bytearray(good)
            for at in generator.integers(0, len(raw), 3):
                raw[at] = generator.integers(256)
            path.write_bytes(raw)
            try:
                decode(path, (5, 6))
            except DataError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"resolution": 0}, OptionError),
        ({"background": (2.0, 0.0, 0.0)}, OptionError),
        ({"memory": -1.0}, OptionError),
        ({"cache": "gpu"}, OptionError),
    ],
)
def test_options_out_of_range_are_refused(options, error):
    with pytest.raises((error, UnknownNameError)):
        check_options(ImageOptions(**options), 'dataset "images"')


def test_pictures_beyond_what_is_decoded_are_named_plainly(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    Image.new("RGB", (20, 10)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)
    assert header_size(path) == (20, 10)  # large, yet allowed, and without a warning
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    for read in (lambda: header_size(path), lambda: decode(path, (20, 10))):
        with pytest.raises(
            DataError, match=r"huge\.png.*it has more than 178 megapixels[\s\S]*Scale"
        ) as caught:
            read()
        assert len(str(caught.value).splitlines()) == 3
    assert damage(path) == "has more than 178 megapixels: scale it down"


@pytest.mark.parametrize("count", [3, READERS + 3])
def test_headers_come_in_the_order_of_the_pictures_few_or_many(tmp_path, count):
    paths = [tmp_path / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("L", (number + 1, 2)).save(path)
    paths[1].unlink()
    found = [None if header is None else header.size for header in read_headers(paths)]
    assert found == [None if number == 1 else (number + 1, 2) for number in range(count)]

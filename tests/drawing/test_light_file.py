"""Lights from files: environments, damaged and huge ones, and key frames of a turning light."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.errors import DataError, UnknownNameError
from surfhead.drawing.light_file import ROWS, MovingLight, environment, read_light

oiio = pytest.importorskip("OpenImageIO")


def write(path: Path, pixels: np.ndarray, kind: str = "float") -> Path:
    buffer = oiio.ImageBuf(np.ascontiguousarray(pixels, dtype=np.float32))
    assert buffer.write(str(path), kind), buffer.geterror()
    return path


def sky(height: int = 32) -> np.ndarray:
    """Red from the right (+x), on grey."""
    pixels = np.full((height, 2 * height, 3), 0.2)
    pixels[:, int(1.4 * height) : int(1.6 * height), 0] = 5.0
    return pixels


@pytest.mark.parametrize("suffix", [".hdr", ".exr"])
def test_an_environment_lights_from_where_it_shines(suffix: str, tmp_path: Path) -> None:
    light = read_light(str(write(tmp_path / f"sky{suffix}", sky())))
    sides = light.shading(torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]]))
    assert sides[0, 0] > 2 * sides[1, 0]
    assert abs(float(sides[2, 0] - sides[3, 0])) < 0.05 * float(sides[0, 0])
    assert light.mean.mean().item() == pytest.approx(1.0, abs=1e-5)


def test_up_is_on_top(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3))
    pixels[:4] = 1.0
    light = read_light(str(write(tmp_path / "top.exr", pixels)))
    up = light.shading(torch.tensor([[0.0, 1, 0], [0, -1, 0]]))
    assert float(up[0, 0]) > 1.5
    assert float(up[1, 0]) < 0.5


def test_a_large_one_is_averaged_strip_by_strip(tmp_path: Path) -> None:
    small = np.random.default_rng(0).random((260, 520, 3))
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    found = environment(write(tmp_path / "large.exr", large, "half"))
    assert found.shape == (347, 694, 3)
    assert found.shape[0] <= ROWS
    assert found.mean() == pytest.approx(small.mean(), abs=2e-3)


def test_tiles_in_any_window_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).random((96, 192, 3)).astype(np.float32)
    spec = oiio.ImageSpec(192, 96, 3, "float")
    spec.x, spec.y, spec.tile_width, spec.tile_height = 5, -3, 32, 64
    out = oiio.ImageOutput.create(str(tmp_path / "tiles.exr"))
    assert out.open(str(tmp_path / "tiles.exr"), spec)
    assert out.write_image(pixels)
    out.close()
    np.testing.assert_allclose(environment(tmp_path / "tiles.exr"), pixels, atol=1e-6)


def flat_hdr(path: Path, width: int) -> Path:
    """A Radiance file of runs, its upper half twice as bright as the lower one."""

    def line(value: int) -> bytes:
        runs = [min(127, width - at) for at in range(0, width, 127)]
        channels = [b"".join(bytes([128 + run, v]) for run in runs) for v in (value, value, value, 129)]
        return bytes([2, 2, width >> 8, width & 255]) + b"".join(channels)

    height = width // 2
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode()
    path.write_bytes(head + line(128) * (height // 2) + line(64) * (height // 2))
    return path


def test_a_large_one_is_read_a_few_lines_at_once(tmp_path: Path) -> None:
    path = flat_hdr(tmp_path / "large.hdr", 4096)
    tracemalloc.start()
    try:
        found = environment(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.shape == (512, 1024, 3)
    np.testing.assert_allclose(found[:256], 1.0)
    np.testing.assert_allclose(found[256:], 0.5)
    assert most < 64 << 20  # the whole picture takes 100 MB


@pytest.mark.parametrize("size", ["-Y 0 +X 0", "-Y -4 +X 8", "-Y 100000 +X 200000", "-Y 32768 +X 65536"])
def test_sizes_that_cannot_be_are_refused(size: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.hdr"
    path.write_bytes(f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n{size}\n".encode())
    with pytest.raises(DataError, match=r"odd\.hdr"):
        read_light(str(path))


def test_grey_and_four_channels_are_read(tmp_path: Path) -> None:
    assert environment(write(tmp_path / "grey.exr", sky()[..., :1])).shape == (32, 64, 3)
    assert environment(write(tmp_path / "rgba.exr", np.ones((8, 16, 4)))).shape == (8, 16, 3)


def nan() -> np.ndarray:
    pixels = sky()
    pixels[3, 4, 1] = math.nan
    return pixels


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.ones((16, 16, 3)), "is no environment: it has 16 x 16 pixels"),
        (np.ones((1, 2, 3)), "is no environment"),
        (np.zeros((16, 32, 3)), "is black"),
        (nan(), "holds NaN"),
    ],
)
def test_what_is_no_light_is_refused(pixels: np.ndarray, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says) as error:
        read_light(str(write(tmp_path / "odd.exr", pixels)))
    assert "odd.exr" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"#?RADIANCE\n", b"hello"])
@pytest.mark.parametrize("suffix", [".hdr", ".exr"])
def test_damaged_files_are_named(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.\w+"):
        read_light(str(path))


@pytest.mark.parametrize("suffix", [".hdr", ".exr"])
def test_a_file_that_ends_early_is_named(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"half{suffix}", np.random.default_rng(0).random((64, 128, 3)))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="cannot be read"):
        read_light(str(path))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_light(str(tmp_path / "none.exr"))
    with pytest.raises(UnknownNameError, match="studio"):
        read_light("studoi")
    with pytest.raises(UnknownNameError):
        read_light("picture.png")


def keys(tmp_path: Path, *frames: dict[str, Any]) -> str:
    path = tmp_path / "light.json"
    path.write_text(json.dumps({"fps": 10, "frames": list(frames)}))
    return str(path)


def test_a_turning_light_turns_evenly(tmp_path: Path) -> None:
    moving = MovingLight.read(
        keys(tmp_path, {"time": 1, "light": "window"}, {"time": 3, "turn": 360.0, "strength": 3.0})
    )
    assert (moving.pictures, moving.fps, moving.moving) == (21, 10, True)
    start, half, end = moving.at(0.0), moving.at(1.0), moving.at(99.0)
    left, right = torch.tensor([[-1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(half.shading(right), 2.0 * start.shading(left), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(end.coefficients, 3.0 * start.coefficients, atol=1e-4, rtol=1e-4)


def test_files_of_key_frames_lie_beside_them(tmp_path: Path) -> None:
    write(tmp_path / "sky.exr", sky())
    moving = MovingLight.read(keys(tmp_path, {"time": 0, "light": "sky.exr"}), turn=90.0, strength=2.0)
    assert moving.at(0.0).mean.mean().item() == pytest.approx(2.0, abs=1e-4)
    assert not moving.moving


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([{"time": 0}], "names no light"),
        ([{"time": 1, "light": "noon"}, {"time": 1}], "ascending"),
        ([{"time": 0, "light": "noon", "strength": -1}], "frames.0.strength"),
        ([{"time": 0, "lamp": "noon"}], "frames.0.lamp"),
        ([], '"frames"'),
    ],
)
def test_wrong_key_frames_are_named(frames: list[dict[str, Any]], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        MovingLight.read(keys(tmp_path, *frames))
    assert says in str(error.value)

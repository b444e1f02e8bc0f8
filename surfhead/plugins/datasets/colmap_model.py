"""COLMAP's sparse models, binary and text: cameras, images and points.

Format: https://colmap.github.io/format.html. Read here and not by COLMAP's own bindings, so that no package
is needed and damaged files give errors that name them. Camera coordinates are OpenCV's, and the centre of
the first pixel is (0.5, 0.5), both as here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, cause
from surfhead.files.places import found_in, is_file
from surfhead.plugins.datasets.intrinsics import not_pinhole

MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
)
SUBFOLDERS = 100  # of sparse/ looked into, the most that anybody's mapper leaves


@dataclass(frozen=True)
class Intrinsics:
    """A camera: its model's name, size in pixels and parameters."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class Photograph:
    """An image: its file's name, camera, and world-to-camera rotation (w, x, y, z) and translation."""

    name: str
    camera: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True)
class SparseModel:
    """A reconstruction; ``points`` (M, 3) float64 and ``colours`` (M, 3) uint8."""

    cameras: dict[int, Intrinsics]
    images: list[Photograph]
    points: np.ndarray
    colours: np.ndarray


# the error for a damaged model file
wrong = partial(DataError.of, "COLMAP file", remedy="Export the model again.")


class _Reader:
    """Reads packed little-endian fields and never past the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.at = 0

    def take(self, layout: str) -> tuple[float, ...]:
        size = struct.calcsize("<" + layout)
        self.need(size)
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += size
        return values

    def need(self, size: int) -> None:
        if size < 0 or self.at + size > len(self.data):
            raise ValueError("it ends too early")

    def count(self, smallest: int) -> int:
        """A row count, refused when the rest of the file cannot hold so many rows."""
        number = int(self.take("Q")[0])
        self.need(number * smallest)
        return number

    def text(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise ValueError("a name does not end")
        raw = self.data[self.at : end]
        self.at = end + 1
        return raw.decode("utf-8")


def _binary_cameras(path: Path) -> dict[int, Intrinsics]:
    reader = _Reader(path)
    made = {}
    for _ in range(reader.count(24)):
        number, model, width, height = (int(v) for v in reader.take("iiQQ"))
        if model >= len(MODELS):  # a newer COLMAP's: how many parameters follow is not known
            raise not_pinhole(path, f"number {model}")
        if model < 0:
            raise ValueError(f"camera {number} has the model {model}")
        name, size = MODELS[model]
        made[number] = Intrinsics(name, width, height, reader.take(f"{size}d"))
    return made


def _binary_images(path: Path) -> list[Photograph]:
    reader = _Reader(path)
    made = []
    for _ in range(reader.count(73)):
        row = reader.take("i4d3di")
        name = reader.text()
        size = reader.count(24) * 24
        reader.at += size
        made.append(Photograph(name, int(row[8]), row[1:5], row[5:8]))
    return made


def _binary_points(path: Path) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    reader = _Reader(path)
    points, colours = [], []
    for _ in range(reader.count(51)):
        row = reader.take("Q3d3Bd")
        points.append(row[1:4])
        colours.append(row[4:7])
        size = reader.count(8) * 8
        reader.at += size
    return points, colours


def _rows(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.split()


def _text_cameras(path: Path) -> dict[int, Intrinsics]:
    return {
        int(row[0]): Intrinsics(row[1], int(row[2]), int(row[3]), tuple(map(float, row[4:])))
        for row in _rows(path)
    }


def _text_images(path: Path) -> list[Photograph]:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [(number, line) for number, line in enumerate(lines, 1) if not line.startswith("#")]
    made = []
    at = 0
    while at < len(rows):
        if not rows[at][1].strip():
            at += 1
            continue
        row = rows[at][1].split(maxsplit=9)  # a name may hold blanks
        numbers = tuple(map(float, row[1:8]))
        made.append(Photograph(row[9], int(row[8]), numbers[:4], numbers[4:]))
        if at + 1 < len(rows) and not _is_points(rows[at + 1][1]):
            raise ValueError(
                f"line {rows[at + 1][0]} is no line of points, which each image's second line is; "
                "leave it empty where an image has none"
            )
        at += 2  # the second line, which may be empty, holds the image's points
    return made


def _is_points(line: str) -> bool:
    """Whether a line holds an image's points: X, Y and a point's number each."""
    words = line.split()
    if len(words) % 3:
        return False
    try:
        return bool(np.isfinite(np.array(words, dtype=np.float64)).all())
    except ValueError:
        return False


def _text_points(path: Path) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    rows = [tuple(map(float, row[1:7])) for row in _rows(path)]
    if any(len(row) < 6 for row in rows):
        raise ValueError("a point has too few numbers")
    return [row[:3] for row in rows], [row[3:] for row in rows]


READERS = {
    ".bin": (_binary_cameras, _binary_images, _binary_points),
    ".txt": (_text_cameras, _text_images, _text_points),
}


@dataclass(frozen=True)
class Place:
    """Where a sparse model is, the ending of its files, and how many images it says it has."""

    folder: Path
    ending: str
    images: int


def model_folders(root: Path) -> list[Place]:
    """A data set's sparse models: those below ``sparse``, else ``sparse`` or the folder itself."""
    below = found_in(root / "sparse", "*")[:SUBFOLDERS]
    for folders in (below, [root / "sparse"], [root]):
        found = [
            Place(folder, ending, _images_in(folder / f"images{ending}"))
            for folder in folders
            if (ending := _ending(folder))
        ]
        if found:
            return found
    return []


def _ending(folder: Path) -> str:
    """The ending of a folder's model files; empty where it holds no model."""
    for ending in READERS:
        if all(is_file(folder / f"{name}{ending}") for name in ("cameras", "images")):
            return ending
    return ""


def _images_in(path: Path) -> int:
    """How many images a file has, without reading them; 0 where it cannot be told."""
    try:
        if path.suffix == ".bin":
            with path.open("rb") as file:
                return int(struct.unpack("<Q", file.read(8))[0])
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, struct.error):
        return 0
    return sum(bool(line.strip()) and not line.startswith("#") and not _is_points(line) for line in lines)


def read_model(folder: Path, ending: str) -> SparseModel:
    """Read a sparse model. Raises DataError naming the file and what is wrong."""
    read_cameras, read_images, read_points = READERS[ending]
    path = folder / f"cameras{ending}"
    try:
        cameras = read_cameras(path)
        path = folder / f"images{ending}"
        images = read_images(path)
        path = folder / f"points3D{ending}"
        points, colours = read_points(path) if path.is_file() else ([], [])
        places = np.array(points, dtype=np.float64).reshape(-1, 3)
        shades = np.array(colours, dtype=np.float64).reshape(-1, 3)
    except (OSError, ValueError, IndexError, OverflowError, MemoryError, struct.error) as error:
        raise wrong(path, f"cannot be read: {cause(error)}", f"a COLMAP {ending} file") from error
    if not np.isfinite(places).all() or not np.isfinite(shades).all():
        raise wrong(path, "holds NaN or infinity", "finite points")
    return SparseModel(cameras, images, places, shades.clip(0, 255).astype(np.uint8))

"""``transforms*.json``: cameras as NeRF's Blender add-on, VHAP and their many relatives write them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import DataError, bounds
from surfhead.plugins.datasets.images import Size

OPENCV_FROM_OPENGL = np.diag(
    [1.0, -1.0, -1.0, 1.0]
)  # x right, y up, -z forward to x right, y down, z forward
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def wrong(
    path: Path, what: str, expected: str, remedy: str = "Mend the file or export it again."
) -> DataError:
    """The error for a description file with wrong content."""
    return DataError(f'"{path}": {what}.', f"Expected {expected}.", remedy)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises DataError naming the file."""
    try:
        content = json.loads(bounds.regular(path, 1 << 29).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise wrong(path, f"it cannot be read: {reason}", "a JSON file") from error
    if not isinstance(content, dict):
        raise wrong(path, f"it holds a {type(content).__name__}", "a JSON object")
    return content


@dataclass(frozen=True)
class Record:
    """One frame of a file, for reading its fields with errors that say where they are.

    Attributes:
        path: the file.
        index: number of the frame in it.
        fields: the frame's own fields.
        top: the file's fields, which the frame's own override.
    """

    path: Path
    index: int
    fields: Mapping[str, Any]
    top: Mapping[str, Any]

    def wrong(self, field: str, what: str, expected: str) -> DataError:
        """The error for one of its fields."""
        return wrong(self.path, f'field "{field}" of frame {self.index} {what}', expected)

    def text(self, field: str, default: str | None = None) -> str:
        """A string."""
        value = self.fields.get(field, default)
        if not isinstance(value, str) or not value:
            raise self.wrong(field, "is missing" if value is None else f"is {value!r}", "a path")
        return value

    def whole(self, field: str, default: int | None = None) -> int:
        """A whole number >= 0."""
        value = self.fields.get(field, default)
        number = int(value) if isinstance(value, str) and value.isdigit() else value
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 62:
            raise self.wrong(field, "is missing" if value is None else f"is {value!r}", "a whole number >= 0")
        return number

    def array(self, field: str, *shape: int, table: Mapping[str, Any] | None = None) -> np.ndarray:
        """Finite numbers of a shape; -1 in it stands for any size."""
        value = (self.fields if table is None else table).get(field)
        expected = "finite numbers of shape (" + ", ".join("any" if n < 0 else str(n) for n in shape) + ")"
        if value is None:
            raise self.wrong(field, "is missing", expected)
        try:
            numbers = np.asarray(value, dtype=np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise self.wrong(field, "is no table of numbers", expected) from error
        fits = numbers.ndim == len(shape) and all(
            n in (-1, m) for n, m in zip(shape, numbers.shape, strict=True)
        )
        if not fits:
            raise self.wrong(field, f"has shape {numbers.shape}", expected)
        with np.errstate(over="ignore"):  # what does not fit a float becomes infinite
            finite = np.isfinite(numbers.astype(np.float32)).all()
        if not finite:
            raise self.wrong(field, "holds NaN or infinity", expected)
        return numbers

    def number(self, field: str, table: Mapping[str, Any] | None = None) -> float:
        """A finite number."""
        return float(self.array(field, table=table))

    def size(self) -> Size | None:
        """The frame's own width and height; the file's are those of its last frame, and stale."""
        if "w" not in self.fields or "h" not in self.fields:
            return None
        width, height = self.whole("w"), self.whole("h")
        if width < 1 or height < 1:
            raise self.wrong("w", f"and h are {width} and {height}", "a size in pixels")
        return width, height

    def camera_from_world(self) -> np.ndarray:
        """(4, 4) OpenCV world-to-camera matrix from the OpenGL camera-to-world ``transform_matrix``."""
        matrix = self.array("transform_matrix", 4, 4)
        residual = abs(matrix[:3, :3] @ matrix[:3, :3].T - np.eye(3)).max()
        proper = residual < 1e-3 and abs(matrix[3] - [0, 0, 0, 1]).max() < 1e-6
        if not proper or np.linalg.det(matrix[:3, :3]) < 0:
            raise self.wrong(
                "transform_matrix",
                "is not a rotation and a translation",
                "a rigid camera-to-world transform in metres, without scale, shear or mirroring",
            )
        return np.asarray(np.linalg.inv(matrix @ OPENCV_FROM_OPENGL))

    def intrinsics(self, size: Size) -> np.ndarray:
        """(3, 3) pixel intrinsics: the frame's own fields, else the file's.

        Focal lengths ``fl_x``, ``fl_y`` with the centre ``cx``, ``cy``; in older files only the horizontal
        angle of view ``camera_angle_x``, square pixels and the centre in the middle.
        """
        width, height = size
        for table in (self.fields, self.top):
            for field in DISTORTION:
                if table.get(field):
                    raise self.wrong(
                        field, "describes lens distortion", "undistorted pictures; undistort first"
                    )
            if table.get("fl_x") is not None:
                fx = self.number("fl_x", table)
                fy = self.number("fl_y", table) if table.get("fl_y") is not None else fx
            elif table.get("camera_angle_x") is not None:
                angle = self.number("camera_angle_x", table)
                if not 0 < angle < math.pi:
                    raise self.wrong("camera_angle_x", f"is {angle}", "an angle between 0 and pi radians")
                fx = fy = width / 2 / math.tan(angle / 2)
            else:
                continue
            if fx <= 0 or fy <= 0:
                raise self.wrong("fl_x", f"and fl_y are {fx} and {fy}", "focal lengths > 0 in pixels")
            cx = self.number("cx", table) if table.get("cx") is not None else width / 2
            cy = self.number("cy", table) if table.get("cy") is not None else height / 2
            return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        raise self.wrong("fl_x", "and camera_angle_x are missing", "a focal length or an angle of view")


def read_frames(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """A file's own fields and its frames, of which there may be none. Raises DataError."""
    top = read_json(path)
    frames = top.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise wrong(path, 'field "frames" is missing or no list of objects', "a list of frames")
    return top, [Record(path, index, fields, top) for index, fields in enumerate(frames)]


def inside(root: Path, relative: str, limit: Path, record: Record, field: str) -> Path:
    """``root / relative``, which must lie below ``limit``; judged by the path alone, so links are fine."""
    limit = Path(os.path.abspath(limit))  # noqa: PTH100 - resolve() would follow links
    path = Path(os.path.abspath(Path(os.path.abspath(root)) / relative.replace("\\", "/")))  # noqa: PTH100
    if "\0" in relative or not path.is_relative_to(limit):
        raise record.wrong(field, f"is {relative!r}, which leaves the data set", f'a path below "{limit}"')
    return path


def one_size(records: list[Record], sizes: list[Size]) -> Size:
    """The size all frames share. Raises DataError naming the first that differs."""
    for record, size in zip(records, sizes, strict=True):
        if size != sizes[0]:
            first = f"{sizes[0][0]}x{sizes[0][1]}"
            raise record.wrong("w", f"and h are {size[0]}x{size[1]}", f"{first}, as in the first frame")
    return sizes[0]

"""``transforms*.json``: cameras as NeRF's Blender add-on, VHAP and their many relatives write them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import DataError, cause
from surfhead.files import bounds
from surfhead.files.places import is_file
from surfhead.plugins.datasets.intrinsics import PINHOLES, Fitted, fit, not_pinhole
from surfhead.plugins.datasets.picture_headers import Size

OPENCV_FROM_OPENGL = np.diag(
    [1.0, -1.0, -1.0, 1.0]
)  # x right, y up, -z forward to x right, y down, z forward
DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "distortion_params")
PERSPECTIVE = (*PINHOLES, "PERSPECTIVE", "PERSP")  # what exporters call cameras that may be pinholes
FISHEYE = ("is_fisheye", "fisheye", "equirectangular")  # flags of cameras that are none
ENDINGS = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG", ".webp", ".tif", ".tiff")
SKEW = 1e-2  # how far a rotation may be from one, relative, before it is called sheared
SCALED = 1e-3  # from which scale on the notes say that it was taken out


# the error for a description file with wrong content
wrong = partial(DataError.of, "", remedy="Mend the file or export it again.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises DataError naming the file."""
    try:
        # UTF-8, -16 or -32, with a byte order mark or without
        content = bounds.read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise wrong(path, f"cannot be read: {cause(error)}", "a JSON file") from error
    if not isinstance(content, dict):
        raise wrong(path, f"holds a {type(content).__name__}", "a JSON object")
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
        return wrong(self.path, f"of frame {self.index} {what}", expected, field=field)

    def text(self, field: str, default: str | None = None) -> str:
        """A string."""
        value = self.fields.get(field, default)
        if not isinstance(value, str) or not value:
            raise self.wrong(field, "is missing" if value is None else f"is {value!r}", "a path")
        return value

    def whole(self, field: str, default: int | None = None) -> int:
        """A whole number >= 0."""
        value = self.fields.get(field, default)
        number = _parsed(value)
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

    def table_of(self, *fields: str) -> Mapping[str, Any]:
        """The frame's own fields where one of these is among them, else the file's."""
        own = any(self.fields.get(field) is not None for field in fields)
        return self.fields if own else self.top

    def size(self) -> Size | None:
        """Width and height that the intrinsics are for: each the frame's own, else the file's; or None."""
        sides = {name: self.table_of(name).get(name) for name in ("w", "h")}
        if None in sides.values():
            return None
        whole = Record(self.path, self.index, sides, {})
        width, height = whole.whole("w"), whole.whole("h")
        if width < 1 or height < 1:
            raise self.wrong("w", f"and h are {width} and {height}", "a size in pixels")
        return width, height

    def pose(self) -> tuple[np.ndarray, float]:
        """The OpenCV world-to-camera matrix (4, 4) of ``transform_matrix``, and the scale taken out of it.

        ``transform_matrix`` is camera-to-world with OpenGL axes, (4, 4) or its first three rows. Exporters
        that normalise a scene may leave its scale in the rotation, where it means nothing: rays have no
        length. Raises DataError where it is sheared or mirrored.
        """
        value = self.fields.get("transform_matrix")
        rows = 3 if isinstance(value, list) and len(value) == 3 else 4
        matrix = self.array("transform_matrix", rows, 4)
        if rows == 3:
            matrix = np.concatenate([matrix, [[0.0, 0.0, 0.0, 1.0]]])
        left, scales, right = np.linalg.svd(matrix[:3, :3])
        scale = float(scales.mean())
        rigid = scale > 0 and (scales.max() - scales.min()) < SKEW * scale
        rotation = left @ right
        if (
            not rigid
            or abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6
            or np.linalg.det(rotation) < 0
            or not 1e-6 < scale < 1e6
        ):
            raise self.wrong(
                "transform_matrix",
                "is not a rotation and a translation",
                "a rigid camera-to-world transform in metres, without shear or mirroring",
            )
        if abs(scale - 1) > SCALED or abs(scales - scale).max() > SCALED:
            matrix[:3, :3] = rotation
        return np.asarray(np.linalg.inv(matrix @ OPENCV_FROM_OPENGL)), scale

    def check_pinhole(self) -> None:
        """Raise DataError where the camera is described as anything but a pinhole."""
        model = self.table_of("camera_model").get("camera_model")
        of = f"frame {self.index} with a camera"
        if model is not None and str(model).upper() not in PERSPECTIVE:
            raise not_pinhole(self.path, str(model), of)
        for field in FISHEYE:
            if self.table_of(field).get(field):
                raise not_pinhole(self.path, f"fisheye ({field})", of)
        for field in DISTORTION:
            table = self.table_of(field)
            value = table.get(field)
            if value is not None and np.any(
                self.array(field, *np.shape(value)[:1] if isinstance(value, list) else (), table=table)
            ):
                raise self.wrong(field, "describes lens distortion", "undistorted pictures; undistort first")

    def intrinsics(self, size: Size) -> np.ndarray:
        """(3, 3) pixel intrinsics of pictures of a size: each number the frame's own, else the file's.

        Focal lengths ``fl_x``, ``fl_y`` with the centre ``cx``, ``cy``; in older files only the horizontal
        angle of view ``camera_angle_x``, square pixels and the centre in the middle.
        """
        self.check_pinhole()
        fx, fy = self._focal(*size)
        if fx <= 0 or fy <= 0:
            raise self.wrong("fl_x", f"and fl_y are {fx} and {fy}", "focal lengths > 0 in pixels")
        centre = []
        for name, side in zip(("cx", "cy"), size, strict=True):
            table = self.table_of(name)
            centre.append(side / 2 if table.get(name) is None else self.number(name, table))
        return np.array([[fx, 0, centre[0]], [0, fy, centre[1]], [0, 0, 1.0]])

    def _focal(self, width: int, height: int) -> tuple[float, float]:
        """Both focal lengths; one that only an angle of the frame says stands for both."""
        own, top = self.fields, self.top
        fx = self._length(own, "x", width)
        alone = fx is not None and own.get("fl_x") is None
        if fx is None:
            fx = self._length(top, "x", width)
        if fx is None:
            raise self.wrong("fl_x", "and camera_angle_x are missing", "a focal length or an angle of view")
        fy = self._length(own, "y", height)
        if fy is None and not alone:
            stated = top.get("fl_y") is not None or self._length(own, "x", width) is None
            fy = self._length(top, "y", height) if stated else None
        return fx, fx if fy is None else fy

    def _length(self, table: Mapping[str, Any], axis: str, side: int) -> float | None:
        """The focal length along an axis that a table says, in pixels; None where it says none."""
        if table.get(f"fl_{axis}") is not None:
            return self.number(f"fl_{axis}", table)
        name = f"camera_angle_{axis}"
        if table.get(name) is None:
            return None
        angle = self.number(name, table)
        if not 0 < angle < math.pi:
            raise self.wrong(name, f"is {angle}", "an angle between 0 and pi radians")
        return side / 2 / math.tan(angle / 2)


def _parsed(value: Any) -> Any:
    """A number written as a string, as a number; all else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        try:
            return float(value)
        except ValueError:
            return value


def poses(records: Sequence[Record]) -> tuple[np.ndarray, list[str]]:
    """(M, 4, 4) world-to-camera matrices, OpenCV axes, and what was mended in them, in sentences."""
    found = [record.pose() for record in records]
    scales = np.array([scale for _, scale in found])
    scaled = np.abs(scales - 1) > SCALED
    notes = []
    if scaled.any():
        first = records[int(scaled.argmax())]
        notes.append(
            f"Rotations of {int(scaled.sum())} cameras had a scale, which was taken out "
            f"({scales[scaled][0]:.4g} in frame {first.index} of {first.path.name})."
        )
    return np.stack([matrix for matrix, _ in found]), notes


def fitted(records: Sequence[Record], images: Sequence[Path]) -> Fitted:
    """The records' cameras in the sizes of their pictures. Raises DataError naming the picture or field."""
    declared = [record.size() for record in records]
    return fit(images, declared, lambda view, size: records[view].intrinsics(size))


def read_frames(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """A file's own fields and its frames, of which there may be none. Raises DataError."""
    top = read_json(path)
    frames = top.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise wrong(path, "is missing or no list of objects", "a list of frames", field="frames")
    return top, [Record(path, index, fields, top) for index, fields in enumerate(frames)]


def inside(root: Path, relative: str, limit: Path, record: Record, field: str) -> Path:
    """``root / relative``, which must lie below ``limit``; judged by the path alone, so links are fine."""
    limit = Path(os.path.abspath(limit))  # noqa: PTH100 - resolve() would follow links
    path = Path(os.path.abspath(Path(os.path.abspath(root)) / relative.replace("\\", "/")))  # noqa: PTH100
    if "\0" in relative or not path.is_relative_to(limit):
        raise record.wrong(field, f"is {relative!r}, which leaves the data set", f'a path below "{limit}"')
    return path


def absent(images: Sequence[Path]) -> list[str]:
    """How many pictures are not there under any ending, in a sentence; none where all are."""
    missing = [image for image in images if not is_file(image)]
    if not missing:
        return []
    tried = ", ".join(dict.fromkeys(ending.lower() for ending in ENDINGS))
    return [f'{len(missing)} pictures are not there, the first is "{missing[0]}"; endings tried: {tried}.']


def file_of(path: Path) -> Path:
    """The picture that a path means: the path itself, else with another ending; itself if none is there.

    A path that names no ending, as NeRF's Blender scenes do, and is not there with any gets ``.png``.
    """
    if is_file(path):
        return path
    known = path.suffix.lower() in ENDINGS
    stem = path.stem if known else path.name
    tried = [path.with_name(stem + ending) for ending in ENDINGS]
    return next((file for file in tried if is_file(file)), path if known else tried[0])

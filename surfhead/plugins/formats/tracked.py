"""Rig parameters over time as one ``.npz``: ``flame_param.npz`` beside avatars, and motion files.

Files of FLAME trackers may have fields that no rig needs, such as textures and lights: they are named in a
note and not read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import DataError, cause
from surfhead.files import bounds
from surfhead.files.writing import beside
from surfhead.plugins.formats.tracker_fields import (
    BARE,
    IDENTITY,
    JOINTS,
    PARAMETER,
    POSES,
    axis_angles,
    is_flame,
    rows_of,
    split_pose,
)

log = logging.getLogger("surfhead")
# field of the file, as written -> name in the rig
FIELDS = {
    "rotation": "rotation",
    "neck_pose": "neck",
    "jaw_pose": "jaw",
    "eyes_pose": "eyes",
    "expr": "expression",
    "translation": "translation",
    "dynamic_offset": "dynamic_offset",
}
SHAPES, EXPRESSIONS = 300, 100
PLAIN = "plain arrays, an .npz saved by numpy.savez or an .npy of expressions"


Source = Path | IO[bytes]


def _wrong(source: Source, what: str, expected: str) -> DataError:
    name = source if isinstance(source, Path) else source.name
    return DataError.of("Motion file", name, what, expected, "Export the file again.")


@contextmanager
def opened(source: Source) -> Iterator[IO[bytes]]:
    """The file at a path, or a stream from its beginning, which stays open."""
    if isinstance(source, Path):
        with bounds.regular(source).open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


def _content(path: Source, wanted: Iterable[str] | None) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted arrays of a file (None: all), and the names of the others, which are not looked at.

    Raises DataError naming the file, and the field where it holds anything but finite numbers.
    """
    try:
        with opened(path) as file:
            loaded = np.load(bounds.archive(file), allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                fields, rest = _bare(path, loaded), []
            else:
                with loaded as archive:
                    chosen = [n for n in archive.files if wanted is None or n in wanted]
                    fields = {name: np.asarray(archive[name]) for name in chosen}
                    rest = [name for name in archive.files if name not in fields]
    except DataError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        reason = cause(error)
        if "pickle" in reason.lower():
            reason = "it holds pickled objects, which are not loaded"
        raise _wrong(path, f"cannot be read: {reason}", PLAIN) from error
    for name, value in fields.items():
        with np.errstate(over="ignore"):  # what does not fit a float becomes infinite, and is refused
            number = value.dtype.kind in "fiub" and bool(np.isfinite(value.astype(np.float32)).all())
        if not number:
            raise _wrong(
                path, f'has a field "{name}" with other things than finite numbers', "finite numbers"
            )
    return fields, rest


def _bare(path: Source, values: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of a bare array (T, d) of expressions, and of jaw or pose where it has some."""
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    columns = values.shape[1] if values.ndim == 2 else 0
    if columns not in BARE:
        raise _wrong(
            path,
            f"is an array of shape {values.shape}",
            "(T, d) with d of 50, 100 (expressions), 53, 103 (with the jaw) or 56, 106 (with head and jaw)",
        )
    tail, count = BARE[columns]
    fields = {"expr": values[:, :count]}
    if tail:
        fields[tail] = values[:, count:]
    name = path if isinstance(path, Path) else path.name
    log.warning("%s is one array of %d columns, read as %s.", name, columns, " and ".join(fields))
    return fields


def field_names(path: Source) -> set[str]:
    """The names of a file's fields; those of FLAME where it is a bare array or cannot be read."""
    try:
        with opened(path) as file:
            loaded = np.load(bounds.archive(file), allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                with loaded as archive:
                    return set(archive.files)
    except Exception:  # what is wrong with the file is said where it is read
        return set(FIELDS)
    return set(FIELDS)


def read_motion(path: Source, flame: bool | None = True) -> dict[str, Tensor]:
    """Rig parameters, name -> (T, d) float32.

    Args:
        path: fields of FLAME trackers (``expr``, ``jaw_pose``, ...) or of a rig's own names; a file, or a
            stream whose ``name`` is used in messages.
        flame: take the names and rotations that FLAME's trackers write, check FLAME's sizes, and pad
            expressions to 100 coefficients; None: where a field has such a name.

    Raises:
        DataError: naming the file and the field.
    """
    if flame is None:
        flame = is_flame(field_names(path))
    known = {*PARAMETER, *POSES, *IDENTITY} if flame else None
    fields, rest = _content(path, known)
    if rest:
        name = path if isinstance(path, Path) else path.name
        log.warning("Fields of %s that are no motion are not read: %s.", name, ", ".join(sorted(rest)))
    made: dict[str, Tensor] = {}
    for field, value in fields.items():
        if field in IDENTITY:
            continue
        if value.ndim < 2 or not value.size:
            raise _wrong(path, f'has shape {value.shape} in field "{field}"', "a row a timestep")
        if not flame:
            made[field] = _tensor(value.reshape(len(value), -1))
        elif field in POSES:
            parts = split_pose(_tensor(rows_of(field, value)))
            if parts is None:
                raise _wrong(path, f'has shape {value.shape} in field "{field}"', "3, 6 or 15 a timestep")
            made = {**parts, **made}  # a field of its own wins over a part of the pose
        else:
            name = PARAMETER[field]
            rows = _flame_rows(path, field, name, _tensor(rows_of(name, value)))
            if name != "dynamic_offset" or bool(rows.any()):
                made[name] = rows
    if not made:
        raise _wrong(path, "holds no rig parameters", f"fields such as {', '.join(FIELDS)}")
    lengths = {name: len(rows) for name, rows in made.items()}
    longest = max(lengths.values())
    for name, length in lengths.items():
        if length == 1 and longest > 1:
            made[name] = made[name].expand(longest, -1).contiguous()  # one row for the whole motion
        elif length != longest:
            raise _wrong(path, f'has {length} timesteps of "{name}"', f"{longest}, as in the other fields")
    return made


def _tensor(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))


def _flame_rows(path: Source, field: str, name: str, rows: Tensor) -> Tensor:
    """A FLAME parameter (T, size), rotations as axis-angles. Raises DataError where the size is wrong."""
    if name in JOINTS:
        turned = axis_angles(rows, JOINTS[name])
        if turned is None:
            expected = " or ".join(str(JOINTS[name] * count) for count in (3, 6, 9))
            raise _wrong(path, f'has {rows.shape[1]} values a timestep in field "{field}"', expected)
        return turned
    if name == "expression" and rows.shape[1] < EXPRESSIONS:
        rows = torch.nn.functional.pad(rows, (0, EXPRESSIONS - rows.shape[1]))
    size = {"expression": EXPRESSIONS, "translation": 3}.get(name)
    if size is not None and rows.shape[1] != size:
        raise _wrong(path, f'has {rows.shape[1]} values a timestep in field "{field}"', str(size))
    return rows


def read_identity(path: Path) -> dict[str, Tensor]:
    """``shape`` (300,), padded, and ``static_offset`` (V, 3) where there is one. Raises DataError."""
    fields, _ = _content(path, ("shape", "static_offset"))
    made = {}
    if "shape" in fields:
        shape = fields["shape"].astype(np.float32).reshape(-1)
        if len(shape) > SHAPES:
            raise _wrong(path, f'has {len(shape)} numbers in field "shape"', f"at most {SHAPES}")
        made["shape"] = torch.from_numpy(np.pad(shape, (0, SHAPES - len(shape))))
    if "static_offset" in fields:
        offset = fields["static_offset"].astype(np.float32)
        if offset.size % 3 or not offset.size:
            raise _wrong(path, f'has {offset.size} numbers in field "static_offset"', "three a vertex")
        made["static_offset"] = torch.from_numpy(np.ascontiguousarray(offset.reshape(-1, 3)))
    return made


def write_tracked(
    path: Path, motion: Mapping[str, Tensor], identity: Mapping[str, Tensor], flame: bool = True
) -> None:
    """Write rig parameters and identity, under the trackers' field names or (not FLAME) the rig's own."""
    fields = {}
    backward = {name: field for field, name in FIELDS.items()} if flame else {}
    for name, value in motion.items():
        rows = value.detach().cpu().float().numpy()
        fields[backward.get(name, name)] = (
            rows.reshape(len(rows), -1, 3) if name == "dynamic_offset" else rows
        )
    for name, value in identity.items():
        numbers = value.detach().cpu().float().numpy()
        fields[name] = numbers.reshape(1, -1, 3) if name == "static_offset" else numbers
    with beside(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **fields)  # type: ignore[arg-type]

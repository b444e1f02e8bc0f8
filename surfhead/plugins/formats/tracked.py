"""Rig parameters over time as one ``.npz``: ``flame_param.npz`` beside avatars, and motion files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import DataError, bounds

# field of the file -> name in the rig
FIELDS = {
    "rotation": "rotation",
    "neck_pose": "neck",
    "jaw_pose": "jaw",
    "eyes_pose": "eyes",
    "expr": "expression",
    "translation": "translation",
    "dynamic_offset": "dynamic_offset",
}
SIZES = {"rotation": 3, "neck": 3, "jaw": 3, "eyes": 6, "translation": 3}
IDENTITY = ("shape", "static_offset")
SHAPES, EXPRESSIONS = 300, 100


Source = Path | IO[bytes]


def _wrong(source: Source, what: str, expected: str) -> DataError:
    name = source if isinstance(source, Path) else source.name
    return DataError(f'Motion file "{name}" {what}.', f"Expected {expected}.", "Export the file again.")


@contextmanager
def opened(source: Source) -> Iterator[IO[bytes]]:
    """The file at a path, or a stream from its beginning, which stays open."""
    if isinstance(source, Path):
        with bounds.regular(source).open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


def _read(path: Source) -> dict[str, np.ndarray]:
    try:
        with opened(path) as file, np.load(bounds.archive(file), allow_pickle=False) as archive:
            fields = {name: np.asarray(archive[name]) for name in archive.files}
    except Exception as error:  # a damaged archive can fail in any way
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _wrong(path, f"cannot be read: {reason}", "an .npz of plain arrays") from error
    for name, value in fields.items():
        with np.errstate(over="ignore"):  # what does not fit a float becomes infinite, and is refused
            number = value.dtype.kind in "fiub" and bool(np.isfinite(value.astype(np.float32)).all())
        if not number:
            raise _wrong(
                path, f'has a field "{name}" with other things than finite numbers', "finite numbers"
            )
    return fields


def read_motion(path: Source, flame: bool = True) -> dict[str, Tensor]:
    """Rig parameters, name -> (T, d) float32.

    Args:
        path: fields of FLAME trackers (``expr``, ``jaw_pose``, ...) or of a rig's own names; a file, or a
            stream whose ``name`` is used in messages.
        flame: check FLAME's sizes, and pad expressions to 100 coefficients.

    Raises:
        DataError: naming the file and the field.
    """
    made: dict[str, Tensor] = {}
    for field, value in _read(path).items():
        if field in IDENTITY:
            continue
        name = FIELDS.get(field, field)
        if value.ndim < 2 or not value.size:
            raise _wrong(path, f'has shape {value.shape} in field "{field}"', "a row a timestep")
        rows = torch.from_numpy(np.ascontiguousarray(value.reshape(len(value), -1), dtype=np.float32))
        if flame and name == "expression" and rows.shape[1] < EXPRESSIONS:
            rows = torch.nn.functional.pad(rows, (0, EXPRESSIONS - rows.shape[1]))
        size = EXPRESSIONS if name == "expression" else SIZES.get(name)
        if flame and size is not None and rows.shape[1] != size:
            raise _wrong(path, f'has {rows.shape[1]} values a timestep in field "{field}"', str(size))
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


def read_identity(path: Path) -> dict[str, Tensor]:
    """``shape`` (300,), padded, and ``static_offset`` (V, 3) where there is one. Raises DataError."""
    fields = _read(path)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **fields)  # type: ignore[arg-type]

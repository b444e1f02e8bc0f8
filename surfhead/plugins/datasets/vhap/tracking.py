"""The tracked parameters in a VHAP export: one ``.npz`` a timestep."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import DataError, cause
from surfhead.files import arrays, bounds

# field of the file, name in the rig, number of values
POSES = (
    ("rotation", "rotation", 3),
    ("neck_pose", "neck", 3),
    ("jaw_pose", "jaw", 3),
    ("eyes_pose", "eyes", 6),
    ("translation", "translation", 3),
)
SHAPES, EXPRESSIONS = 300, 100
RIG, IDENTITY = "rig_", "identity_"  # prefixes of the fields of rigs other than FLAME
Fields = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tracking:
    """Rig parameters of a sequence.

    Attributes:
        parameters: name -> (T, d) float32.
        identity: name -> tensor.
        notes: what was odd, in sentences.
    """

    parameters: dict[str, Tensor]
    identity: dict[str, Tensor]
    notes: tuple[str, ...]


_wrong = partial(DataError.of, "Tracking file", remedy="Export this timestep again.")


def read_fields(path: Path) -> Fields:
    """Every array of an ``.npz``, finite numbers only. Raises DataError naming the file and the field."""
    try:
        with bounds.regular(path).open("rb") as file:
            archive = arrays.Archive(file)
            fields = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive can fail in any way
        raise _wrong(path, f"cannot be read: {cause(error)}", "an .npz of plain arrays") from error
    for name, value in fields.items():
        if value.dtype.kind not in "fiub":
            raise _wrong(path, f'has a field "{name}" of type {value.dtype}', "numbers")
        with np.errstate(over="ignore"):  # what does not fit a float becomes infinite
            finite = np.isfinite(value.astype(np.float32)).all()
        if not finite:
            raise _wrong(path, f'has NaN or infinity in field "{name}"', "finite numbers")
    return fields


def _row(path: Path, fields: Fields, name: str, size: int, padded: bool = False) -> np.ndarray:
    """(size,) float32 of a field; a shorter one is padded with zeros where that is allowed."""
    if name not in fields:
        raise _wrong(path, f'has no field "{name}"', f'"{name}" with {size} numbers')
    values = fields[name].astype(np.float32).reshape(-1)
    if len(values) > size or (len(values) < size and not padded):
        raise _wrong(path, f'has {len(values)} numbers in field "{name}"', f"{size}" + ", or fewer" * padded)
    return np.pad(values, (0, size - len(values)))


def read_tracking(paths: Sequence[Path], canonical: Path) -> Tracking:
    """FLAME parameters of T timesteps.

    Identity is that of the first timestep; ``static_offset`` may also stand in the canonical file alone.
    Per-timestep offsets are kept where any is not zero.

    Raises:
        DataError: naming the file and the field.
    """
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(read_fields, paths))
    parameters = {
        target: torch.from_numpy(np.stack([_row(p, r, name, size) for p, r in zip(paths, rows, strict=True)]))
        for name, target, size in POSES
    }
    expressions = [_row(p, r, "expr", EXPRESSIONS, padded=True) for p, r in zip(paths, rows, strict=True)]
    parameters["expression"] = torch.from_numpy(np.stack(expressions))
    shapes = np.stack([_row(p, r, "shape", SHAPES, padded=True) for p, r in zip(paths, rows, strict=True)])
    identity = {"shape": torch.from_numpy(shapes[0].copy())}
    notes = []
    short = min(row["expr"].size for row in rows)
    if short < EXPRESSIONS:
        notes.append(f"Expressions have {short} coefficients; the others are zero.")
    if float(abs(shapes - shapes[0]).max()) > 1e-6:
        notes.append("The shape differs between timesteps; the first one's is used for all.")
    neutral = read_fields(canonical) if canonical.is_file() else {}
    for path, source in ((paths[0], rows[0]), (canonical, neutral)):
        if "static_offset" in source and "static_offset" not in identity:
            identity["static_offset"] = torch.from_numpy(
                _offsets(path, source, "static_offset").reshape(-1, 3)
            )
    moving = [i for i, row in enumerate(rows) if "dynamic_offset" in row and row["dynamic_offset"].any()]
    if moving:
        width = _offsets(paths[moving[0]], rows[moving[0]], "dynamic_offset").size
        offsets = np.zeros((len(rows), width), np.float32)
        for i in moving:
            offsets[i] = _row(paths[i], rows[i], "dynamic_offset", width)
        parameters["dynamic_offset"] = torch.from_numpy(offsets)
    return Tracking(parameters, identity, tuple(notes))


def _offsets(path: Path, fields: Fields, name: str) -> np.ndarray:
    values = fields[name].astype(np.float32).reshape(-1)
    if len(values) % 3 or not len(values):
        raise _wrong(path, f'has {len(values)} numbers in field "{name}"', "three a vertex")
    return values


def read_other_rig(paths: Sequence[Path], canonical: Path) -> Tracking:
    """Parameters of a rig other than FLAME, as the export here stores them. Raises DataError."""
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(read_fields, paths))
    parameters = {}
    for field in sorted(name for name in rows[0] if name.startswith(RIG)):
        size = rows[0][field].size
        values = [_row(p, r, field, size) for p, r in zip(paths, rows, strict=True)]
        parameters[field.removeprefix(RIG)] = torch.from_numpy(np.stack(values))
    identity = {
        name.removeprefix(IDENTITY): torch.from_numpy(value.copy())
        for name, value in read_fields(canonical).items()
        if name.startswith(IDENTITY)
    }
    return Tracking(parameters, identity, ())


def timestep_fields(rig: str, parameters: dict[str, Tensor], identity: dict[str, Tensor]) -> Fields:
    """The fields of one timestep's file: what every VHAP reader expects, and other rigs' own parameters.

    Args:
        rig: the rig's registered name.
        parameters: name -> (d,).
        identity: name -> tensor.
    """
    fields = {name: _fitting(parameters, target, size) for name, target, size in POSES}
    own = rig == "flame"
    fields["expr"] = _fitting(parameters if own else {}, "expression", EXPRESSIONS)
    shape = _fitting(identity if own else {}, "shape", SHAPES)
    fields["shape"] = shape.reshape(-1)
    if own:
        for name, source in (("static_offset", identity), ("dynamic_offset", parameters)):
            if name in source:
                fields[name] = source[name].detach().cpu().float().numpy().reshape(1, -1, 3)
    else:
        fields |= {RIG + name: value.detach().cpu().float().numpy() for name, value in parameters.items()}
    return fields


def _fitting(values: dict[str, Tensor], name: str, size: int) -> np.ndarray:
    """(1, size) of a parameter, padded; zeros where it is absent or longer."""
    row = np.zeros((1, size), np.float32)
    if name in values and values[name].numel() <= size:
        flat = values[name].detach().cpu().float().numpy().reshape(-1)
        row[0, : len(flat)] = flat
    return row

"""Surfels as the columns of a point cloud, in the layouts of the splatting projects' PLY files.

Surfels are plain numpy arrays by name: ``offset`` (N, 3), ``log_scale`` (N, 2), ``quaternion`` (N, 4) wxyz,
``opacity`` (N,) logits, ``sh_dc`` (N, 3), ``sh_rest`` (N, K, 3), ``specular`` (N, 24), ``blend`` (N, 4), and
``triangle`` (N,) the host's index, -1 without a rig. All but ``triangle`` are float32 and not activated.

Files hold the harmonics channel by channel: f_rest_0..K-1 are red, then green, then blue.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, OptionError, Pose
from surfhead.meshes import ply

Arrays = Mapping[str, np.ndarray]
HARMONICS = (0, 3, 8, 15)  # coefficients beyond the constant one, by degree
EXTRA = "param_"  # columns of parameters that none of the projects knows: param_NAME_INDEX
# layout of the file: name of the array, prefix of its columns, number of columns
BLOCKS = (
    ("offset", "", 3),
    ("blend", "blend_weight_", 4),
    ("sh_dc", "f_dc_", 3),
    ("sh_rest", "f_rest_", -1),
    ("opacity", "opacity", 1),
    ("log_scale", "scale_", -1),
    ("quaternion", "rot_", 4),
    ("specular", "f_sg_", 24),
)
AXES, NORMAL, BINDING = ("x", "y", "z"), ("nx", "ny", "nz"), "binding_0"
KNOWN = {name for name, _, _ in BLOCKS} | {"triangle"}
RGB = ("red", "green", "blue")
CONSTANT = 0.28209479177387814  # the constant real spherical harmonic, 1 / (2 sqrt(pi))
PACKED = "packed_position"  # a column that only compressed files have
CHUNK = 1 << 13  # rows gathered at a time, so that they stay in the processor's cache
EXACT = 1 << 24  # whole numbers beyond it do not fit a float32
_wrong = partial(DataError.of, "PLY file", remedy="Check that it is the point_cloud.ply of an avatar.")


def columns_of(name: str, prefix: str, count: int) -> list[str]:
    """Names of an array's columns."""
    if name == "offset":
        return list(AXES)
    return [prefix] if name == "opacity" else [f"{prefix}{i}" for i in range(count)]


def write_points(path: Path, arrays: Arrays, comments: tuple[str, ...] = ()) -> None:
    """Write surfels; arrays that are absent get no columns, normals are zero.

    Raises:
        DataError: a host's index does not fit the float that the layout keeps it in.
    """
    count = len(arrays["offset"])
    blocks: list[tuple[list[str], np.ndarray]] = []
    for name, prefix, _ in BLOCKS:
        if name in arrays:
            flat = _flat(name, arrays[name])
            blocks.append((columns_of(name, prefix, flat.shape[1]), flat))
        if name == "offset":
            blocks.append((list(NORMAL), np.zeros((count, 3), np.float32)))
    for name in sorted(set(arrays) - KNOWN):
        flat = arrays[name].reshape(count, -1)
        blocks.append(([f"{EXTRA}{name}_{i}" for i in range(flat.shape[1])], flat))
    if "triangle" in arrays:
        if count and int(arrays["triangle"].max()) > EXACT:
            raise DataError(
                f'PLY file "{path}" cannot hold host triangle {int(arrays["triangle"].max())}.',
                f"Its layout keeps hosts as floats, exact up to {EXACT}.",
                "Use a rig with fewer triangles.",
            )
        blocks.append(([BINDING], arrays["triangle"].reshape(-1, 1)))
    names = [name for columns, _ in blocks for name in columns]
    matrix = np.empty((count, len(names)), "<f4")
    for start in range(0, count, CHUNK):
        rows, at = slice(start, start + CHUNK), 0
        for _, values in blocks:
            matrix[rows, at : at + values.shape[1]] = values[rows]
            at += values.shape[1]
    ply.write_ply(path, ply.table(names, matrix), comments)


def _flat(name: str, values: np.ndarray) -> np.ndarray:
    if name == "sh_rest":
        values = values.swapaxes(1, 2)  # channel-major
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def read_points(path: Path, described: bool = False) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Surfels and the header's comments; ``log_scale`` may have two or three columns.

    Args:
        path: the PLY file.
        described: its appearance is named elsewhere and may have no harmonics.

    Raises:
        DataError: naming the file, the property and what was expected.
    """
    element = ply.read_ply(path, text=False)
    if PACKED in element.names:
        raise DataError(
            f'PLY file "{path}" is a compressed one, as SuperSplat and PlayCanvas write it.',
            "Expected plain columns: x, y, z, f_dc_0, opacity, scale_0, rot_0 and so on.",
            "Export it uncompressed: format PLY, not Compressed PLY.",
        )
    place = {name: at for at, name in enumerate(element.names)}
    matrix = element.matrix()

    def found(prefix: str) -> int:
        count = 0
        while f"{prefix}{count}" in place:
            count += 1
        return count

    def block(names: list[str]) -> np.ndarray:
        first = place[names[0]] if names else 0
        adjacent = [place[name] for name in names] == list(range(first, first + len(names)))
        picked = matrix[:, first : first + len(names)] if adjacent else matrix[:, [place[n] for n in names]]
        return np.ascontiguousarray(picked)

    arrays: dict[str, np.ndarray] = {}
    for name, prefix, size in BLOCKS:
        count = found(prefix) if prefix.endswith("_") and size != 3 else size
        names = columns_of(name, prefix, count)
        optional = name in ("blend", "specular", "sh_rest")
        if (optional and count == 0) or (name == "sh_rest" and not names):
            continue
        missing = [column for column in names if column not in place]
        if name == "sh_dc" and missing and set(RGB) <= place.keys():
            arrays[name] = harmonics_of(element.rows)
            continue
        if name == "sh_dc" and described and found(prefix) == 0:
            continue
        if missing or (size > 3 and count != size):
            what = missing[0] if missing else f"{prefix}{count}"
            raise _wrong(path, f'has no property "{what}"', f"{size} properties {prefix or 'x, y, z'}")
        if name == "log_scale" and count not in (2, 3):
            raise _wrong(path, f"has {count} properties scale_", "2 (surfels) or 3 (Gaussians)")
        if name == "sh_rest" and count not in [3 * n for n in HARMONICS]:
            raise _wrong(path, f"has {count} properties f_rest_", "0, 9, 24 or 45, a whole degree")
        arrays[name] = block(names)
    arrays["opacity"] = arrays["opacity"].reshape(-1)
    if "sh_rest" in arrays:
        rest = arrays["sh_rest"].reshape(len(matrix), 3, arrays["sh_rest"].shape[1] // 3)
        arrays["sh_rest"] = np.ascontiguousarray(rest.swapaxes(1, 2))
    extra = {column[len(EXTRA) :].rpartition("_")[0] for column in place if column.startswith(EXTRA)}
    for name in sorted(extra):
        arrays[name] = block([f"{EXTRA}{name}_{i}" for i in range(found(f"{EXTRA}{name}_"))])
    arrays["triangle"] = _triangles(path, block([BINDING])) if BINDING in place else np.full(len(matrix), -1)
    return arrays, element.comments


def harmonics_of(rows: np.ndarray) -> np.ndarray:
    """(N, 3) constant harmonics of columns red, green, blue: 0 to 255, or fractions where they are floats."""
    colours = np.stack([rows[name] for name in RGB], axis=1)
    fractions = colours.dtype.kind == "f" and bool(np.fmax.reduce(colours, axis=None, initial=0.0) <= 1.0)
    with np.errstate(all="ignore"):  # NaN, infinity and what does not fit a float are told later
        shades = colours.astype(np.float64) / (1.0 if fractions else 255.0)
        return ((shades - 0.5) / CONSTANT).astype(np.float32)


def _triangles(path: Path, values: np.ndarray) -> np.ndarray:
    flat = values.reshape(-1)
    safe = np.where(np.isfinite(flat), flat, -2)
    whole = (safe == np.floor(safe)) & (safe >= -1) & (safe <= EXACT)
    if not whole.all():
        row = int(np.flatnonzero(~whole)[0])
        raise _wrong(
            path, f'has {flat[row]} in property "{BINDING}" of row {row}', "whole numbers of triangles"
        )
    return flat.astype(np.int64)


def refuse(name: str, timestep: int | None, parameters: Pose | None) -> None:
    """Raise OptionError for a pose that is asked of a format which writes the whole avatar."""
    if timestep is not None or parameters is not None:
        raise OptionError(
            f'Format "{name}" has no setting "{"parameters" if timestep is None else "timestep"}": '
            "it holds the whole avatar.",
            "Formats of one pose: 2dgs, 3dgs, gltf.",
            "Drop the setting, or choose one of these with --format.",
        )

"""The arrays of a FLAME model: read from the published pickle or from safetensors, checked, written.

FLAME: "Learning a model of facial shape and expression from 4D scans" (Li et al., SIGGRAPH Asia 2017).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from surfhead.core.api import DataError, cause
from surfhead.files import bounds
from surfhead.files.writing import beside
from surfhead.plugins.rigs.flame.pickle import read_pickle
from surfhead.plugins.rigs.wavefront import read_wavefront

SHAPES, EXPRESSIONS = 300, 100
JOINTS = ("root", "neck", "jaw", "left_eye", "right_eye")
NECK_JOINT, JAW_JOINT = 1, 2
FORMAT = "surfhead-flame-1"
# blendshapes in a published file -> how many of them are identity, the rest being expression
LAYOUTS = {400: 300, 150: 100}
MASKS = ("face", "boundary", "left_eyeball", "right_eyeball")


@dataclass(frozen=True)
class FlameModel:
    """V vertices, F triangles, 5 joints; metres.

    Attributes:
        template: (V, 3) float32.
        shape: (300, V, 3) float32 identity directions, zero where the file has fewer.
        expression: (100, V, 3) float32 expression directions, zero where the file has fewer.
        pose: (36, V, 3) float32 pose correctives for the entries of R - 1 of neck, jaw and the eyes.
        regressor: (5, V) float32 joint positions from vertices.
        weights: (V, 5) float32 skin weights.
        triangles: (F, 3) int64.
        masks: name -> vertex indices.
        parents: the joints' parents, -1 for the root.
        uv: (F, 3, 2) float32 texture corners, or None.
        sha256: hash of the published file it came from.
    """

    template: np.ndarray
    shape: np.ndarray
    expression: np.ndarray
    pose: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray
    masks: Mapping[str, np.ndarray]
    parents: tuple[int, ...]
    uv: np.ndarray | None
    sha256: str


_wrong = partial(DataError.of, "FLAME file", remedy="Take the file from https://flame.is.tue.mpg.de again.")


def _array(path: Path, content: Mapping[str, Any], field: str, *shape: int | None) -> np.ndarray:
    value = content.get(field)
    wanted = "numbers of shape (" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    if value is None:
        raise _wrong(path, "is missing", wanted, field=field)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise _wrong(path, "is no array of numbers", wanted, field=field)
    if value.ndim != len(shape) or any(
        n is not None and n != m for n, m in zip(shape, value.shape, strict=True)
    ):
        raise _wrong(path, f"has shape {value.shape}", wanted, field=field)
    with np.errstate(over="ignore"):  # what does not fit a float becomes infinite
        if not np.isfinite(value.astype(np.float32)).all():
            raise _wrong(path, "holds NaN, infinity or numbers too large", wanted, field=field)
    return value


def _indices(path: Path, field: str, values: np.ndarray, count: int) -> np.ndarray:
    indices = np.asarray(values).astype(np.int64)
    if indices.size and (indices.min() < 0 or indices.max() >= count):
        raise _wrong(path, "holds vertex indices out of range", f"indices from 0 to {count - 1}", field=field)
    return indices


def _parents(path: Path, tree: np.ndarray) -> tuple[int, ...]:
    parents = [int(p) if 0 <= int(p) < len(JOINTS) else -1 for p in tree[0]]  # the root's is 2^32 - 1
    if parents[0] != -1 or any(not 0 <= p < joint for joint, p in enumerate(parents) if joint):
        raise _wrong(path, f"gives parents {parents}", "each joint's parent before it", field="kintree_table")
    return tuple(parents)


def _padded(basis: np.ndarray, count: int) -> np.ndarray:
    """(count, V, 3) float32 contiguous directions from (V, 3, K)."""
    made = np.zeros((count, *basis.shape[:2]), np.float32)
    made[: basis.shape[2]] = np.moveaxis(basis, 2, 0)
    return made


def read_published(path: Path, masks: Path, template: Path | None) -> FlameModel:
    """The model in a published pickle, with its masks and, where given, texture corners.

    Args:
        path: ``flame2023.pkl``, ``flame2023_Open.pkl``, ``generic_model.pkl`` (2020), or one like them.
        masks: ``FLAME_masks.pkl``.
        template: the template ``.obj`` with texture coordinates, or None.

    Raises:
        DataError: naming the file, the field and what was expected.
    """
    content = read_pickle(path)
    if "v_template" not in content and set(MASKS) & content.keys():
        raise DataError(
            f'FLAME file "{path}" holds vertex masks, not a model.',
            "Expected a model such as flame2023.pkl, with FLAME_masks.pkl beside it.",
            "Give the model with --set rig.path=FILE, and the masks with --set rig.masks=FILE.",
        )
    if not masks.is_file():
        raise DataError(
            f'FLAME masks "{masks}" are missing.',
            "Expected FLAME_masks.pkl, the vertex masks, beside the model.",
            "Download them from https://flame.is.tue.mpg.de, or give --set rig.masks=FILE.",
        )
    vertices = _array(path, content, "v_template", None, 3)
    count = len(vertices)
    directions = _array(path, content, "shapedirs", count, 3, None)
    split = LAYOUTS.get(directions.shape[2])
    if split is None:
        expected = "300 shape and 100 expression directions, or 100 and 50"
        raise _wrong(path, f"has {directions.shape[2]} directions", expected, field="shapedirs")
    triangles = _indices(path, "f", _array(path, content, "f", None, 3), count)
    regions = read_pickle(masks)
    chosen = {
        name: _indices(masks, name, _array(masks, regions, name, None), count)
        for name, value in regions.items()
        if name in MASKS or isinstance(value, np.ndarray)
    }
    for name in MASKS:
        _array(masks, regions, name, None)
    uv = None
    if template is not None:
        mesh = read_wavefront(template)
        if mesh.uv is None or not np.array_equal(mesh.triangles, triangles):
            expected = "the model's own triangles, with vt indices"
            raise _wrong(template, "does not fit the model", expected, field="f")
        uv = mesh.uv.astype(np.float32)
    tree = _array(path, content, "kintree_table", 2, len(JOINTS))
    return FlameModel(
        template=vertices.astype(np.float32),
        shape=_padded(directions[:, :, :split], SHAPES),
        expression=_padded(directions[:, :, split:], EXPRESSIONS),
        pose=_padded(_array(path, content, "posedirs", count, 3, 36), 36),
        regressor=_array(path, content, "J_regressor", len(JOINTS), count).astype(np.float32),
        weights=_array(path, content, "weights", count, len(JOINTS)).astype(np.float32),
        triangles=triangles,
        masks=chosen,
        parents=_parents(path, tree),
        uv=uv,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


ARRAYS = ("template", "shape", "expression", "pose", "regressor", "weights", "triangles")


def write_model(model: FlameModel, path: Path, source: str) -> None:
    """Write the model as safetensors, with the source's name and hash in the header."""
    arrays = {name: np.ascontiguousarray(getattr(model, name)) for name in ARRAYS}
    arrays |= {f"mask.{name}": np.ascontiguousarray(ids) for name, ids in model.masks.items()}
    if model.uv is not None:
        arrays["uv"] = model.uv
    parents = " ".join(map(str, model.parents))
    header = {"format": FORMAT, "source": source, "sha256": model.sha256, "parents": parents}
    with beside(path) as temporary:
        save_file(arrays, temporary, header)


def read_imported(path: Path) -> FlameModel:
    """The model in a file that ``write_model`` made. Raises DataError naming the file and the field."""
    try:
        with safe_open(bounds.regular(path), "np") as file:
            header = file.metadata() or {}
            content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f'Rig file "{path}" cannot be read: {cause(error)}.',
            "Expected safetensors made by `surfhead rig import`.",
            "Import the published file again.",
        ) from error
    if header.get("format") != FORMAT:
        raise _wrong(path, f"is {header.get('format')!r}", FORMAT, field="format")
    count = len(_array(path, content, "template", None, 3))
    triangles = _array(path, content, "triangles", None, 3)
    for name in MASKS:
        _array(path, content, f"mask.{name}", None)
    sizes = {"shape": SHAPES, "expression": EXPRESSIONS, "pose": 36}
    try:
        tree = np.array([[int(p) for p in header.get("parents", "").split()]] * 2).reshape(2, len(JOINTS))
    except ValueError as error:
        raise _wrong(path, "is damaged", "five numbers", field="parents") from error

    def floats(name: str, *shape: int) -> np.ndarray:
        return _array(path, content, name, *shape).astype(np.float32, copy=False)

    return FlameModel(
        template=floats("template", count, 3),
        **{name: floats(name, size, count, 3) for name, size in sizes.items()},
        regressor=floats("regressor", len(JOINTS), count),
        weights=floats("weights", count, len(JOINTS)),
        triangles=_indices(path, "triangles", triangles, count),
        masks={
            name.removeprefix("mask."): _indices(path, name, _array(path, content, name, None), count)
            for name in content
            if name.startswith("mask.")
        },
        parents=_parents(path, tree),
        uv=None if "uv" not in content else floats("uv", len(triangles), 3, 2),
        sha256=header.get("sha256", ""),
    )

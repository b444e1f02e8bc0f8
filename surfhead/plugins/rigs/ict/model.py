"""The arrays of an ICT-FaceKit head: read from the official folder or from safetensors, and written.

ICT-FaceKit: "Learning Formation of Physically-Based Face Attributes" (Li et al., CVPR 2020), MIT licence.
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

from surfhead.core.api import DataError, cause, unknown_name
from surfhead.files import bounds
from surfhead.files.writing import beside
from surfhead.plugins.rigs.mistaken_files import START, no_pickle
from surfhead.plugins.rigs.wavefront import read_vertices, read_wavefront

FORMAT = "surfhead-ict-1"
METRES = 0.01  # the published files are in centimetres
NEUTRAL = "generic_neutral_mesh.obj"
CHIN = 8  # of the 68 landmarks
PARTS = {
    "M_Face": "face",
    "M_BackHead": "back_head",
    "M_GumsTongue": "mouth",
    "M_Teeth": "teeth",
    "M_ScleraLeft": "left_sclera",
    "M_IrisLeft": "left_iris",
    "M_ScleraRight": "right_sclera",
    "M_IrisRight": "right_iris",
    "M_LacrimalFluid": "lacrimal_fluid",
    "M_EyeBlend": "eye_blend",
    "M_EyeOcclusion": "eye_occlusion",
    "M_EyeLashes": "lashes",
}
NEEDED = ("face", "left_sclera", "right_sclera")


@dataclass(frozen=True)
class IctModel:
    """V vertices, F triangles; metres.

    Attributes:
        template: (V, 3) float32 neutral head.
        triangles: (F, 3) int64.
        parts: (F,) int64 index into the values of ``PARTS``.
        uv: (F, 3, 2) float32 texture corners, or None.
        expressions: (K, V, 3) float32 offsets of a full expression.
        identities: (I, V, 3) float32 offsets of one unit of an identity.
        names: the K expressions' names.
        chin: vertex index of the chin landmark.
        sha256: hash of the neutral mesh and the names of the shapes.
    """

    template: np.ndarray
    triangles: np.ndarray
    parts: np.ndarray
    uv: np.ndarray | None
    expressions: np.ndarray
    identities: np.ndarray
    names: tuple[str, ...]
    chin: int
    sha256: str

    def of(self, *parts: str) -> np.ndarray:
        """(F,) bool: triangles of these parts."""
        order = list(PARTS.values())
        return np.isin(self.parts, [order.index(part) for part in parts])


_wrong = partial(
    DataError.of,
    "ICT-FaceKit file",
    remedy="Take the folder FaceXModel from https://github.com/ICT-VGL/ICT-FaceKit again.",
)


def _shapes(paths: list[Path], neutral: np.ndarray) -> np.ndarray:
    made = np.empty((len(paths), *neutral.shape), np.float32)
    for row, path in enumerate(paths):
        vertices = read_vertices(path)
        if vertices.shape != neutral.shape:
            raise _wrong(path, f"has {len(vertices)} vertices", f"{len(neutral)}, as in {NEUTRAL}")
        made[row] = (vertices - neutral) * METRES
    return made


def _landmarks(path: Path, count: int) -> tuple[list[str], int]:
    try:
        content = bounds.read_json(path, 1 << 26)
        names = [str(name) for name in content["expressions"]]
        chin = int(content["idx_to_landmark_verts"][CHIN])
    except OSError as error:
        raise _wrong(path, f"cannot be read: {cause(error)}", "the official file") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        expected = '"expressions" and 68 vertices in "idx_to_landmark_verts"'
        raise _wrong(path, f"is damaged ({type(error).__name__}: {error})", expected) from error
    if not 0 <= chin < count:
        raise _wrong(path, f"names vertex {chin}", f"vertices from 0 to {count - 1}")
    return names, chin


def read_folder(path: Path, wanted: tuple[str, ...] = ()) -> IctModel:
    """Read an official folder.

    Args:
        path: the folder ``FaceXModel`` or the one that holds it.
        wanted: names of the expressions; empty: every one that is there.

    Raises:
        DataError: naming the file and what was expected; an expression that is not there.
    """
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    neutral = read_wavefront(folder / NEUTRAL)
    unknown = set(neutral.material.tolist()) - set(PARTS)
    if unknown:
        raise _wrong(folder / NEUTRAL, f'has a material "{min(unknown)}"', f"only {', '.join(PARTS)}")
    known, chin = _landmarks(folder / "vertex_indices.json", len(neutral.vertices))
    there = [name for name in known if (folder / f"{name}.obj").is_file()]
    for name in wanted:
        if name not in there:
            remedy = "Choose among these with --set rig.expressions=..."
            raise unknown_name("ICT-FaceKit expression", name, there, remedy, DataError)
    names = list(wanted) or there
    identities = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    files = [folder / f"{name}.obj" for name in names]
    order = list(PARTS)
    digest = hashlib.sha256((folder / NEUTRAL).read_bytes())
    digest.update(" ".join([*names, *(file.stem for file in identities)]).encode())
    model = IctModel(
        template=(neutral.vertices * METRES).astype(np.float32),
        triangles=neutral.triangles,
        parts=np.array([order.index(name) for name in neutral.material.tolist()], np.int64),
        uv=None if neutral.uv is None else neutral.uv.astype(np.float32),
        expressions=_shapes(files, neutral.vertices),
        identities=_shapes(identities, neutral.vertices),
        names=tuple(names),
        chin=chin,
        sha256=digest.hexdigest(),
    )
    for part in NEEDED:
        if not model.of(part).any():
            raise _wrong(folder / NEUTRAL, f"has no part {part}", f"the parts {', '.join(NEEDED)} at least")
    return model


def wrong_file(path: Path) -> DataError:
    """The error for a file that is no head, which says what it is where its first bytes tell."""
    what = "is no safetensors file and no FaceXModel folder"
    remedy = "Take the folder FaceXModel from https://github.com/ICT-VGL/ICT-FaceKit."
    start = _start(path)
    told = _mistaken(start)
    if told is not None:
        what = f"{what}: it is {told}"
        if told.endswith("archive"):
            remedy = "If the head is in it, unpack it first, and give what comes out."
    elif start[8:9] == b"{":
        what = "has the content of a safetensors file, but not its name"
        remedy = f'Call it "{path.name}.safetensors".'
    return _wrong(
        path,
        what,
        "the folder FaceXModel, or the .safetensors file that `surfhead rig import ict` made of it",
        remedy=remedy,
    )


def _start(path: Path) -> bytes:
    try:
        with bounds.regular(path).open("rb") as file:
            return file.read(START)
    except OSError as error:
        raise _wrong(path, f"cannot be read: {cause(error)}", "a file that may be read") from error


def _mistaken(start: bytes) -> str | None:
    """What a file that begins like this is, where that is no head."""
    if start[257:262] == b"ustar":
        return "a tar archive"
    told = no_pickle(start)
    return None if told is None else told[0]


def write_model(model: IctModel, path: Path) -> None:
    """Write the model as one safetensors file."""
    names = ("template", "triangles", "parts", "expressions", "identities")
    arrays = {name: getattr(model, name) for name in names} | ({} if model.uv is None else {"uv": model.uv})
    header = {"format": FORMAT, "chin": str(model.chin), "sha256": model.sha256}
    header["names"] = " ".join(model.names)
    with beside(path) as temporary:
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, temporary, header)


def read_imported(path: Path) -> IctModel:
    """The model in a file that ``write_model`` made. Raises DataError naming the file."""
    try:
        with safe_open(bounds.regular(path), "np") as file:
            header: Mapping[str, str] = file.metadata() or {}
            content: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("format") != FORMAT:
            raise ValueError(f"its format is {header.get('format')!r}, not {FORMAT!r}")
        names = tuple(header["names"].split())
        count, faces = len(content["template"]), len(content["triangles"])
        shapes = {
            "template": (count, 3),
            "triangles": (faces, 3),
            "parts": (faces,),
            "uv": (faces, 3, 2),
            "expressions": (len(names), count, 3),
            "identities": (len(content["identities"]), count, 3),
        }
        for name, value in content.items():
            whole = name in ("triangles", "parts")
            if value.dtype.kind not in ("iu" if whole else "f"):
                raise ValueError(f'"{name}" holds {value.dtype}')
            with np.errstate(over="ignore"):  # what does not fit a float becomes infinite
                value = value.astype(np.int64 if whole else np.float32, copy=False)
            if value.shape != shapes[name] or not np.isfinite(value).all():
                raise ValueError(f'"{name}" has shape {value.shape}, not {shapes[name]}, or is not finite')
            content[name] = value
        if content["triangles"].min() < 0 or content["triangles"].max() >= count:
            raise ValueError("a triangle names a vertex out of range")
        chin = int(header["chin"])
        if not 0 <= chin < count or not np.isin(content["parts"], range(len(PARTS))).all():
            raise ValueError("the chin or a part is out of range")
        return IctModel(**{"uv": None, **content}, names=names, chin=chin, sha256=header["sha256"])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, SafetensorError) and _mistaken(_start(path)) is not None:
            raise wrong_file(path) from error
        raise DataError(
            f'Rig file "{path}" cannot be read: {cause(error)}.',
            "Expected safetensors made by `surfhead rig import`.",
            "Import the ICT-FaceKit folder again.",
        ) from error

"""FaceTalk-style synthetic sequences with FLAME parameters, one camera each.

    ROOT/<sequence>/transforms.json, images/, masks/, normals/ (.npy)

``intrinsics`` are [fx, fy, cx, cy] in half pictures with flipped sign: focal lengths are ``-fx W/2`` and
``-fy H/2`` pixels, the centre lies at ``(1 - cx) W/2``, ``(1 - cy) H/2``. Centres near 0.5 are read as
fractions of the picture, which other exporters write; no camera's centre is that far off. ``cam`` is
world-to-camera; its x and y rows are negated to reach OpenCV axes, as are the normals' x and y. A frame has
``file_path``, ``pose`` (rotation, neck, jaw, eyes: 15 numbers) and ``expression``; ``intrinsics``, ``cam``
and ``shape`` may stand in the frame or in the file.

Recognised by a sequence whose ``transforms.json`` has ``cam`` and ``intrinsics``. Sequences sentence01 to
sentence40 are for training; all others, the extreme expressions, are the test split.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surfhead.core.api import DataError, Dataset, Scene, Views, option
from surfhead.files.places import found_in, is_file, place
from surfhead.plugins.datasets.images import ImageOptions, Picture, Pictures, PictureScene
from surfhead.plugins.datasets.intrinsics import fit
from surfhead.plugins.datasets.picture_headers import Size
from surfhead.plugins.datasets.transforms import Record, inside, read_frames, read_json

POSES = {"rotation": slice(0, 3), "neck": slice(3, 6), "jaw": slice(6, 9), "eyes": slice(9, 15)}
SHAPES, EXPRESSIONS = 300, 100
TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
FILE = "transforms.json"


class Facetalk(Dataset):
    """Reads FaceTalk-style sequences."""

    name = "facetalk"
    summary = "FaceTalk-style synthetic sequences with FLAME parameters, one camera each."
    on_disk = True

    @dataclass(frozen=True)
    class Options(ImageOptions):
        """How to read the pictures, and which sequences are for what."""

        train: tuple[str, ...] = option(
            tuple(f"sentence{number:02d}" for number in range(1, 41)),
            "Training sequences; names or patterns with * and ?.",
        )
        test: tuple[str, ...] = option(("*",), "Held-out sequences among the others; names or patterns.")

    options: Options

    @classmethod
    def example(cls, folder: Path) -> Facetalk:
        """Six pictures of noise in two sequences, written to the folder."""
        from surfhead.plugins.datasets.example_files import write_facetalk

        write_facetalk(folder)
        return cls()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the first sequence describes its camera in FaceTalk's way."""
        files = found_in(path, f"*/{FILE}")
        if not files:
            return False
        try:
            content = read_json(files[0])
        except DataError:
            return False
        frames = content.get("frames")
        first = frames[0] if isinstance(frames, list) and frames and isinstance(frames[0], dict) else {}
        return {"cam", "intrinsics"} <= content.keys() | first.keys()

    def open(self, path: Path | None) -> Scene:
        """Read cameras and parameters. Raises DataError naming the file and the field."""
        folders = [] if path is None else [file.parent for file in found_in(place(path), f"*/{FILE}")]
        chosen = [(folder, self._split(folder.name)) for folder in folders]
        records = [
            (record, split)
            for folder, split in chosen
            if split is not None
            for record in read_frames(folder / FILE)[1]
        ]
        if not records:
            raise DataError(
                f'FaceTalk data set "{path or ""}" has no frames of the chosen sequences.',
                f"Sequences: {', '.join(folder.name for folder in folders) or 'none'}.",
                "Check the path and the options train and test.",
            )
        pictures = [_picture(record) for record, _ in records]
        cameras = fit(
            [picture.image for picture in pictures],
            [None] * len(pictures),
            lambda view, size: _intrinsics(records[view][0], size),
        )
        views = Views(
            camera_from_world=np.stack([_camera(record) for record, _ in records]),
            intrinsics=cameras.intrinsics,
            timestep=np.arange(len(records)),
            camera=np.zeros(len(records), np.int64),
            split=np.array([split for _, split in records]),
            names=tuple(f"{record.path.parent.name}/{record.index:05d}" for record, _ in records),
            height=cameras.sizes[0][1],
            width=cameras.sizes[0][0],
        )
        poses = np.stack([record.array("pose", 15) for record, _ in records]).astype(np.float32)
        expressions = np.stack([_padded(record, "expression", EXPRESSIONS) for record, _ in records])
        parameters = {name: torch.from_numpy(poses[:, part].copy()) for name, part in POSES.items()}
        parameters["expression"] = torch.from_numpy(expressions)
        shape = torch.from_numpy(_padded(records[0][0], "shape", SHAPES, anywhere=True))
        return PictureScene(
            Pictures(pictures, cameras.sizes, self.options, None, (-1.0, -1.0, 1.0), predicted=False),
            views,
            rig="flame",
            rig_parameters=parameters,
            identity={"shape": shape},
            timestep_names=views.names,
            notes=cameras.notes,
        )

    def _split(self, sequence: str) -> str | None:
        for split in ("train", "test"):
            if any(fnmatch.fnmatchcase(sequence, pattern) for pattern in getattr(self.options, split)):
                return split
        return None


def _where(record: Record, field: str) -> Mapping[str, Any]:
    """The frame's fields if it has this one, else the file's."""
    return record.fields if field in record.fields else record.top


def _camera(record: Record) -> np.ndarray:
    matrix = record.array("cam", 4, 4, table=_where(record, "cam"))
    if abs(matrix[:3, :3] @ matrix[:3, :3].T - np.eye(3)).max() > 1e-3:
        raise record.wrong("cam", "is not a rotation and a translation", "a rigid world-to-camera transform")
    return np.asarray(TURN @ matrix)


def _intrinsics(record: Record, native: Size) -> np.ndarray:
    fx, fy, cx, cy = record.array("intrinsics", 4, table=_where(record, "intrinsics"))
    width, height = native
    if fx >= 0 or fy >= 0:
        raise record.wrong(
            "intrinsics", f"has focal lengths {fx} and {fy}", "negative ones, in half pictures"
        )
    focal = (-fx / 2 * width, -fy / 2 * height)
    centre = (_centre(cx) * width, _centre(cy) * height)
    return np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1.0]])


def _centre(value: float) -> float:
    """The picture's centre as a fraction of its size, from either way of writing it."""
    return value if abs(value - 0.5) < 0.25 else (1 - value) / 2


def _padded(record: Record, field: str, size: int, anywhere: bool = False) -> np.ndarray:
    table = _where(record, field) if anywhere else record.fields
    values = record.array(field, -1, table=table).astype(np.float32)
    if len(values) > size:
        raise record.wrong(field, f"has {len(values)} numbers", f"at most {size}")
    return np.pad(values, (0, size - len(values)))


def _picture(record: Record) -> Picture:
    folder = record.path.parent
    image = inside(folder, record.text("file_path"), folder, record, "file_path")
    if not image.suffix:
        image = image.with_suffix(".png")
    mask = folder / "masks" / f"{image.stem}.png"
    normal = folder / "normals" / f"{image.stem}.npy"
    return Picture(image, mask if is_file(mask) else None, normal if is_file(normal) else None)

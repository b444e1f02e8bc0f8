"""NeRF's synthetic scenes (Mildenhall et al., ECCV 2020), for `--deformer static`.

    ROOT/transforms_train.json, transforms_val.json, transforms_test.json, and RGBA pictures

A frame has ``file_path`` without its ending and ``transform_matrix`` (camera-to-world, OpenGL axes); the file
has ``camera_angle_x``. Pictures are composited on ``background`` by their alpha. Surfels start from
``points3d.ply`` where it is there, else from random points in a cube.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, Dataset, Scene, Views, option
from surfhead.files.places import is_file, place
from surfhead.plugins.datasets.images import Picture, Pictures, PictureScene
from surfhead.plugins.datasets.starting_points import PointOptions, Start, random_points, read_points
from surfhead.plugins.datasets.transforms import (
    Record,
    absent,
    file_of,
    fitted,
    inside,
    poses,
    read_frames,
    read_json,
    wrong,
)

SPLITS = ("train", "val", "test")
POINTS = "points3d.ply"


class Blender(Dataset):
    """Reads NeRF-synthetic scenes."""

    name = "blender"
    summary = "NeRF-synthetic scenes: transforms_*.json with RGBA pictures."
    on_disk = True

    @dataclass(frozen=True)
    class Options(PointOptions):
        """How to read the pictures, and where surfels start."""

        extent: float = option(
            1.3, "Half the side of the cube of random points, in the scene's unit.", above=0, high=1e9
        )

    options: Options

    @classmethod
    def example(cls, folder: Path) -> Blender:
        """Nine pictures of noise, written to the folder."""
        from surfhead.plugins.datasets.example_files import write_blender

        write_blender(folder)
        return cls()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the training cameras are there and no head tracking is."""
        file = path / "transforms_train.json"
        if not is_file(file):
            return False
        try:
            frames = read_json(file).get("frames")
        except DataError:
            return False
        first = frames[0] if isinstance(frames, list) and frames and isinstance(frames[0], dict) else {}
        return "transform_matrix" in first and not {"timestep_index", "flame_param_path"} & first.keys()

    @classmethod
    def declines(cls, path: Path) -> str:
        """Why a folder with transforms_train.json is not read."""
        file = path / "transforms_train.json"
        if not is_file(file) or is_file(path / "canonical_flame_param.npz"):
            return ""
        try:
            frames = read_json(file).get("frames")
        except DataError as error:
            return error.what
        first = frames[0] if isinstance(frames, list) and frames and isinstance(frames[0], dict) else {}
        if {"timestep_index", "flame_param_path"} & first.keys():
            return (
                f'"{file}" is of a tracked head, but canonical_flame_param.npz is missing beside it: '
                "export it again, or name the reader with --set data.name=vhap."
            )
        return f'"{file}": its first frame has no "transform_matrix".'

    def open(self, path: Path | None) -> Scene:
        """Read cameras and starting points. Raises DataError naming the file and the field."""
        root = place(path or Path())
        found = {split: root / f"transforms_{split}.json" for split in SPLITS}
        if not found["train"].is_file():
            raise wrong(found["train"], "is missing", "the training cameras", remedy="Check the path.")
        rows = [
            (split, record)
            for split, file in found.items()
            if file.is_file()
            for record in read_frames(file)[1]
        ]
        if not rows:
            raise wrong(found["train"], "has no frames", "at least one")
        records = [record for _, record in rows]
        files = [_picture(root, record) for record in records]
        cameras = fitted(records, [picture.image for picture in files])
        camera_from_world, mended = poses(records)
        views = Views(
            camera_from_world=camera_from_world,
            intrinsics=cameras.intrinsics,
            timestep=np.zeros(len(records), np.int64),
            camera=np.arange(len(records)),
            split=np.array([split for split, _ in rows]),
            names=tuple(f"{split}/{record.index:04d}" for split, record in rows),
            height=cameras.sizes[0][1],
            width=cameras.sizes[0][0],
        )
        start = self._start(root)
        return PictureScene(
            Pictures(files, cameras.sizes, self.options),
            views,
            rig="none",
            rig_parameters={},
            points=start.points,
            point_colours=start.colours,
            notes=(*start.notes, *cameras.notes, *mended, *absent([picture.image for picture in files])),
        )

    def _start(self, root: Path) -> Start:
        notes: tuple[str, ...] = ()
        if (root / POINTS).is_file():
            found = read_points(root / POINTS)
            if len(found.points):
                return found
            notes = (f"{POINTS} holds no points.",)
        made = random_points(self.options, np.zeros(3), self.options.extent, POINTS)
        return Start(made.points, made.colours, (*notes, *made.notes))


def _picture(root: Path, record: Record) -> Picture:
    image = file_of(inside(root, record.text("file_path"), root, record, "file_path"))
    if record.fields.get("mask_path") is None:
        return Picture(image)
    return Picture(image, file_of(inside(root, record.text("mask_path"), root, record, "mask_path")))

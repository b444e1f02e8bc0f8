"""A lone ``transforms.json``, as instant-ngp, nerfstudio and capture apps write it, for `--deformer static`.

    ROOT/transforms.json, ROOT/images/ (or wherever ``file_path`` says)

DATA is the folder, or a ``.json`` file of any name. A frame has ``file_path`` and ``transform_matrix``
(camera-to-world, OpenGL axes, 4×4 or 3×4); ``fl_x``, ``fl_y``, ``cx``, ``cy``, ``w``, ``h`` are the frame's,
else the file's, each on its own; ``camera_angle_x`` does where there is no ``fl_x``. ``mask_path`` names a
mask; white is kept. Cameras must be pinholes without distortion. Paths may lead into the folder's parent, no
further. Pictures may have several sizes; every batch holds pictures of one.

nerfstudio's ``train_filenames``, ``val_filenames`` and ``test_filenames`` are the splits; without them every
``test_every``-th picture by name is the test split. Surfels start from ``ply_file_path``, else from
``points3D.ply`` or ``points3d.ply``, else from random points where the cameras look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import DataError, Dataset, Scene, Views, option
from surfhead.files.places import is_dir, is_file, place
from surfhead.plugins.datasets.images import Picture, Pictures, PictureScene
from surfhead.plugins.datasets.other_trackers import other_tracker
from surfhead.plugins.datasets.starting_points import PointOptions, starting_points
from surfhead.plugins.datasets.transforms import (
    ENDINGS,
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

FILE = "transforms.json"
TRACKED = (
    "flame_param_path",
    "timestep_index",
    "exp_path",
    "mesh_path",
)  # fields of head tracking, which other readers take
POINTS = ("points3D.ply", "points3d.ply")
SPLITS = ("train", "val", "test")


class Transforms(Dataset):
    """Reads a transforms.json that stands alone."""

    name = "transforms"
    summary = "A lone transforms.json: instant-ngp, nerfstudio, capture apps."
    on_disk = True

    @dataclass(frozen=True)
    class Options(PointOptions):
        """How to read the pictures, and which are held out."""

        test_every: int = option(
            8,
            "Every so many-th picture by name is a test picture, where the file names no splits; 0: none.",
            low=0,
        )

    options: Options

    @classmethod
    def example(cls, folder: Path) -> Transforms:
        """Nine pictures of noise in two sizes, written to the folder."""
        from surfhead.plugins.datasets.example_files import write_transforms

        write_transforms(folder)
        return cls()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether cameras are there, in a file or a folder's transforms.json, and no head tracking is."""
        file = _file(path)
        if file is None or other_tracker(path) or is_file(path / "transforms_train.json"):
            return False
        try:
            return not _reason(file)
        except DataError:
            return False

    @classmethod
    def declines(cls, path: Path) -> str:
        """Why a folder with a transforms.json, or a .json file, is not read."""
        file = _file(path)
        try:
            reason = "" if file is None else _reason(file)
        except DataError as error:
            return error.what
        return reason and f'"{file}": {reason}.'

    def open(self, path: Path | None) -> Scene:
        """Read cameras and starting points. Raises DataError naming the file and the field."""
        file = None if path is None else _file(place(path))
        if file is None:
            raise DataError(
                f'Data set "{path or ""}" has no {FILE}.',
                f"Expected a folder with {FILE}, or a .json file like it.",
                "Check the path.",
            )
        root = file.parent
        top, records = read_frames(file)
        if not records:
            raise wrong(file, "has no frames", "at least one")
        records.sort(key=lambda record: record.text("file_path"))
        files = [_picture(root, record) for record in records]
        if not any(is_file(picture.image) for picture in files):
            raise wrong(
                files[0].image,
                "is not there, nor is any other picture",
                f'the pictures that "{file.name}" names, with any ending of {", ".join(ENDINGS)}',
                remedy="Keep the pictures where file_path says, relative to the file.",
            )
        cameras = fitted(records, [picture.image for picture in files])
        camera_from_world, mended = poses(records)
        split, notes = self._splits(top, records)
        notes += absent([picture.image for picture in files])
        if any("time" in record.fields for record in records):
            notes.append("Frames have a time, which is not read: the scene is taken to stand still.")
        places = [root / name for name in POINTS]
        if top.get("ply_file_path") is not None:
            named = Record(file, 0, top, {})
            places.insert(0, inside(root, named.text("ply_file_path"), _parent(root), named, "ply_file_path"))
            if not is_file(places[0]):
                notes.append(f"{places[0].name}, which ply_file_path names, is not there.")
        start = starting_points(self.options, camera_from_world, places, "file of points")
        views = Views(
            camera_from_world=camera_from_world,
            intrinsics=cameras.intrinsics,
            timestep=np.zeros(len(records), np.int64),
            camera=np.arange(len(records)),
            split=split,
            names=_names(records),
            height=cameras.sizes[0][1],
            width=cameras.sizes[0][0],
        )
        return PictureScene(
            Pictures(files, cameras.sizes, self.options),
            views,
            rig="none",
            rig_parameters={},
            points=start.points,
            point_colours=start.colours,
            notes=(*notes, *start.notes, *cameras.notes, *mended),
        )

    def _splits(self, top: dict[str, Any], records: Sequence[Record]) -> tuple[np.ndarray, list[str]]:
        named = {split: top.get(f"{split}_filenames") for split in SPLITS}
        if not any(named.values()):
            every = self.options.test_every
            held = [
                bool(every) and number % every == 0 and len(records) > 1 for number in range(len(records))
            ]
            return np.array(["test" if out else "train" for out in held]), []
        of: dict[str, str] = {}
        for split, files in named.items():
            if files is not None and not isinstance(files, list):
                raise records[0].wrong(f"{split}_filenames", "is no list", "a list of paths")
            of |= {Path(str(name)).as_posix(): split for name in files or ()}
        chosen = [of.get(Path(record.text("file_path")).as_posix(), "") for record in records]
        rest = chosen.count("")
        notes = [f"{rest} frames are in no split of the file and are trained on."] if rest else []
        return np.array([split or "train" for split in chosen]), notes


def _file(path: Path) -> Path | None:
    """The description that a path means, if any."""
    if is_dir(path):
        return path / FILE if is_file(path / FILE) else None
    return path if path.suffix.lower() == ".json" and is_file(path) else None


def _reason(file: Path) -> str:
    """Why a description is not read here; empty where it is. Raises DataError where it is damaged."""
    frames = read_json(file).get("frames")
    if not isinstance(frames, list) or not frames or not isinstance(frames[0], dict):
        return 'field "frames" is missing or holds no frame'
    if "transform_matrix" not in frames[0]:
        return 'its first frame has no "transform_matrix"'
    tracked = [field for field in TRACKED if field in frames[0]]
    return (
        f'its frames have "{tracked[0]}", so it is a tracked head; give the folder of its export'
        if tracked
        else ""
    )


def _parent(root: Path) -> Path:
    return root.absolute().parent


def _picture(root: Path, record: Record) -> Picture:
    def file(field: str) -> Path:
        return file_of(inside(root, record.text(field), _parent(root), record, field))

    return Picture(file("file_path"), None if record.fields.get("mask_path") is None else file("mask_path"))


def _names(records: Sequence[Record]) -> tuple[str, ...]:
    """The pictures' paths, with the frames' numbers where paths repeat."""
    paths = [record.text("file_path").replace("\\", "/").removeprefix("./") for record in records]
    if len(set(paths)) == len(paths):
        return tuple(paths)
    return tuple(f"{path} ({record.index})" for path, record in zip(paths, records, strict=True))

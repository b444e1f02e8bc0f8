"""VHAP exports: the data sets of GaussianAvatars and SurFhead (NeRSemble and monocular sequences).

    ROOT/images/{timestep:05d}_{camera:02d}.png      RGB, already composited (on white, as a rule)
    ROOT/fg_masks/{timestep:05d}_{camera:02d}.png    8-bit foreground mask, optional
    ROOT/flame_param/{timestep:05d}.npz              tracked FLAME parameters
    ROOT/canonical_flame_param.npz
    ROOT/transforms_train.json, transforms_val.json, transforms_test.json (or transforms.json alone)

Recognised by ``canonical_flame_param.npz``. Every frame's own intrinsics win over the file's, which are those
of its last frame. Combined sets may name files of sibling sequences (``../<sequence>/images/...``), but
nothing outside their common parent folder. A picture named in two splits stays in the first. Where only
``transforms.json`` is there, the pictures of camera ``val_camera`` are held out.

`surfhead synth OUT --format vhap` writes this layout from any rig. For rigs other than FLAME, the files hold
FLAME parameters with the poses alone, for other readers, beside the rig's own, which are read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, Dataset, Scene, Views, option
from surfhead.files.places import is_file, place
from surfhead.plugins.datasets.images import (
    WHITE,
    Colour,
    ImageOptions,
    Picture,
    Pictures,
    PictureScene,
)
from surfhead.plugins.datasets.other_trackers import other_tracker
from surfhead.plugins.datasets.transforms import Record, fitted, inside, poses, read_frames, wrong
from surfhead.plugins.datasets.vhap.layout import CANONICAL, EXTENSION, SPLITS
from surfhead.plugins.datasets.vhap.tracking import read_other_rig, read_tracking

MASKS = ("fg_mask_path", "mask_path")


@dataclass(frozen=True)
class Shot:
    """One picture of one split.

    Attributes:
        record: the frame's fields.
        split: its split.
        timestep: its number and its tracking file, for combined sets may repeat numbers.
        picture: the files.
        name: what reports call it.
    """

    record: Record
    split: str
    timestep: tuple[int, Path]
    picture: Picture
    name: str


class Vhap(Dataset):
    """Reads and writes VHAP's layout."""

    name = "vhap"
    summary = "VHAP exports with tracked FLAME: NeRSemble, GaussianAvatars, SurFhead, monocular."
    on_disk = True
    writes = True

    @dataclass(frozen=True)
    class Options(ImageOptions):
        """How to read the pictures and the splits."""

        composited: Colour = option(WHITE, "RGB the pictures were composited on when exported.")
        val_camera: int = option(8, "Camera to hold out where only transforms.json is there (8: NeRSemble).")
        camera: int = option(-1, "Train on this camera's pictures alone; -1: on all.")

    options: Options

    @classmethod
    def example(cls, folder: Path) -> Vhap:
        """Nine pictures of noise, written to the folder."""
        from surfhead.plugins.datasets.example_files import NoiseScene

        made = cls()
        made.write(NoiseScene(), folder)
        return made

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the canonical parameters are there."""
        return is_file(path / CANONICAL)

    @classmethod
    def declines(cls, path: Path) -> str:
        """What a folder of another tracker, or of VHAP before its export, is, and what to do with it."""
        return other_tracker(path)

    def open(self, path: Path | None) -> Scene:
        """Read cameras, splits and tracking. Raises DataError naming the file and the field."""
        if path is None or not place(path).is_dir():
            raise DataError(
                f'VHAP data set "{path or ""}" is no folder.',
                f"Expected a folder with {CANONICAL} and transforms_train.json.",
                "Give the folder that VHAP exported.",
            )
        shots, notes = self._shots(path)
        shots = self._of_camera(path, shots)
        records = [shot.record for shot in shots]
        files = [shot.picture for shot in shots]
        cameras = fitted(records, [picture.image for picture in files])
        camera_from_world, mended = poses(records)
        notes += [*cameras.notes, *mended]
        stale = sum(not {"fl_x", "camera_angle_x"} & record.fields.keys() for record in records)
        if stale:
            notes.append(f"{stale} frames have no intrinsics of their own; the file's may be stale.")
        steps = {step: row for row, step in enumerate(sorted({shot.timestep for shot in shots}))}
        notes += gaps([number for number, _ in steps])
        extension = records[0].top.get(EXTENSION, {"rig": "flame"})
        known_rig = isinstance(extension, dict) and isinstance(extension.get("rig"), str)
        if not known_rig or not isinstance(extension.get("rig_options", {}), dict):
            expected = 'an object with "rig" and perhaps an object "rig_options"'
            raise wrong(records[0].path, "names no rig", expected, field=EXTENSION)
        read = read_tracking if extension["rig"] == "flame" else read_other_rig
        tracked = read([file for _, file in steps], path / CANONICAL)
        views = Views(
            camera_from_world=camera_from_world,
            intrinsics=cameras.intrinsics,
            timestep=np.array([steps[shot.timestep] for shot in shots], np.int64),
            camera=np.array([record.whole("camera_index", 0) for record in records], np.int64),
            split=np.array([shot.split for shot in shots]),
            names=tuple(shot.name for shot in shots),
            height=cameras.sizes[0][1],
            width=cameras.sizes[0][0],
        )
        return PictureScene(
            Pictures(files, cameras.sizes, self.options, self.options.composited),
            views,
            rig=extension["rig"],
            rig_options=dict(extension.get("rig_options", {})),
            rig_parameters=tracked.parameters,
            identity=tracked.identity,
            timestep_names=names_of(steps),
            notes=(*notes, *tracked.notes),
        )

    def _shots(self, root: Path) -> tuple[list[Shot], list[str]]:
        """Every picture once, in the order of the splits and files, and what was odd."""
        files = {split: root / f"transforms_{split}.json" for split in SPLITS}
        notes: list[str] = []
        if files["train"].is_file():
            found = {split: read_frames(file)[1] for split, file in files.items() if file.is_file()}
            notes += [f"{files[split].name} has no frames." for split, rows in found.items() if not rows]
            rows = [(split, record) for split, records in found.items() for record in records]
        elif (root / "transforms.json").is_file():
            records = read_frames(root / "transforms.json")[1]
            several = len({record.whole("camera_index", 0) for record in records}) > 1
            held = [several and r.whole("camera_index", 0) == self.options.val_camera for r in records]
            rows = [("val" if out else "train", record) for out, record in zip(held, records, strict=True)]
            notes.append(
                f"transforms.json alone: camera {self.options.val_camera} is held out, if it is there."
            )
        else:
            raise wrong(root / "transforms_train.json", "is missing", "this file or transforms.json")
        if not rows:
            raise wrong(root, "has no file that names a frame", "frames in transforms_train.json")
        shots: dict[Path, Shot] = {}
        repeated = 0
        for split, record in rows:
            shot = self._shot(root, split, record)
            repeated += shot.picture.image in shots
            shots.setdefault(shot.picture.image, shot)
        if repeated:
            notes.append(f"{repeated} pictures are named twice; the first split that names one keeps it.")
        return list(shots.values()), notes

    def _of_camera(self, root: Path, shots: list[Shot]) -> list[Shot]:
        """The training pictures of the chosen camera alone; the other splits stay whole."""
        chosen = self.options.camera
        if chosen < 0:
            return shots
        there = {shot.record.whole("camera_index", 0) for shot in shots if shot.split == "train"}
        if chosen not in there:
            raise DataError(
                f'VHAP data set "{root}" has no training picture of camera {chosen}.',
                f"Cameras of its training pictures: {', '.join(map(str, sorted(there)))}.",
                "Choose one of these with --set data.camera=NUMBER; -1 is all.",
            )
        return [s for s in shots if s.split != "train" or s.record.whole("camera_index", 0) == chosen]

    @staticmethod
    def _shot(root: Path, split: str, record: Record) -> Shot:
        def file(field: str, default: str | None = None) -> Path:
            return inside(root, record.text(field, default), root.absolute().parent, record, field)

        image = file("file_path")
        number = record.whole("timestep_index")
        tracking = file("flame_param_path", f"flame_param/{number:05d}.npz")
        mask: Path | None = image.parent.parent / "fg_masks" / image.name
        named = next((name for name in MASKS if record.fields.get(name) is not None), None)
        if named is not None:
            mask = file(named)
        elif mask is not None and not is_file(mask):
            mask = None
        parts = [part for part in Path(record.text("file_path").replace("\\", "/")).parts if part != ".."]
        name = "/".join(part for part in parts if part not in ("images", ".")).rsplit(".", 1)[0]
        return Shot(record, split, (number, tracking), Picture(image, mask), name)

    def write(self, scene: Scene, folder: Path) -> list[Path]:
        """Write a scene in this layout, pictures and all; gives the .json files."""
        from surfhead.plugins.datasets.vhap.export import write_layout

        return write_layout(scene, folder)


def gaps(numbers: Sequence[int]) -> list[str]:
    """What is odd about the timesteps' numbers, in sentences."""
    notes = []
    if min(numbers) > 0:
        notes.append(f"The first timestep is {min(numbers)}.")
    there = sorted(set(numbers))
    missing = there[-1] - there[0] + 1 - len(there)
    if missing:
        between = (range(low + 1, high) for low, high in pairwise(there))
        first = list(islice(chain.from_iterable(between), 10))
        shown = ", ".join(map(str, first)) + (", ..." if missing > len(first) else "")
        notes.append(f"{missing} timesteps between the first and the last are missing: {shown}.")
    return notes


def names_of(steps: dict[tuple[int, Path], int]) -> tuple[str, ...]:
    """The timesteps' numbers, with their sequences' names where numbers repeat."""
    if len({number for number, _ in steps}) == len(steps):
        return tuple(f"{number:05d}" for number, _ in steps)
    return tuple(f"{file.parent.parent.name}/{number:05d}" for number, file in steps)

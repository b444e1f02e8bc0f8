"""Clips of one person, tracked at first use: landmarks by MediaPipe, a fit of the ICT head, masks.

    surfhead train me.mp4

A clip is a video file (.mp4, .mov, .m4v, .mkv, .webm, .avi) or a folder of nothing but pictures. What
tracking gives is kept in ``video`` below surfhead's cache folder, by the clip's content and the options here.
The last fifth of the clip is the ``test`` split. Two files are needed besides, of which nothing is sent
anywhere:

- MediaPipe's landmark model (Apache-2.0): option ``landmarker``, ``$SURFHEAD_LANDMARKER``, or
  ``face_landmarker.task`` in the cache folder;
- the ICT-FaceKit head (MIT), its folder or what `surfhead rig import ict` made of it: option ``head``,
  ``$SURFHEAD_ICT_HEAD``, or ``ict.safetensors`` in the cache folder.

Where there is a CUDA device, or the option ``refine`` is ``on``, the motion is then refined by the pixels of
all frames: held-out frames' motion, too, comes from their pictures, as of any tracker that uses pixels. The
result is kept beside the tracking, which is not done anew for it.

The camera should stand still. Masks: ``colour`` spreads the fitted head's outline to hair by colour,
``outline`` is the outline alone, anything else is a folder of masks named by the frames' numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from surfhead.core.api import (
    DataError,
    Dataset,
    Frame,
    OptionError,
    Scene,
    SurfheadError,
    UnavailableError,
    Views,
    cache_folder,
    cause,
    option,
)
from surfhead.data.opening import Opened
from surfhead_video.clip import ffmpeg_program, is_clip, read_picture
from surfhead_video.kept_refinement import make_refined, read_refined
from surfhead_video.landmark_places import make_rig
from surfhead_video.landmarker import FILE, INSTALL, SETTING, chosen_place, find_model, reason_absent
from surfhead_video.landmarker import VARIABLE as LANDMARKER
from surfhead_video.progress import stages
from surfhead_video.refinement import Plan
from surfhead_video.rig_motion import rig_motion
from surfhead_video.tracking import Report, Settings, Tracked, cache_key, read_tracking, track

VARIABLE = "SURFHEAD_ICT_HEAD"
HEAD = "ict.safetensors"
HELD_OUT = 0.2  # last part of the clip
PLAN = Plan()
BEHIND = (1.0, 1.0, 1.0)  # RGB of what the motion is refined before, whatever the option
NOT_REFINED = (
    "The motion is not refined by pixels, as there is no CUDA device. In drawn clips refining it gained "
    "held-out frames 2.2 to 4.3 dB. To refine it on a CPU, in an hour or so for 250 frames, add: "
)


def find_head(given: str = "", setting: str = SETTING) -> Path:
    """The ICT head: the option, ``$SURFHEAD_ICT_HEAD``, or the one in the cache folder.

    Args:
        given: a path, or nothing.
        setting: how the command in hand is given an option.

    Raises:
        DataError: it is not there; says where to get it.
    """
    usual = cache_folder() / HEAD
    path, source = chosen_place(given, VARIABLE, usual)
    if not path.exists():
        raise DataError(
            f'The ICT head "{path}"{source} does not exist.',
            "Expected the ICT-FaceKit folder, or what `surfhead rig import ict` made of it.",
            "Download https://github.com/ICT-VGL/ICT-FaceKit (MIT), then "
            f"`surfhead rig import ict FOLDER {usual}`, or name it: {setting.format('head', 'FILE')}, "
            f"or ${VARIABLE}.",
        )
    return path


def find_files(landmarker: str, head: str, setting: str = SETTING) -> tuple[Path, Path]:
    """The landmark model and the head. Raises DataError that tells of both where both are missing."""
    try:
        model = find_model(landmarker, setting)
    except DataError as error:
        try:
            find_head(head, setting)
        except DataError as other:
            raise DataError(
                f"{error.what} {other.what}",
                f"{error.exists} {other.exists}",
                f"{error.remedy} {other.remedy}",
            ) from None
        raise
    return model, find_head(head, setting)


class Video(Dataset):
    """Tracks a clip and reads it. See the module's text."""

    name = "video"
    summary = "A clip of one person, tracked with open models at first use."
    held_out = True
    on_disk = True
    preset = "monocular"

    @dataclass(frozen=True)
    class Options:
        """How to track the clip, and with what."""

        landmarker: str = option("", "MediaPipe's face_landmarker.task; empty: see the text above.")
        head: str = option("", "The ICT head, a file or folder; empty: see the text above.")
        size: int = option(640, "Longer side of the pictures used, pixels, at most.")
        every: int = option(1, "Use each frame whose number is a multiple of this.")
        mask: str = option("colour", "colour, outline, or a folder of masks. See the text above.")
        focal: float = option(0.0, "Focal length of the clip's pictures, pixels; 0: found.")
        turn: Literal[0, 90, 180, 270] = option(
            0, "Degrees by which frames, and given masks, are turned clockwise: for a clip that lies."
        )
        refine: Literal["auto", "on", "off"] = option(
            "auto", "Refine the motion by pixels; auto: where there is a CUDA device, or it is kept already."
        )
        background: tuple[float, float, float] = option(
            (1.0, 1.0, 1.0), "RGB put behind, in [0, 1].", low=0, high=1
        )
        cache: str = option("", "Folder for what tracking gives; empty: below the user's cache folder.")

        def __post_init__(self) -> None:
            Settings(self.size, self.every, self.mask, self.focal, self.turn)

    options: Options
    setting = SETTING
    """How the command in hand is given an option, for what errors and notes propose."""

    @classmethod
    def available(cls) -> str | None:
        """It needs MediaPipe."""
        reason = reason_absent()
        return None if reason is None else f"{reason}. To have it: {INSTALL}."

    @classmethod
    def report(cls) -> dict[str, str]:
        """Where MediaPipe, ffmpeg and the two files are, or where they were looked for."""
        files = {
            "landmark model": (find_model, LANDMARKER, FILE),
            "ICT head": (find_head, VARIABLE, HEAD),
        }
        told = {"mediapipe": _mediapipe(), "ffmpeg": _ffmpeg()}
        for label, (find, variable, usual) in files.items():
            try:
                source = chosen_place("", variable, cache_folder() / usual)[1]
                told[label] = f"{find()}{source.rstrip(',')}"
            except DataError as error:
                told[label] = f"not found: {error.what} {error.remedy}"
        return told

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a video file by its name, or a folder of nothing but pictures."""
        return is_clip(path)

    def open(self, path: Path | None, progress: Report | None = None) -> VideoScene:
        """Track the clip, unless that is done, and describe its views.

        Raises:
            DataError: no clip, no face, a model file is missing or is another.
            UnavailableError: no MediaPipe.
        """
        if path is None or not is_clip(path):
            raise DataError(
                f'"{path or ""}" is no clip.',
                "Expected a video file or a folder of nothing but pictures.",
                "Check the path.",
            )
        head = find_files(self.options.landmarker, self.options.head, self.setting)[1]
        return VideoScene(self.tracked(path, progress), head, self.options.background)

    def tracked(self, path: Path, progress: Report | None = None) -> Tracked:
        """What tracking, and refining if that is wanted, gave, from the cache where it is there."""
        options = self.options
        model, head = find_files(options.landmarker, options.head, self.setting)
        rig = make_rig(head)
        settings = Settings(options.size, options.every, self._mask(), options.focal, options.turn)
        root = Path(options.cache).expanduser() if options.cache else cache_folder() / "video"
        folder = root / cache_key(path, settings, model, rig)
        kept = read_tracking(folder)
        if kept is not None:
            return self._refined(kept, path.name, rig, progress)
        reason = reason_absent()
        if reason is not None:
            raise UnavailableError(
                f"The clip cannot be tracked: {reason}.",
                "Expected mediapipe 1.2 or later.",
                f"Run {INSTALL}.",
            )
        with stages(f"Tracking {path.name}", progress) as report:
            tracked = track(path, folder, rig, model, settings, report, self.setting)
        return self._refined(tracked, path.name, rig, progress)

    def _refined(self, tracked: Tracked, name: str, rig: Any, progress: Report | None) -> Tracked:
        """The clip with its motion refined by pixels, if that is wanted and can be; else with a note."""
        wanted = self.options.refine
        if wanted == "off":
            return tracked
        refined = read_refined(tracked, PLAN, rig)
        if refined is not None:
            return refined
        if wanted == "auto" and not torch.cuda.is_available():
            return replace(tracked, notes=(*tracked.notes, self._proposed(NOT_REFINED, "on")))
        scene = VideoScene(tracked, find_head(self.options.head), BEHIND)
        try:
            with stages(f"Refining the motion of {name} by pixels", progress) as report:
                return make_refined(tracked, Opened(scene, self), PLAN, rig, report=report)
        except Exception as error:  # whatever fails, the tracking is sound
            return replace(tracked, notes=(*tracked.notes, self._proposed(_failed(error), "off")))

    def _proposed(self, note: str, refine: str) -> str:
        """A note that ends in how to set ``refine`` with the command in hand."""
        return note + self.setting.format("refine", refine)

    def _mask(self) -> str:
        mask = self.options.mask
        if mask in ("colour", "outline"):
            return str(mask)
        folder = Path(mask).expanduser()
        if not folder.is_dir():
            raise OptionError(
                f'Option "mask" of data set "video" is "{mask}".',
                "Expected colour, outline, or a folder of masks.",
                "Mend the setting.",
            )
        return str(folder.resolve())


def _mediapipe() -> str:
    """Its version, or why it cannot run."""
    from importlib.metadata import PackageNotFoundError, version

    reason = reason_absent()
    try:
        return version("mediapipe") if reason is None else f"{reason}. To have it: {INSTALL}."
    except PackageNotFoundError:  # it loads, from a folder
        return "of a version that is not known"


def _ffmpeg() -> str:
    """Where it is, or why films cannot be read."""
    try:
        return ffmpeg_program()
    except UnavailableError as error:
        return f"{error.what} {error.remedy}"


def _failed(error: Exception) -> str:
    """What to say where the motion could not be refined."""
    reason = cause(error).partition("\n")[0].rstrip(".") or type(error).__name__
    remedy = "Look at `surfhead-video overlay`."
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        reason, remedy = "memory is short", "Free some, or give a smaller data.size."
    elif isinstance(error, SurfheadError):
        remedy = error.remedy
    return (
        f"The motion could not be refined by pixels, and is as tracked: {reason}. {remedy} "
        "What was tracked is kept. To go without, add: "
    )


class VideoScene(Scene):
    """The views of a tracked clip."""

    def __init__(self, tracked: Tracked, head: Path, background: tuple[float, float, float]) -> None:
        rig: Any = make_rig(head)
        identity = {"shape": torch.from_numpy(np.asarray(tracked.fit.shape)).float()}
        rig.prepare(identity)
        motion = tracked.motion or rig_motion(tracked.fit, rig, tracked.time)
        count = len(tracked.number)
        split = np.where(np.arange(count) < round((1 - HELD_OUT) * count), "train", "test")
        names = tuple(f"{number:06d}" for number in tracked.number.tolist())
        super().__init__(
            Views(
                camera_from_world=np.tile(motion.camera, (count, 1, 1)),
                intrinsics=np.tile(tracked.intrinsics(), (count, 1, 1)),
                timestep=np.arange(count, dtype=np.int64),
                camera=np.zeros(count, np.int64),
                split=split,
                names=names,
                height=tracked.size[1],
                width=tracked.size[0],
            ),
            rig="ict",
            rig_options={"path": str(head.resolve())},
            rig_parameters=motion.parameters,
            identity=identity,
            timestep_names=names,
            background=background,
            notes=tracked.notes,
            rate=1 / max(float(np.median(np.diff(tracked.time))), 1e-3),
        )
        self.tracked = tracked

    def frame(self, view: int) -> Frame:
        """Decode one view. Raises DataError naming the file."""
        files = self.files(view)
        loaded = []
        for file, mode in zip(files, ("RGB", "L"), strict=True):
            try:
                picture = read_picture(file, mode)
                if picture.size != tuple(self.tracked.size):
                    raise ValueError(f"it has {picture.width}x{picture.height} pixels")
                loaded.append(np.array(picture))
            except Exception as error:  # Pillow raises many kinds for damaged files
                raise DataError(
                    f'Picture "{file}" in the cache cannot be read: {error}.',
                    "Expected what tracking wrote.",
                    f'Remove the folder "{self.tracked.folder}"; it is then made again.',
                ) from error
        image, mask = loaded
        share = mask[..., None].astype(np.float32) / 255
        behind = np.asarray(self.background, np.float32) * 255
        mixed = image.astype(np.float32) * share + behind * (1 - share)
        return Frame(np.rint(mixed).astype(np.uint8), mask)

    def files(self, view: int) -> tuple[Path, ...]:
        """Picture and mask of a view."""
        return self.tracked.file("frames", view), self.tracked.file("masks", view)

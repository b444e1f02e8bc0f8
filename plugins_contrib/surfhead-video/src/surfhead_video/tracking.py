"""A clip from first to last: detect, choose frames, fit, find masks, keep it all in a folder.

The folder holds ``frames/`` (JPEG, cut to where the head is), ``masks/`` (PNG) and ``tracking.npz``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from surfhead.core.api import DataError, OptionError
from surfhead.files import bounds
from surfhead_video.clip import Clip, ClipFrame
from surfhead_video.clock import Clock
from surfhead_video.confidence import doubts
from surfhead_video.counts import counted
from surfhead_video.detection import Found, chosen, detect
from surfhead_video.fitted_head import Detections, Fit, reprojection
from surfhead_video.head_fit import Priors
from surfhead_video.kept_tracking import fits
from surfhead_video.landmark_places import LandmarkPlaces, landmark_places
from surfhead_video.landmarker import SETTING, Landmarker
from surfhead_video.lying import TURNS, refuse_lying
from surfhead_video.masks import MaskMaker, given_mask
from surfhead_video.rig_motion import RigMotion
from surfhead_video.score_gains import score_gains
from surfhead_video.scores import above_rest, as_coefficients
from surfhead_video.skin_points import skin_points
from surfhead_video.surface import Surface
from surfhead_video.texture_fit import refine_poses
from surfhead_video.windows import fit_clip

VERSION = 11
"""Counts changes of what tracking gives: what another version kept is made anew."""
POINTS = 1500  # of the skin, that are looked up in the pictures
LEAST = 5  # frames without which nothing can be learnt
KEPT = ("frames", "masks")
FITTED = ("shape", "person", "rotation", "translation", "expression", "gaze")  # and the focal length
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """What tracking depends on besides the clip and the models.

    Attributes:
        size: longer side of the kept pictures, pixels, at most.
        every: use each frame whose number is a multiple of this.
        mask: ``outline``, ``colour`` or a folder of masks named after the frames' numbers.
        focal: known focal length, pixels of the clip's pictures; 0: found.
        turn: degrees by which frames (and given masks) are turned clockwise first: 0, 90, 180 or 270.
    """

    size: int = 640
    every: int = 1
    mask: str = "colour"
    focal: float = 0.0
    turn: int = 0

    def __post_init__(self) -> None:
        for name, low in (("size", 32), ("every", 1), ("focal", 0)):
            if not low <= getattr(self, name) < 1e6:
                raise OptionError(
                    f'Option "{name}" of data set "video" is {getattr(self, name)}.',
                    f"Expected at least {low}.",
                    "See `surfhead show dataset video`.",
                )
        if self.turn not in TURNS:
            raise OptionError(
                f'Option "turn" of data set "video" is {self.turn}.',
                f"Expected one of {', '.join(map(str, TURNS))}, degrees clockwise.",
                "See `surfhead show dataset video`.",
            )


@dataclass(frozen=True)
class Tracked:
    """A tracked clip of T frames.

    Attributes:
        folder: where frames and masks are.
        fit: the head, for the clip's whole pictures.
        number: (T,) frame numbers.
        time: (T,) seconds.
        landmarks: (T, L, 2) as detected, pixels of the whole pictures.
        error: (T,) median reprojection error, fraction of the eyes' distance.
        box: left, upper, right, lower edge of what was kept of each picture, pixels.
        size: width and height of the kept pictures.
        whole: width and height of the clip's pictures.
        notes: what was odd, in sentences.
        seconds: stage -> wall and processor time.
        motion: the rig's, refined by pixels, with which ``fit`` and ``error`` agree; None: not refined.
    """

    folder: Path
    fit: Fit
    number: np.ndarray
    time: np.ndarray
    landmarks: np.ndarray
    error: np.ndarray
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    whole: tuple[int, int]
    notes: tuple[str, ...]
    seconds: dict[str, list[float]]
    motion: RigMotion | None = None

    def intrinsics(self) -> np.ndarray:
        """(3, 3) of the kept pictures."""
        scale_x = self.size[0] / (self.box[2] - self.box[0])
        scale_y = self.size[1] / (self.box[3] - self.box[1])
        made = np.eye(3)
        made[0, 0], made[1, 1] = self.fit.focal * scale_x, self.fit.focal * scale_y
        made[0, 2] = (self.whole[0] / 2 - self.box[0]) * scale_x
        made[1, 2] = (self.whole[1] / 2 - self.box[1]) * scale_y
        return made

    def file(self, kind: str, row: int) -> Path:
        """The kept picture (``frames``) or mask (``masks``) of a frame."""
        return self.folder / kind / f"{int(self.number[row]):06d}.{'jpg' if kind == 'frames' else 'png'}"


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(f for f in path.iterdir() if f.is_file()):
        if path.is_dir():
            digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def cache_key(path: Path, settings: Settings, model: Path, rig: Any) -> str:
    """Name of the folder in the cache: everything the result depends on."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        mediapipe = version("mediapipe")
    except PackageNotFoundError:
        mediapipe = ""
    masks = file_hash(Path(settings.mask)) if Path(settings.mask).is_dir() else ""
    chosen = asdict(settings)
    if not settings.turn:
        del chosen["turn"]  # what was kept before there was this setting is still found
    parts = {
        **chosen,
        **{"clip": file_hash(path), "model": file_hash(model), "head": rig.fingerprint(), "masks": masks},
        **{"version": VERSION, "mediapipe": mediapipe},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def track(
    path: Path,
    folder: Path,
    rig: Any,
    model: Path,
    settings: Settings,
    report: Report | None = None,
    setting: str = SETTING,
) -> Tracked:
    """Track a clip into a folder that must not exist yet; it appears when all is done.

    Args:
        path: video file or folder of pictures.
        folder: where the result goes.
        rig: of kind ``ict``; is prepared for the identity found.
        model: the landmark model.
        settings: see there.
        report: called with the stage's name, what is done and what there is.
        setting: how the command in hand is given an option, for what errors propose.

    Raises:
        DataError: too few frames with a face, a clip that lies on its side, a damaged file, masks that are
            missing.
    """
    tell = report or (lambda stage, done, total: None)
    seconds: dict[str, list[float]] = {}
    clock = Clock(seconds)
    clip = Clip(path, settings.turn)
    expected = clip.expected() // settings.every
    with ExitStack() as stack, clock("landmarks"):
        workers = min(2, os.cpu_count() or 1)
        landmarkers = [stack.enter_context(Landmarker(model)) for _ in range(workers)]

        def used() -> Iterator[ClipFrame]:
            return (frame for frame in clip.frames() if frame.number % settings.every == 0)

        found = detect(used(), landmarkers, lambda done: tell("Landmarks", done, max(done, expected)))
        faults = clip.faults
        refuse_lying(path, used, found, landmarkers[0], settings.turn, setting)
    if faults:
        found.notes.append(f"ffmpeg reports {counted(len(faults), 'fault')} in the file: {faults[0]}")
    found = enough(path, chosen(found))
    places = landmark_places(rig)
    with clock("fit"):
        detections = as_detections(found, places)
        priors = (
            Priors()
            if not settings.focal
            else Priors(usual_focal=settings.focal / max(found.width, found.height), focal=1e-3)
        )
        fit = fit_clip(places, detections, priors, lambda done, total: tell("Fit", done, total))
    with clock("poses"):
        skin = skin_points(rig, places, POINTS)
        watch = partial(tell, "Poses from pictures")
        fit = refine_poses(clip.frames, found.number, places, skin, detections, priors, fit, watch)
    return keep(clip, folder, rig, places, found, fit, settings, seconds, tell)


def enough(path: Path, found: Found) -> Found:
    """What was found. Raises DataError where it is too little to learn from."""
    if len(found) >= LEAST:
        return found
    usable = counted(len(found), "usable frame") if len(found) else "no usable frame"
    what, details = f"has {usable}", " ".join(found.notes)
    if found.faceless == found.frames:
        what, details = "has no face", ""
    raise DataError(
        f'"{path}" {what} in {counted(found.frames, "frame")}. {details}'.strip(),
        f"Expected at least {LEAST} frames that show one face, sharp and from in front.",
        "Film in even light, the face towards the camera and a third of the picture high or more.",
    )


def as_detections(found: Found, places: LandmarkPlaces) -> Detections:
    """What the fit needs."""
    scores = score_gains(places.names) * as_coefficients(found.scores, found.names, places.names)
    return Detections(
        landmarks=found.landmarks.astype(np.float64),
        scores=above_rest(scores),
        pose=found.pose,
        time=found.time,
        width=found.width,
        height=found.height,
    )


def keep(
    clip: Clip,
    folder: Path,
    rig: Any,
    places: LandmarkPlaces,
    found: Found,
    fit: Fit,
    settings: Settings,
    seconds: dict[str, list[float]],
    tell: Report,
) -> Tracked:
    """Write frames, masks and tracking of a fitted clip."""
    clock = Clock(seconds)
    surface = Surface(rig, fit, found)
    box = surface.box()
    side = max(box[2] - box[0], box[3] - box[1])
    scale = min(1.0, settings.size / side)
    size = (max(round((box[2] - box[0]) * scale), 1), max(round((box[3] - box[1]) * scale), 1))
    error = reprojection(places, fit, as_detections(found, places))
    tracked = Tracked(
        folder,
        fit,
        found.number,
        found.time,
        found.landmarks,
        error,
        box,
        size,
        (found.width, found.height),
        (*found.notes, *doubts(found, fit, error)),
        seconds,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        for name in KEPT:
            (unfinished / name).mkdir()
        with clock("masks"):
            _write_pictures(clip, unfinished, tracked, surface, settings, tell)
        write_tracking(unfinished / "tracking.npz", tracked)
        there = read_tracking(folder)
        if there is not None:  # another process was first, and may be reading it
            return there
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.rename(folder)
    finally:
        if unfinished.exists():
            shutil.rmtree(unfinished)
    return tracked


def _write_pictures(
    clip: Clip, folder: Path, tracked: Tracked, surface: Surface, settings: Settings, tell: Report
) -> None:
    rows = {int(number): row for row, number in enumerate(tracked.number)}
    maker = MaskMaker() if settings.mask == "colour" else None
    done = 0
    for frame in clip.frames():
        row = rows.get(frame.number)
        if row is None:
            continue
        image = cut_out(frame, tracked)
        name = f"{frame.number:06d}"
        if settings.mask not in ("outline", "colour"):
            mask = given_mask(Path(settings.mask), frame.number, tracked, settings.turn)
        else:
            mask = surface.mask(row, tracked)
            if maker is not None:
                mask = maker(np.asarray(image), mask)
        image.save(folder / "frames" / f"{name}.jpg", quality=95, subsampling=0)
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png", compress_level=2)
        done += 1
        tell("Pictures and masks", done, len(rows))


def cut_out(frame: ClipFrame, tracked: Tracked) -> Image.Image:
    """What is kept of a frame."""
    return (
        Image.fromarray(frame.picture).resize(
            tracked.size, Image.Resampling.LANCZOS, tracked.box, reducing_gap=3.0
        )
        if tracked.size != _extent(tracked.box)
        else Image.fromarray(frame.picture).crop(tracked.box)
    )


def _extent(box: tuple[int, int, int, int]) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def write_tracking(path: Path, tracked: Tracked) -> None:
    """Everything but the pictures as one ``.npz``."""
    fit = tracked.fit
    arrays: dict[str, Any] = {
        **{name: getattr(fit, name) for name in FITTED},
        **{name: getattr(tracked, name) for name in ("number", "time", "landmarks", "error", "box", "size")},
        **{"focal": np.array(fit.focal), "whole": tracked.whole, "version": np.array(VERSION)},
        "story": np.array(json.dumps({"notes": tracked.notes, "seconds": tracked.seconds})),
    }
    np.savez_compressed(path, **arrays)


def read_tracking(folder: Path) -> Tracked | None:
    """What a folder in the cache holds; None where there is nothing whole."""
    try:
        with (
            bounds.regular(folder / "tracking.npz").open("rb") as kept,
            np.load(bounds.archive(kept), allow_pickle=False) as file,
        ):
            made = {name: file[name] for name in file.files}
        if int(made["version"]) != VERSION:
            return None
        story = json.loads(str(made["story"]))
        tracked = Tracked(
            folder,
            Fit(float(made["focal"]), **{name: made[name] for name in FITTED}),
            **{name: made[name] for name in ("number", "time", "landmarks", "error")},
            box=tuple(made["box"].tolist()),
            size=tuple(made["size"].tolist()),
            whole=tuple(made["whole"].tolist()),
            notes=tuple(story["notes"]),
            seconds=story["seconds"],
        )
        if not fits(tracked):
            return None
    except Exception:  # whatever is wrong with it, it can be made again
        return None
    whole = all(tracked.file(kind, row).is_file() for kind in KEPT for row in range(len(tracked.number)))
    return tracked if whole else None

"""Lights from outside: by name, from an environment's picture (.hdr, .exr), and moving ones from key frames.

An environment is an equirectangular picture, twice as wide as high, of linear radiance: up is on top, the
middle column is what a camera before the face sees behind it (-z), columns to the right look towards +x. What
lights the face comes from the left and right edges. ``turn`` carries the whole environment round the head, in
degrees.

Key frames are a JSON file::

    {"fps": 25,
     "frames": [{"time": 0.0, "light": "studio", "turn": 0.0, "strength": 1.0},
                {"time": 4.0, "light": "studio", "turn": 360.0}]}

``light`` is a name or a file (beside the JSON file) and may be left out after the first frame; in between,
lights are mixed, and turns and strengths go on evenly. Before the first and after the last nothing moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic
import torch

from surfhead.core.errors import DataError, UnavailableError, unknown_name
from surfhead.drawing.key_frames import FASTEST, LONGEST, MOST
from surfhead.files.bounds import read_json, regular
from surfhead.maths.lamps import LAMPS
from surfhead.maths.light import Light, about_up, projected

SUFFIXES = (".hdr", ".exr")
ROWS = 512  # an environment is averaged to at most so many rows before its harmonics are taken
STRIP = 64  # lines read at once
LARGEST = 65_536  # pixels of a side
ALWAYS = 1 << 25  # pixels of an environment, whatever its file's size
FLAT = 100  # pixels a byte of a larger one
CHANNELS = 64
TILE = 1 << 22  # pixels
MOST_TURN = 36000.0  # degrees
DEGREE = 3
_wrong = partial(DataError.of, "The light", remedy="Choose another file, or a named light, with --light.")
SETTINGS = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_light(text: str, folder: Path | None = None) -> Light:
    """A light by its name, or from an environment's picture, with mean radiance 1.

    Args:
        text: a name out of ``LAMPS``, or a file ending in .hdr or .exr.
        folder: where relative paths start; by default where the program runs.

    Raises:
        UnknownNameError: neither a name nor a file of such a kind.
        DataError: the file does not exist, is no environment, or holds NaN or nothing but black.
        UnavailableError: the package that reads such files is missing.
    """
    if text in LAMPS:
        return LAMPS[text].light().normalised()
    path = Path(text).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise unknown_name(
            "light", text, [*LAMPS, "FILE.hdr", "FILE.exr", "FILE.json"], "Choose one of these with --light."
        )
    if folder is not None and not path.is_absolute():
        path = folder / path
    return Light(torch.from_numpy(projected(environment(path), DEGREE)).float(), text).normalised()


def environment(path: Path) -> np.ndarray:
    """(H, W, 3) float32 radiance of an environment's picture, averaged to at most 512 rows; see the module.

    A large picture is read strip by strip, so 16k take no more memory than 1k.
    """
    try:
        import OpenImageIO
    except ImportError as error:
        raise UnavailableError(
            f'The light "{path}" cannot be read: the package OpenImageIO is missing.',
            f"Without it there are the named lights: {', '.join(LAMPS)}.",
            'Run `pip install "surfhead[light]"`.',
        ) from error
    if not path.is_file():
        raise _wrong(path, "does not exist", "a file", remedy="Check the path.")
    largest = FLAT * regular(path).stat().st_size + ALWAYS
    picture = OpenImageIO.ImageInput.open(str(path))
    if picture is None:
        reason = (OpenImageIO.geterror() or "it holds no picture").splitlines()[0]
        raise _wrong(path, f"cannot be read: {reason}", "a Radiance .hdr or OpenEXR .exr picture")
    try:
        made = _averaged(path, picture, largest)
    finally:
        picture.close()
    if made.shape[-1] < 3:  # grey, perhaps with alpha
        made = np.repeat(made[..., :1], 3, axis=-1)
    if not np.isfinite(made).all():
        raise _wrong(path, "holds NaN or infinity", "finite radiance")
    bright: np.ndarray = np.maximum(made, 0.0).astype(np.float32)
    if not bright.max() > 0.0:
        raise _wrong(path, "is black", "some light")
    return bright


def _averaged(path: Path, picture: Any, largest: int) -> np.ndarray:
    """(H, W, C) the opened picture, of at most ``largest`` pixels, averaged to at most ``ROWS`` rows."""
    spec = picture.spec()
    height, width, channels = spec.height, spec.width, spec.nchannels
    if not (1 < height <= LARGEST and width == 2 * height):
        raise _wrong(
            path,
            f"is no environment: it has {width} x {height} pixels",
            "an equirectangular picture, twice as wide as high",
        )
    tile = max(spec.tile_width, 1) * max(spec.tile_height, 1)  # decoded as a whole
    if height * width > largest or channels > CHANNELS or tile > TILE or spec.deep:
        raise _wrong(
            path,
            f"promises {width} x {height} pixels of {channels} channels, which its file cannot mean",
            f"at most {CHANNELS} channels, and tiles of at most {TILE} pixels",
        )
    channels = min(channels, 3)
    step = math.ceil(height / ROWS)
    total = np.zeros((math.ceil(height / step), math.ceil(width / step), channels))
    # tiles or a few lines at once; never the whole picture, which takes gigabytes at 16k
    tall, wide = (spec.tile_height, spec.tile_width) if spec.tile_width else (STRIP, width)
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            below, right = min(top + tall, height), min(left + wide, width)
            first, last = top + spec.y, below + spec.y  # it may lie anywhere in its window
            if spec.tile_width:
                across = (left + spec.x, right + spec.x)
                values = picture.read_tiles(*across, first, last, 0, 1, 0, channels, "float")
            else:
                values = picture.read_scanlines(first, last, 0, 0, channels, "float")
            if values is None:
                reason = (picture.geterror() or "it ends early").splitlines()[0]
                raise _wrong(path, f"cannot be read: {reason}", "a whole file")
            block = np.asarray(values).reshape(below - top, right - left, channels)
            columns, starts = np.unique(np.arange(left, right) // step, return_index=True)
            sums = np.add.reduceat(block, starts, axis=1, dtype=np.float64)
            np.add.at(total, (np.arange(top, below)[:, None] // step, columns[None]), sums)
    down = np.bincount(np.arange(height) // step)
    across_counts = np.bincount(np.arange(width) // step)
    return np.asarray(total / (down[:, None, None] * across_counts[None, :, None]))


class _Moment(pydantic.BaseModel):
    model_config = SETTINGS
    time: Annotated[float, pydantic.Field(ge=-LONGEST, le=LONGEST)]
    light: str | None = None
    turn: Annotated[float, pydantic.Field(ge=-MOST_TURN, le=MOST_TURN)] = 0.0
    strength: Annotated[float, pydantic.Field(ge=0.0, le=1e6)] = 1.0


class _Document(pydantic.BaseModel):
    model_config = SETTINGS
    fps: Annotated[float, pydantic.Field(gt=0.0, le=FASTEST)] = 25.0
    frames: Annotated[tuple[_Moment, ...], pydantic.Field(min_length=1, max_length=10_000)]


@dataclass(frozen=True)
class MovingLight:
    """A light over time.

    Attributes:
        times: K seconds, ascending.
        lights: K lights.
        turns: K degrees about the world's up.
        strengths: K factors.
        fps: pictures a second it is meant to be shown at.
    """

    times: tuple[float, ...]
    lights: tuple[Light, ...]
    turns: tuple[float, ...]
    strengths: tuple[float, ...]
    fps: float = 25.0

    @classmethod
    def still(cls, light: Light, turn: float = 0.0, strength: float = 1.0) -> MovingLight:
        """A light that does not move."""
        return cls((0.0,), (light,), (turn,), (strength,))

    @classmethod
    def read(cls, text: str, turn: float = 0.0, strength: float = 1.0) -> MovingLight:
        """A name, an environment's picture, or a JSON file of key frames; errors as of ``read_light``.

        Args:
            text: which.
            turn: degrees added to all turns.
            strength: factor on all strengths.
        """
        path = Path(text).expanduser()
        if path.suffix.lower() != ".json":
            return cls.still(read_light(text), turn, strength)
        document = _read_document(path)
        times = tuple(frame.time for frame in document.frames)
        for number in range(1, len(times)):
            if not times[number] > times[number - 1]:
                raise DataError.of(
                    f"Key frame {number} of",
                    path,
                    f"is at {times[number]:g} s, not after the one before",
                    "ascending times",
                    "Mend this key frame.",
                )
        if (times[-1] - times[0]) * document.fps > MOST:
            raise DataError(
                f'"{path}" asks for {(times[-1] - times[0]) * document.fps:.0f} pictures.',
                f"Expected at most {MOST}.",
                "Lower fps, or let its times lie closer together.",
            )
        lights: list[Light] = []
        read: dict[str, Light] = {}
        for number, frame in enumerate(document.frames):
            if frame.light is None and not lights:
                raise DataError.of(
                    f"Key frame {number} of",
                    path,
                    "names no light",
                    "one in the first",
                    'For example "light": "studio".',
                )
            if frame.light is not None and frame.light not in read:
                read[frame.light] = read_light(frame.light, path.parent)
            lights.append(lights[-1] if frame.light is None else read[frame.light])
        return cls(
            times,
            tuple(lights),
            tuple(turn + frame.turn for frame in document.frames),
            tuple(strength * frame.strength for frame in document.frames),
            document.fps,
        )

    @property
    def moving(self) -> bool:
        """Whether there is more than one key frame."""
        return len(self.times) > 1

    @property
    def pictures(self) -> int:
        """How many pictures show all of it."""
        return 1 + math.floor((self.times[-1] - self.times[0]) * self.fps + 1e-6)

    def at(self, time: float) -> Light:
        """The light after ``time`` seconds from the first key frame."""
        moment = min(max(self.times[0] + time, self.times[0]), self.times[-1])
        last = max(int(np.searchsorted(self.times, moment, side="right")) - 1, 0)
        following = min(last + 1, len(self.times) - 1)
        span = self.times[following] - self.times[last]
        share = (moment - self.times[last]) / span if span > 0 else 0.0
        light = self.lights[last].mixed(self.lights[following], share)
        turn, strength = (
            (1.0 - share) * values[last] + share * values[following]
            for values in (self.turns, self.strengths)
        )
        return light.turned(about_up(turn)).scaled(strength)


def _read_document(path: Path) -> _Document:
    try:
        content: Any = read_json(path, 1 << 26)
    except FileNotFoundError as error:
        raise _wrong(path, "does not exist", "a file", remedy="Check the path.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(path, f"cannot be read: {error}", "JSON", remedy="Mend it.") from error
    try:
        return _Document.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f'"{place}" of "{path}" is wrong: {first["msg"]}.',
            'Expected {"fps": 25, "frames": [{"time": seconds, "light": name or file, "turn": degrees, '
            '"strength": factor}]}.',
            "Mend this value.",
        ) from error

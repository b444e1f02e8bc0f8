"""Pictures of a data set on disk: decoded when asked for, resized, composited, and kept within a budget.

Decoding holds no lock and Pillow releases the interpreter while it works, so threads decode in parallel.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from surfhead.core.api import DataError, Frame, OptionError, Scene, Views, bounds, option, unknown_name

Size = tuple[int, int]
Colour = tuple[float, float, float]
WIDEST = 1600  # pixels; wider pictures are scaled down to it unless told otherwise, as in 3DGS
DIVISORS = (1, 2, 4, 8)
WHITE: Colour = (1.0, 1.0, 1.0)
CACHES = ("disk", "ram")


@dataclass(frozen=True)
class ImageOptions:
    """What every data set of pictures on disk lets one choose."""

    resolution: int = option(
        -1,
        "1, 2, 4, 8 divide the size; other values are a width in pixels; -1 limits the width to 1600.",
    )
    background: Colour | None = option(None, "RGB in [0, 1] behind the foreground; none: white.")
    cache: str = option("disk", "ram: keep decoded pictures as bytes; disk: decode them each time.")
    memory: float = option(4.0, "Most memory for kept pictures, GiB; the rest is decoded each time.")

    def __post_init__(self) -> None:
        if self.resolution != -1 and self.resolution < 1:
            raise OptionError(
                f'"resolution" is {self.resolution}.',
                "Expected -1, a divisor 1, 2, 4, 8, or a width in pixels.",
                "Mend the setting.",
            )
        if self.background is not None and not all(0 <= value <= 1 for value in self.background):
            raise OptionError(
                f'"background" is {self.background}.', "Expected RGB in [0, 1].", "Mend the setting."
            )
        if self.cache not in CACHES:
            raise unknown_name("cache", self.cache, CACHES, "Choose one of these.", OptionError)
        if self.memory < 0:
            raise OptionError(f'"memory" is {self.memory}.', "Expected GiB >= 0.", "Mend the setting.")


@dataclass(frozen=True)
class Picture:
    """Where one view's pixels are.

    Attributes:
        image: RGB, RGBA or grey file.
        mask: 8-bit foreground mask file, or None; an image's own alpha serves where there is none.
        normal: ``.npy`` of (H, W, 3) unit normals in camera space, or None.
    """

    image: Path
    mask: Path | None = None
    normal: Path | None = None


def target_size(native: Size, resolution: int) -> Size:
    """Width and height after the resolution rule."""
    width, height = native
    if resolution == -1:
        resolution = 1 if width <= WIDEST else WIDEST
    if resolution in DIVISORS:
        return max(round(width / resolution), 1), max(round(height / resolution), 1)
    return resolution, max(round(height * resolution / width), 1)


def scaled_intrinsics(intrinsics: np.ndarray, native: Size, target: Size) -> np.ndarray:
    """(M, 3, 3) intrinsics of the resized pictures; pixel centres lie at halves, so no shift is needed."""
    scale = np.array([target[0] / native[0], target[1] / native[1], 1.0])
    return np.asarray(intrinsics * scale[:, None])


def unreadable(path: Path, error: Exception, expected: str = "a PNG or JPEG picture") -> DataError:
    """The error for a picture that cannot be decoded."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(
        f'Image "{path}" cannot be read: {reason}.',
        f"Expected {expected}.",
        "Restore this file, or remove its frame from the data set.",
    )


def header_size(path: Path) -> Size:
    """Width and height from a picture's header. Raises DataError naming the file."""
    try:
        with Image.open(bounds.regular(path)) as image:
            bounds.picture(*image.size)
            return image.size
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise unreadable(path, error) from error


def _load(path: Path, native: Size) -> Image.Image:
    try:
        with Image.open(bounds.regular(path)) as image:
            if image.size == native:  # one of another size is refused before it is decoded
                image.load()  # the pixels outlive the file
            loaded: Image.Image = image
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise unreadable(path, error) from error
    if loaded.size != native:
        raise DataError(
            f'Image "{path}" is {loaded.width}x{loaded.height} pixels.',
            f"Expected {native[0]}x{native[1]} as its camera says.",
            "Export the picture in that size, or mend the camera's width, height and intrinsics.",
        )
    return loaded


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey pictures scaled to 8 bits; all others unchanged."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    return image


def _blend(image: np.ndarray, weight: np.ndarray, colour: Colour) -> np.ndarray:
    """(H, W, 3) uint8 of ``image`` over a colour, by an 8-bit weight."""
    share = weight[..., None].astype(np.float32) / 255
    mixed = image.astype(np.float32) * share + np.asarray(colour, np.float32) * 255 * (1 - share)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def _recolour(image: np.ndarray, weight: np.ndarray, old: Colour, new: Colour) -> np.ndarray:
    """An image already composited on ``old``, as if it had been composited on ``new``."""
    change = (np.asarray(new, np.float32) - np.asarray(old, np.float32)) * 255
    share = 1 - weight[..., None].astype(np.float32) / 255
    return np.rint(image.astype(np.float32) + share * change).clip(0, 255).astype(np.uint8)


def _resize(image: np.ndarray, target: Size) -> np.ndarray:
    if image.shape[1::-1] == target:
        return image
    smaller = target[0] <= image.shape[1] and target[1] <= image.shape[0]
    # the box filter averages areas: exact for whole divisors, and it never rings
    method = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize(target, method))


class Pictures:
    """Decodes a data set's pictures; thread-safe.

    Args:
        files: one a view.
        native: width and height every file must have.
        options: resolution, background, cache and budget.
        composited: the colour the files were already composited on; None: their surroundings show what the
            camera saw, and the mask cuts the foreground out.
        normal_signs: factors that take the files' normals to OpenCV axes.
    """

    def __init__(
        self,
        files: Sequence[Picture],
        native: Size,
        options: ImageOptions,
        composited: Colour | None = None,
        normal_signs: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        self.files = tuple(files)
        self.native = native
        self.target = target_size(native, options.resolution)
        self.background = WHITE if options.background is None else options.background
        self.composited = composited
        self.normal_signs = normal_signs
        self._budget = int(options.memory * (1 << 30)) if options.cache == "ram" else 0
        self._kept: dict[int, Frame] = {}
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes of decoded pictures kept in memory."""
        return self._used

    def frame(self, view: int) -> Frame:
        """One view's pictures. Raises DataError naming the file and what is wrong."""
        kept = self._kept.get(view)
        if kept is not None:
            return kept
        frame = self._decode(self.files[view])
        parts = (frame.image, frame.mask, frame.normal)
        size = sum(part.nbytes for part in parts if part is not None)
        with self._lock:
            # Views come in random order, so keeping the first that fit is as good as any eviction.
            if view not in self._kept and self._used + size <= self._budget:
                self._kept[view] = frame
                self._used += size
        return frame

    def _decode(self, files: Picture) -> Frame:
        loaded = _eight_bit(_load(files.image, self.native))
        mask = None
        if files.mask is not None:
            mask = np.asarray(_eight_bit(_load(files.mask, self.native)).convert("L"))
        if loaded.has_transparency_data:
            pixels = np.asarray(loaded.convert("RGBA"))
            alpha = pixels[..., 3]
            image = _blend(pixels[..., :3], alpha, self.background)
            mask = alpha if mask is None else mask
        else:
            image = np.asarray(loaded if loaded.mode == "RGB" else loaded.convert("RGB"))
            if mask is not None and self.composited is None:
                image = _blend(image, mask, self.background)
            elif mask is not None and self.composited is not None and self.composited != self.background:
                image = _recolour(image, mask, self.composited, self.background)
        return Frame(
            _owned(_resize(image, self.target)),
            None if mask is None else _owned(_resize(mask, self.target)),
            None if files.normal is None else self._normals(files.normal),
        )

    def _normals(self, path: Path) -> np.ndarray:
        width, height = self.native
        try:
            with bounds.regular(path).open("rb") as file:
                normals = np.load(file, allow_pickle=False)
        except Exception as error:  # a damaged file can fail in any way
            raise unreadable(path, error, "normals saved by numpy.save") from error
        numbers = normals.dtype.kind in "fiu" and normals.shape == (height, width, 3)
        with np.errstate(over="ignore"):  # what does not fit a float becomes infinite
            normals = normals.astype(np.float32) if numbers else normals
        if not numbers or not np.isfinite(normals).all():
            raise DataError(
                f'Normals "{path}" are {normals.dtype} of shape {normals.shape}, or hold NaN.',
                f"Expected finite numbers of shape ({height}, {width}, 3).",
                "Restore this file, or remove it.",
            )
        rows = (np.arange(self.target[1]) + 0.5) * height / self.target[1]
        columns = (np.arange(self.target[0]) + 0.5) * width / self.target[0]
        picked = normals[rows.astype(int)[:, None], columns.astype(int)[None]].astype(np.float64)
        length = np.linalg.norm(picked, axis=-1, keepdims=True)
        signs = np.asarray(self.normal_signs, np.float32)
        return np.ascontiguousarray(picked / np.where(length > 0, length, 1) * signs, dtype=np.float32)


def _owned(image: np.ndarray) -> np.ndarray:
    """A writable contiguous array: what Pillow hands out is read-only, which tensors cannot share."""
    return np.array(image, dtype=np.uint8, order="C")


class PictureScene(Scene):
    """A data set whose frames are picture files.

    Args:
        pictures: the files.
        views: their description, with the files' native size and intrinsics; resized to the pictures' here.
        details: the remaining arguments of ``Scene``.
    """

    def __init__(self, pictures: Pictures, views: Views, **details: Any) -> None:
        width, height = pictures.target
        resized = Views(
            camera_from_world=views.camera_from_world,
            intrinsics=scaled_intrinsics(views.intrinsics, pictures.native, pictures.target),
            timestep=views.timestep,
            camera=views.camera,
            split=views.split,
            names=views.names,
            height=height,
            width=width,
        )
        super().__init__(resized, background=pictures.background, **details)
        self.pictures = pictures

    def frame(self, view: int) -> Frame:
        """Decode one view; thread-safe. Raises DataError naming the file and what is wrong."""
        return self.pictures.frame(view)

    def files(self, view: int) -> tuple[Path, ...]:
        """Picture, mask and normals of a view, those it has."""
        picture = self.pictures.files[view]
        return tuple(file for file in (picture.image, picture.mask, picture.normal) if file is not None)

"""Pictures of a data set on disk: decoded when asked for, resized, composited, and kept within a budget.

Decoding holds no lock and Pillow releases the interpreter while it works, so threads decode in parallel.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from surfhead.core.api import DataError, Frame, OptionError, Scene, Views, option
from surfhead.files import arrays, bounds
from surfhead.plugins.datasets import predicted_normals
from surfhead.plugins.datasets.picture_headers import TIFF, Size, check_tiff, opened, unreadable

Colour = tuple[float, float, float]
WIDEST = 1600  # pixels; wider pictures are scaled down to it unless told otherwise, as in 3DGS
BRIGHTEST = 4.0  # of pictures of floats from 0 to 1, which highlights exceed; others count to 255
DIVISORS = (1, 2, 4, 8)
WHITE: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class ImageOptions:
    """What every data set of pictures on disk lets one choose."""

    resolution: int = option(
        -1,
        "1, 2, 4, 8 divide the size; other values are a width in pixels; -1 limits the width to 1600.",
        low=-1,
        high=1 << 14,
    )
    background: Colour | None = option(
        None, "RGB in [0, 1] behind the foreground; none: white.", low=0, high=1
    )
    cache: Literal["disk", "ram"] = option(
        "disk", "ram: keep decoded pictures as bytes; disk: decode them each time."
    )
    memory: float = option(4.0, "Most memory for kept pictures, GiB; the rest is decoded each time.", low=0)

    def __post_init__(self) -> None:
        if self.resolution == 0:
            raise OptionError(
                '"resolution" is 0.',
                "Expected -1, a divisor 1, 2, 4, 8, or a width in pixels.",
                "Mend --set data.resolution.",
            )


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


def _load(path: Path, native: Size, camera: bool = True) -> Image.Image:
    try:
        with opened(path) as image:
            if image.size == native:  # one of another size is refused before it is decoded
                image.load()  # the pixels outlive the file
            loaded: Image.Image = image
    except DataError:
        if path.suffix.lower() not in TIFF or not path.is_file():
            raise
        loaded = _tiff(path)
    if loaded.size != native:
        of, remedy = "picture", "Export masks in the pictures' size."
        if camera:
            of = "camera"
            remedy = "Export the picture in that size, or mend the camera's width, height and intrinsics."
        raise DataError(
            f'Image "{path}" is {loaded.width}x{loaded.height} pixels.',
            f"Expected {native[0]}x{native[1]} as its {of} says.",
            remedy,
        )
    return loaded


def _tiff(path: Path) -> Image.Image:
    """A TIFF picture of a kind that Pillow does not know, such as three channels of floats."""
    import tifffile

    try:
        with tifffile.TiffFile(bounds.regular(path)) as file:
            check_tiff(path, file)
            values = np.asarray(file.asarray())
        if values.ndim != 3 or values.shape[2] not in (3, 4):
            raise ValueError(f"its pixels have shape {values.shape}")
        return Image.fromarray(_bytes(path, values))
    except Exception as error:  # a damaged file can fail in any way
        raise unreadable(path, error, "a TIFF picture of one, three or four channels") from error


def _bytes(path: Path, values: np.ndarray) -> np.ndarray:
    """8-bit values of 16-bit whole numbers, or of floats from 0 to 1, or to 255."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise unreadable(path, ValueError("it holds NaN or infinity"), "finite values from 0 to 1")
        unit = values.max(initial=0.0) <= BRIGHTEST
        scaled: np.ndarray = np.rint(values.astype(np.float64) * (255.0 if unit else 1.0))
        return scaled.clip(0, 255).astype(np.uint8)
    if values.dtype.itemsize == 1:
        return values.astype(np.uint8)
    return (values.astype(np.int64) // 257).clip(0, 255).astype(np.uint8)


def _eight_bit(path: Path, image: Image.Image) -> Image.Image:
    """Pictures of 16-bit or float grey values scaled to 8 bits; all others unchanged."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_bytes(path, np.asarray(image)))
    return image


def mask_values(path: Path, image: Image.Image) -> np.ndarray:
    """(H, W) uint8 of a mask: its grey value, or its alpha where the colours say nothing."""
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        if (pixels[..., :3] == pixels[:1, :1, :3]).all():
            return pixels[..., 3]
    return np.asarray(_eight_bit(path, image).convert("L"))


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
        native: width and height that every file must have, or one a file.
        options: resolution, background, cache and budget.
        composited: the colour the files were already composited on; None: their surroundings show what the
            camera saw, and the mask cuts the foreground out.
        normal_signs: factors that take the files' normals to OpenCV axes.
        predicted: whether a folder ``normals/`` beside the pictures holds a predictor's normals.
    """

    def __init__(
        self,
        files: Sequence[Picture],
        native: Size | Sequence[Size],
        options: ImageOptions,
        composited: Colour | None = None,
        normal_signs: tuple[float, float, float] = (1.0, 1.0, 1.0),
        predicted: bool = True,
    ) -> None:
        self.files = tuple(files)
        one = isinstance(native[0], int)
        self.natives: tuple[Size, ...] = (native,) * len(files) if one else tuple(native)  # type: ignore
        self.targets = tuple(target_size(size, options.resolution) for size in self.natives)
        self.background = WHITE if options.background is None else options.background
        self.composited = composited
        self.normal_signs = normal_signs
        self.priors = tuple(predicted_normals.beside(one.image) if predicted else None for one in files)
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
        frame = self._decode(view)
        parts = (frame.image, frame.mask, frame.normal, frame.normal_prior)
        size = sum(part.nbytes for part in parts if part is not None)
        with self._lock:
            # Views come in random order, so keeping the first that fit is as good as any eviction.
            if view not in self._kept and self._used + size <= self._budget:
                self._kept[view] = frame
                self._used += size
        return frame

    def _decode(self, view: int) -> Frame:
        files, native, target = self.files[view], self.natives[view], self.targets[view]
        loaded = _eight_bit(files.image, _load(files.image, native))
        mask = None
        if files.mask is not None:
            mask = mask_values(files.mask, _load(files.mask, native, camera=False))
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
            _owned(_resize(image, target)),
            None if mask is None else _owned(_resize(mask, target)),
            None if files.normal is None else self._normals(files.normal, native, target),
            normal_prior=self._prior(view, target),
        )

    def _prior(self, view: int, target: Size) -> np.ndarray | None:
        """Predicted normals; of views without, where others have some: nothing, so that batches are alike."""
        file = self.priors[view]
        if file is not None:
            return predicted_normals.read(file, target)
        return np.zeros((target[1], target[0], 3), np.uint8) if any(self.priors) else None

    def _normals(self, path: Path, native: Size, target: Size) -> np.ndarray:
        width, height = native
        try:
            normals = arrays.array(path)
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
        rows = (np.arange(target[1]) + 0.5) * height / target[1]
        columns = (np.arange(target[0]) + 0.5) * width / target[0]
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
        views: their description, with the intrinsics of the files' native sizes; both are resized here.
        details: the remaining arguments of ``Scene``.
    """

    def __init__(self, pictures: Pictures, views: Views, **details: Any) -> None:
        scaled = [
            scaled_intrinsics(views.intrinsics[view : view + 1], native, target)
            for view, (native, target) in enumerate(zip(pictures.natives, pictures.targets, strict=True))
        ]
        sizes = np.array(pictures.targets)[:, ::-1]
        height, width = sizes[sizes.prod(axis=1).argmax()].tolist()
        resized = Views(
            camera_from_world=views.camera_from_world,
            intrinsics=np.concatenate(scaled),
            timestep=views.timestep,
            camera=views.camera,
            split=views.split,
            names=views.names,
            height=height,
            width=width,
            sizes=sizes if len(set(pictures.targets)) > 1 else None,
        )
        super().__init__(resized, background=pictures.background, **details)
        self.pictures = pictures

    def frame(self, view: int) -> Frame:
        """Decode one view; thread-safe. Raises DataError naming the file and what is wrong."""
        return self.pictures.frame(view)

    def files(self, view: int) -> tuple[Path, ...]:
        """Picture, mask, normals and predicted normals of a view, those it has."""
        picture = self.pictures.files[view]
        parts = (picture.image, picture.mask, picture.normal, self.pictures.priors[view])
        return tuple(file for file in parts if file is not None)

    def mask_file(self, view: int) -> Path | None:
        """The file of a view's mask; None where it has none of its own."""
        return self.pictures.files[view].mask

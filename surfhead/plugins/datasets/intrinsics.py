"""Which pictures a camera's numbers are for, and whether it is a pinhole at all.

Intrinsics are in the pixels of a declared size. Where the picture has another one of the same aspect, they
are scaled; a picture of another aspect was rotated or cropped after the camera was found, and is refused,
since no scaling would be right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError
from surfhead.plugins.datasets.images import scaled_intrinsics
from surfhead.plugins.datasets.picture_headers import Header, Size, header, read_headers

# models that are pinholes where every coefficient of their distortion is zero, with the number of the focal
# lengths and centres that come first
PINHOLES = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 3,
    "RADIAL": 3,
    "OPENCV": 4,
    "FULL_OPENCV": 4,
}
RIM = 0.02  # share of a side in which no centre lies
SLACK = 1.0  # pixels that rounding may put the shorter side of a scaled picture off


@dataclass(frozen=True)
class Fitted:
    """Cameras that fit their pictures.

    Attributes:
        intrinsics: (M, 3, 3) in the pixels of the files.
        sizes: width and height of each file.
        notes: what was scaled, in sentences.
    """

    intrinsics: np.ndarray
    sizes: list[Size]
    notes: tuple[str, ...]


def pinhole(model: str, parameters: Sequence[float]) -> tuple[float, ...] | None:
    """Focal lengths and centre of a camera model's parameters; None where it bends straight lines."""
    kept = PINHOLES.get(model.upper())
    if kept is None or any(value != 0 for value in parameters[kept:]):
        return None
    return tuple(parameters[:kept])


def not_pinhole(path: Path, model: str, of: str = "a camera") -> DataError:
    """The error for a camera that is not a pinhole."""
    return DataError(
        f'"{path}" has {of} of model {model}, which is no pinhole: straight lines are bent.',
        f"Expected one of {', '.join(PINHOLES)}, without distortion.",
        "Undistort first: colmap image_undistorter --image_path ... --input_path ... --output_path ...",
    )


def same_aspect(declared: Size, actual: Size) -> bool:
    """Whether one size is the other scaled, up to the rounding of a side; a side as before was cropped."""
    (w, h), (width, height) = declared, actual
    if (w == width) != (h == height):
        return False
    return abs(height - h * width / w) <= SLACK or abs(width - w * height / h) <= SLACK


def wrong_size(image: Path, actual: Size, declared: Size, count: int) -> DataError:
    """The error for pictures of another shape than their cameras'."""
    found = f'Image "{image}" is {actual[0]}x{actual[1]} pixels'
    if count > 1:
        found += f", the first of {count} like it"
    expected = f"Expected {declared[0]}x{declared[1]} as its camera says, or that size scaled."
    if same_aspect((declared[1], declared[0]), actual):
        return DataError(
            f"{found}: its sides are swapped, so it was rotated by EXIF or by hand.",
            expected,
            "Rotate the picture back, or export the cameras of the rotated pictures.",
        )
    return DataError(
        f"{found}.",
        expected,
        "Export the picture in that size, or mend the camera's width, height and intrinsics.",
    )


def fit(
    images: Sequence[Path],
    declared: Sequence[Size | None],
    intrinsics: Callable[[int, Size], np.ndarray],
) -> Fitted:
    """Bring cameras to the sizes of their files.

    Args:
        images: the pictures; those that are missing keep the declared size.
        declared: width and height that the intrinsics are for; None: those of the file.
        intrinsics: gives the (3, 3) intrinsics of a view in the pixels of a size, the declared one if any.

    Raises:
        DataError: a picture of another aspect than its camera's, or one of no known size.
    """
    headers = read_headers(images)
    sizes = sizes_of(images, declared, headers)
    fitted: list[np.ndarray] = []
    scalings: Counter[tuple[Size, Size]] = Counter()
    misfits: list[tuple[Path, Size, Size]] = []
    for view, (image, of, size) in enumerate(zip(images, declared, sizes, strict=True)):
        matrix = intrinsics(view, of or size)
        if of is None:
            _check_centre(image, size, matrix)
        elif of != size:
            if same_aspect(of, size):
                scalings[of, size] += 1
                matrix = scaled_intrinsics(matrix[None], of, size)[0]
            else:
                misfits.append((image, size, of))
        fitted.append(matrix)
    if misfits:
        raise wrong_size(*misfits[0], len(misfits))
    notes = [
        f"Cameras of {a[0]}x{a[1]} are scaled to {count} pictures of {b[0]}x{b[1]}."
        for (a, b), count in scalings.items()
    ]
    return Fitted(np.stack(fitted), sizes, (*notes, *_odd(headers), *_several(sizes)))


def sizes_of(
    images: Sequence[Path], declared: Sequence[Size | None], headers: Sequence[Header | None]
) -> list[Size]:
    """Each file's size, or what is declared where it is missing. Raises DataError where nothing says it."""
    known = next((found.size for found in headers if found), None)
    sizes = []
    for image, of, found in zip(images, declared, headers, strict=True):
        size = found.size if found else of or known
        sizes.append(size or header(image).size)  # which raises
    return sizes


def _check_centre(image: Path, size: Size, matrix: np.ndarray) -> None:
    """Refuse a camera of no declared size whose centre is at the picture's rim: it is of another size."""
    for name, side, centre in (("x", size[0], matrix[0, 2]), ("y", size[1], matrix[1, 2])):
        if not RIM * side < centre < (1 - RIM) * side:
            raise DataError(
                f'Image "{image}" is {size[0]}x{size[1]} pixels, but c{name} of its camera is {centre:g}.',
                "Expected a centre within the picture, or the size that the intrinsics are for.",
                'Add the fields "w" and "h" of the pictures that the camera was found with.',
            )


def _odd(headers: Sequence[Header | None]) -> list[str]:
    floats = sum(found is not None and found.floats for found in headers)
    return (
        [f"{floats} pictures hold floats; those of values from 0 to 1 are scaled by 255."] if floats else []
    )


def _several(sizes: Sequence[Size]) -> list[str]:
    kinds = sorted(set(sizes))
    if len(kinds) == 1:
        return []
    shown = ", ".join(f"{width}x{height}" for width, height in kinds[:5]) + ", ..." * (len(kinds) > 5)
    return [f"Pictures have {len(kinds)} sizes: {shown}; each batch holds pictures of one."]

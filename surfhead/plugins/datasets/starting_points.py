"""Where the surfels of scenes without a rig start: at measured points, or at random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surfhead.core.api import option
from surfhead.meshes import ply
from surfhead.plugins.datasets.images import ImageOptions
from surfhead.plugins.datasets.transforms import wrong

UNIFORM = "random points"


@dataclass(frozen=True)
class PointOptions(ImageOptions):
    """How to read the pictures, and where surfels start."""

    points: int = option(100_000, "Random starting points where the data set has none.", low=1, high=10**7)
    extent: float = option(
        0.0,
        "Half the side of the cube of random points, in the scene's unit; 0: by the cameras.",
        low=0,
        high=1e9,
    )
    seed: int = option(0, "Seed of the random points.", low=0, high=2**63 - 1)


@dataclass(frozen=True)
class Start:
    """M points (M, 3) float64 with colours (M, 3) uint8, and what was odd, in sentences."""

    points: np.ndarray
    colours: np.ndarray
    notes: tuple[str, ...] = ()


def read_points(file: Path) -> Start:
    """The points of a PLY file; grey where it has no colours. Raises DataError naming it."""
    found = ply.read_ply(file)
    columns = {name: found.rows[name] for name in found.names}
    missing = {"x", "y", "z"} - columns.keys()
    if missing:
        raise wrong(file, f'has no property "{min(missing)}"', "x, y and z")
    notes = []
    with np.errstate(all="ignore"):  # what does not fit a float becomes infinite
        points = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
        whole = np.isfinite(points.astype(np.float32)).all(axis=1)
    if not whole.all():
        notes.append(f"{int((~whole).sum())} points of {file.name} held NaN or infinity and are left out.")
    shades = [columns.get(name, np.full(len(points), 128)) for name in ("red", "green", "blue")]
    colours, unit = eight_bit(np.stack(shades, axis=1)[whole])
    if unit:
        notes.append(f"Colours in {file.name} are within 0 and 1 and were scaled by 255.")
    return Start(points[whole], colours, tuple(notes))


def eight_bit(colours: np.ndarray) -> tuple[np.ndarray, bool]:
    """Colours (M, 3) as uint8, and whether they were fractions from 0 to 1 that had to be scaled."""
    with np.errstate(all="ignore"):  # odd bits that are no number
        numbers = np.nan_to_num(colours.astype(np.float64), nan=128.0)
    unit = colours.dtype.kind == "f" and len(numbers) > 0 and bool(numbers.max() <= 1.0)
    return np.rint((numbers * (255.0 if unit else 1.0)).clip(0, 255)).astype(np.uint8), unit


def random_points(options: PointOptions, centre: np.ndarray, extent: float, missing: str) -> Start:
    """Points in a cube, depending on the seed alone.

    Args:
        options: their number and seed.
        centre: (3,) of the cube.
        extent: half its side, in the scene's unit.
        missing: what the notes say is not there.
    """
    generator = np.random.default_rng(options.seed)
    points = centre + generator.uniform(-extent, extent, (options.points, 3))
    colours = generator.integers(0, 256, (options.points, 3), dtype=np.uint8)
    note = f"There is no {missing}; surfels start from {len(points)} {UNIFORM}."
    return Start(points, colours, (note,))


def looked_at(camera_from_world: np.ndarray) -> tuple[np.ndarray, float]:
    """The point (3,) nearest to all viewing axes, and half the cameras' mean distance from it.

    Cameras that look along parallel lines have no such point; then it lies as far ahead of them as they are
    from each other, at least one unit.
    """
    rotation, shift = camera_from_world[:, :3, :3], camera_from_world[:, :3, 3]
    centres = -np.einsum("mji,mj->mi", rotation, shift)
    axes = rotation[:, 2]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # (M, 3, 3), removes what is along an axis
    system = across.sum(axis=0)
    spread = float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean())
    target = np.linalg.lstsq(system, np.einsum("mij,mj->i", across, centres), rcond=None)[0]
    ahead = np.einsum("mi,mi->m", target - centres, axes)
    if np.linalg.eigvalsh(system)[0] < 1e-3 * len(axes) or np.median(ahead) <= 0:
        target = centres.mean(axis=0) + max(spread, 1.0) * axes.mean(axis=0)
    distance = float(np.linalg.norm(centres - target, axis=1).mean())
    return target, 0.5 * max(distance, 1e-6)


def starting_points(
    options: PointOptions, camera_from_world: np.ndarray, files: list[Path], missing: str
) -> Start:
    """The points of the first file that is there and holds any, else random ones where cameras look."""
    notes: list[str] = []
    for file in files:
        if not file.is_file():
            continue
        found = read_points(file)
        if len(found.points):
            return found
        notes.append(f"{file.name} holds no points.")
    centre, extent = looked_at(camera_from_world)
    made = random_points(options, centre, options.extent or extent, missing)
    return Start(made.points, made.colours, (*notes, *made.notes))

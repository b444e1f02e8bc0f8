"""Patches of skin as one frame shows them, and where other frames show the same.

A patch is a square grid on the skin's tangent plane. What it shows in the frame it was cut from is laid over
another frame as the fitted head lies there, and shifted to where it fits best (Lucas and Kanade 1981, with
the gradients of the patch: Baker and Matthews 2004), brightness and gain apart. As a patch never changes,
nothing drifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surfhead_video.contrast import Contrast
from surfhead_video.fitted_head import Detections, Fit, head_points
from surfhead_video.skin_points import SkinPoints

HALF = 5  # steps of the grid from its middle to its edge
STEP = 1.2  # of the grid, pixels of the contrast in the frame it is cut from
WINDOW = 0.6  # standard deviation of the weight about the middle, fraction of half the side
CUT_FACING, FACING = 0.45, 0.35  # cosines from which a patch is cut, and looked up
STEPS = 4
LIKE = 0.6  # least correlation with what a frame shows
FAR = 6.0  # farthest shift, pixels of the contrast
CORRELATED = 12.0  # neighbouring pixels, and patches, err together: how much less each says
BEST = 0.02  # least share of a patch's variance that counts as noise
SHARE, UNSURE = 0.5, 0.008  # of an expression's move, and of all of them, that the place may be wrong by

GRID = np.stack(np.meshgrid(*[np.arange(-HALF, HALF + 1.0)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
WEIGHT = np.exp(-0.5 * (GRID**2).sum(axis=1) / (WINDOW * HALF) ** 2)
WEIGHT /= WEIGHT.sum()
SAMPLES = 1 / (WEIGHT**2).sum()  # as many of equal weight would say as much


@dataclass(frozen=True)
class Patches:
    """N patches.

    Attributes:
        point: (N,) of the skin, at their middles.
        row: (N,) frame they were cut from.
        expression: (N, K) the head's in that frame.
        step: (N,) of the grid, metres.
        values: (N, M) contrast, of mean 0 and variance 1 under ``WEIGHT``.
        slopes: (N, M, 2) its change by a step of the grid.
    """

    point: np.ndarray
    row: np.ndarray
    expression: np.ndarray
    step: np.ndarray
    values: np.ndarray
    slopes: np.ndarray

    def __len__(self) -> int:
        return len(self.point)


@dataclass(frozen=True)
class Sightings:
    """Where a frame shows N patches' middles.

    Attributes:
        pixels: (N, 2).
        root: (N, 2, 2) of the information they carry: differences from there, multiplied by it, have
            variance 1. Zero where the frame does not show the patch.
    """

    pixels: np.ndarray
    root: np.ndarray


def tangents(points: SkinPoints, shape: np.ndarray) -> np.ndarray:
    """(L, 3, 3) in columns the unit normal and two unit tangents at each point of an identity."""
    normal = points.normals(shape)
    up = np.where(np.abs(normal[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(up, normal)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([normal, first, np.cross(normal, first)], axis=2)


def place_in(fit: Fit, found: Detections, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (..., 2) and places before the camera (..., 3) of places on the head in a fit's only frame."""
    seen = places @ fit.rotation[0].T + fit.translation[0]
    middle = np.array([found.width, found.height]) / 2
    return fit.focal * seen[..., :2] / seen[..., 2:] + middle, seen


def cut_patches(
    contrast: Contrast, row: int, points: SkinPoints, fit: Fit, found: Detections, count: int
) -> Patches:
    """The patches of a frame that say most of where they are.

    Args:
        contrast: of the frame.
        row: its number.
        points: on the skin.
        fit: the head in this frame alone.
        found: the clip's detections, for the pictures' size.
        count: how many at most.
    """
    frame = tangents(points, fit.shape)
    middle = head_points(points.places, fit)[0][0]
    usable = np.flatnonzero(_facing(fit, frame[..., 0], middle) > CUT_FACING)
    step = STEP / contrast.scale * fit.translation[0, 2] / fit.focal
    spots = middle[usable, None] + step * np.einsum("md,lcd->lmc", GRID, frame[usable, :, 1:])
    values = contrast.at(place_in(fit, found, spots)[0]).astype(np.float64)
    whole = np.isfinite(values).all(axis=1)
    usable, values = usable[whole], values[whole]
    values -= (values @ WEIGHT)[:, None]
    side = 2 * HALF + 1
    slopes = np.stack(np.gradient(values.reshape(-1, side, side), axis=(1, 2)), axis=-1)
    slopes = slopes.reshape(len(values), -1, 2)
    known = np.linalg.eigvalsh(np.einsum("m,lmc,lmd->lcd", WEIGHT, slopes, slopes))[:, 0]
    unsure = _unsure(points, usable) / 0.0005
    chosen = np.argsort(-known / (1 + unsure**2), kind="stable")[:count]
    spread = np.sqrt((values[chosen] ** 2) @ WEIGHT)
    chosen, spread = chosen[spread > 0], spread[spread > 0]
    return Patches(
        usable[chosen],
        np.full(len(chosen), row),
        np.repeat(fit.expression, len(chosen), axis=0),
        np.full(len(chosen), step),
        values[chosen] / spread[:, None],
        slopes[chosen] / spread[:, None, None],
    )


def joined(parts: list[Patches]) -> Patches:
    """The patches of several frames."""
    names = ("point", "row", "expression", "step", "values", "slopes")
    return Patches(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def look_up(
    contrast: Contrast, patches: Patches, points: SkinPoints, fit: Fit, found: Detections
) -> Sightings:
    """Where a frame shows patches.

    Args:
        contrast: of the frame.
        patches: to be found.
        points: on the skin.
        fit: about where the head is in this frame alone.
        found: the clip's detections, for the pictures' size.
    """
    frame = tangents(points, fit.shape)
    middles = head_points(points.places, fit)[0][0]
    pixels = place_in(fit, found, middles[patches.point])[0]
    root = np.zeros((len(patches), 2, 2))
    used = np.flatnonzero(_facing(fit, frame[..., 0], middles)[patches.point] > FACING)
    if not len(used):
        return Sightings(pixels, root)
    point, step = patches.point[used], patches.step[used, None, None]
    axes = frame[point][..., 1:] * step
    spots = middles[point][:, None] + np.einsum("md,lcd->lmc", GRID, axes)
    spots = place_in(fit, found, spots)[0]
    moved = place_in(fit, found, middles[point][:, None] + axes.transpose(0, 2, 1))[0] - pixels[used, None]
    slopes = patches.slopes[used] @ np.linalg.inv(moved).transpose(0, 2, 1)  # by pixels
    square = np.einsum("m,lmc,lmd->lcd", WEIGHT, slopes, slopes)
    square += 1e-4 * contrast.scale**2 * np.eye(2)
    solve = np.linalg.inv(square)
    shift = np.zeros((len(used), 2))
    inside = np.ones(len(used), bool)
    for number in range(STEPS + 1):
        values = contrast.at(spots + shift[:, None])
        inside &= np.isfinite(values).all(axis=1)
        values = np.nan_to_num(values).astype(np.float64)
        values -= (values @ WEIGHT)[:, None]
        values /= np.maximum(np.sqrt((values**2) @ WEIGHT), 1e-6)[:, None]
        like = (values * patches.values[used]) @ WEIGHT
        if number < STEPS:
            left = values - patches.values[used] * np.maximum(like, 0.2)[:, None]
            slope = np.einsum("m,lmc,lm->lc", WEIGHT, slopes, left)
            shift -= np.einsum("lcd,ld->lc", solve, slope) / np.maximum(like, 0.3)[:, None]
    good = inside & (like > LIKE) & (np.linalg.norm(shift, axis=1) * contrast.scale < FAR)
    pixels[used] += shift
    noise = np.maximum(1 - like.clip(0, 1) ** 2, BEST)
    spread = solve * (noise * CORRELATED / SAMPLES)[:, None, None]
    change = (fit.expression - patches.expression[used])[..., None]
    expressed = np.linalg.norm((points.places.expressions[point] @ change)[..., 0], axis=1)
    wrong = (SHARE * expressed) ** 2 + (0.1 * _unsure(points, point)) ** 2
    spread = spread + (wrong * (fit.focal / fit.translation[0, 2]) ** 2)[:, None, None] * np.eye(2)
    made = np.linalg.cholesky(np.linalg.inv(spread)).transpose(0, 2, 1)
    root[used] = np.where(good[:, None, None], made, 0.0)
    return Sightings(pixels, root)


def _facing(fit: Fit, normal: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(L,) cosines between normals and the directions to the camera."""
    seen = places @ fit.rotation[0].T + fit.translation[0]
    towards = -seen / np.linalg.norm(seen, axis=1, keepdims=True)
    return np.asarray(np.einsum("lc,lc->l", normal @ fit.rotation[0].T, towards))


def _unsure(points: SkinPoints, point: np.ndarray) -> np.ndarray:
    """(L,) metres that points move when every expression is a little wrong."""
    return np.asarray(UNSURE * 10 * np.linalg.norm(points.places.expressions[point], axis=(1, 2)))

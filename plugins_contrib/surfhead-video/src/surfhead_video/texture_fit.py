"""The heads' poses once more, from the pictures themselves: a point of the skin looks alike in every frame.

A detector's landmarks err by patterns that change as the head turns, so that a head fitted to them slides
under its own skin, by 1 % of the distance between the eyes on drawn clips. Here points spread over the skin
are looked up in every frame. What they show is contrast, brightness against what is round them, so that light
matters little; a point's usual contrast is its robust mean over the frames. Differences from it join the
landmarks' residuals, and rotations and translations move to the least of both. Expression, identity and focal
length stay, and there is one round: over more of them, or with those free, the means follow the moves that
were made for them, and all drift together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from surfhead_video.clip import ClipFrame
from surfhead_video.fitted_head import Detections, Fit, head_points
from surfhead_video.head_fit import Priors, Problem, descend
from surfhead_video.landmark_places import OUTER_CORNERS, LandmarkPlaces
from surfhead_video.skin_points import SkinPoints
from surfhead_video.windows import LONGEST, OVERLAP

EYES = 96.0  # pixels between the eyes' outer corners in the pictures that are looked at
ROOM = 0.5  # round the landmarks, fraction of their extent
FINE, COARSE = 1.2, 3.5  # standard deviations between which details count, pixels of these pictures
STEPS = 3
SEEN = 4  # frames that must show a point
GRAZING, FACING = 0.25, 0.5  # cosines at which a point begins to count, and counts in full
DARK = 0.08  # added to the brightness that contrast is relative to, of 1
ALIKE = 6.0  # factor on all spreads, as neighbouring points err together
CUT = 3.0  # spreads at which a point loses most of its say
LEAST = 0.004  # spread of contrast


@dataclass(frozen=True)
class Contrast:
    """The contrast of a frame round the head.

    Attributes:
        values: (h, w) float16.
        corner: x and y of its upper left corner, pixels of the clip.
        scale: its pixels by the clip's.
    """

    values: np.ndarray
    corner: np.ndarray
    scale: float

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """(L,) at pixels (L, 2) of the clip; NaN outside."""
        values = self.values.astype(np.float32)
        return np.asarray(map_coordinates(values, self._place(pixels), order=1, cval=np.nan), np.float64)

    def slope(self, pixels: np.ndarray) -> np.ndarray:
        """(L, 2) change by a pixel of the clip to the right and down."""
        down, right = np.gradient(self.values.astype(np.float32))
        place = self._place(pixels)
        found = [map_coordinates(change, place, order=1) for change in (right, down)]
        return self.scale * np.stack(found, axis=1).astype(np.float64)

    def _place(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(((pixels - self.corner) * self.scale - 0.5).T[::-1])


def contrast_of(picture: np.ndarray, landmarks: np.ndarray, scale: float) -> Contrast:
    """The contrast round a head.

    Args:
        picture: (H, W, 3) uint8.
        landmarks: (M, 2) pixels.
        scale: pixels of the contrast by pixels of the picture.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    room = ROOM * (high - low).max() + COARSE / scale
    size = np.array(picture.shape[1::-1])
    low = np.floor((low - room).clip(0, size - 2)).astype(int)
    high = np.ceil((high + room).clip(low + 2, size)).astype(int)
    image = Image.fromarray(picture[low[1] : high[1], low[0] : high[0]]).convert("L")
    small = tuple(np.maximum(np.round((high - low) * scale), 2).astype(int).tolist())
    grey = np.asarray(image.resize(small, Image.Resampling.BOX), np.float32) / 255
    around = gaussian_filter(grey, COARSE)
    values = (gaussian_filter(grey, FINE) - around) / (around + DARK)
    return Contrast(values.astype(np.float16), low.astype(float), scale)


@dataclass(frozen=True)
class SkinLooks:
    """What points of the skin show.

    Attributes:
        usual: (L,) contrast.
        spread: (L,) of a frame's contrast about the usual one, widened as neighbours err together; infinite
            where too few frames show a point.
    """

    usual: np.ndarray
    spread: np.ndarray


def skin_looks(values: np.ndarray, shown: np.ndarray) -> SkinLooks:
    """From the contrasts (T, L) at the points, NaN where unknown, and how well frames show them (T, L)."""
    seen = shown * np.isfinite(values)
    values = np.nan_to_num(values)
    weight = seen
    for _ in range(3):
        total = np.maximum(weight.sum(axis=0), 1e-9)
        usual = (weight * values).sum(axis=0) / total
        square = (values - usual) ** 2
        own = np.sqrt((weight * square).sum(axis=0) / total)
        weight = seen / (1 + square / np.maximum(own, LEAST) ** 2) ** 2
    sure = seen > 0.5
    common = 1.4826 * float(np.median(np.sqrt(square[sure]))) if sure.any() else 1.0
    spread = ALIKE * np.sqrt(LEAST**2 + 0.5 * common**2 + 0.5 * own**2)
    return SkinLooks(usual, np.where((seen > 0).sum(axis=0) >= SEEN, spread, np.inf))


def shown_points(points: SkinPoints, fit: Fit, seen: np.ndarray) -> np.ndarray:
    """(B, L) how well frames show points that lie at ``seen`` (B, L, 3) before the camera, in [0, 1]."""
    towards = -seen / np.linalg.norm(seen, axis=2, keepdims=True)
    facing = np.einsum("tij,lj,tli->tl", fit.rotation, points.normals(fit.shape), towards)
    return np.asarray(((facing - GRAZING) / (FACING - GRAZING)).clip(0, 1))


def seen_places(points: SkinPoints, fit: Fit, found: Detections) -> tuple[np.ndarray, ...]:
    """Points in some frames: pixels (B, L, 2), before the camera (B, L, 3), and the same turned only."""
    turned = np.einsum("tij,tlj->tli", fit.rotation, head_points(points.places, fit)[0])
    seen = turned + fit.translation[:, None]
    middle = np.array([found.width, found.height]) / 2
    return fit.focal * seen[..., :2] / seen[..., 2:] + middle, seen, turned


class TextureProblem(Problem):
    """Landmarks and contrasts in one problem, in which only the heads' poses are unknown.

    Args:
        places, found, priors: as for landmarks alone.
        points: on the skin.
        looks: what they show.
        contrasts: of the same frames.
        fit: where it begins, from which follows what each frame shows.
    """

    def __init__(
        self,
        places: LandmarkPlaces,
        found: Detections,
        priors: Priors,
        points: SkinPoints,
        looks: SkinLooks,
        contrasts: list[Contrast],
        fit: Fit,
    ) -> None:
        super().__init__(places, found, priors, free=False)
        self.fixed[6:] = True
        self.points, self.looks, self.contrasts = points, looks, contrasts
        self.shown = np.empty((len(found), len(points)), np.float32)
        for row in range(len(found)):
            one = fit.part(slice(row, row + 1))
            self.shown[row] = shown_points(points, one, seen_places(points, one, found)[1])[0]

    def cost(self, fit: Fit) -> float:
        """As for landmarks alone, and the contrasts'."""
        total = super().cost(fit)
        for row, contrast in enumerate(self.contrasts):
            pixels = seen_places(self.points, fit.part(slice(row, row + 1)), self.found)[0]
            off = (contrast.at(pixels[0]) - self.looks.usual) / self.looks.spread
            square = np.where(np.isfinite(off), off, CUT) ** 2
            total += float((self.shown[row] * CUT**2 * square / (CUT**2 + square)).sum())
        return total

    def normal_equations(self, fit: Fit) -> tuple[np.ndarray, ...]:
        """As for landmarks alone, with the contrasts' share in what belongs to poses."""
        equations = super().normal_equations(fit)
        blocks, gradient = equations[0], equations[3]
        for row, contrast in enumerate(self.contrasts):
            pixels, seen, turned = seen_places(self.points, fit.part(slice(row, row + 1)), self.found)
            off = (contrast.at(pixels[0]) - self.looks.usual) / self.looks.spread
            used = (self.shown[row] > 0) & np.isfinite(off)
            off = off[used]
            weight = np.sqrt(self.shown[row, used]) * CUT**2 / (CUT**2 + off**2)
            slope = contrast.slope(pixels[0, used]) * (weight / self.looks.spread[used])[:, None]
            change = np.einsum("lc,lcd->ld", slope, by_pose(fit.focal, seen[0, used], turned[0, used]))
            blocks[row, :6, :6] += change.T @ change
            gradient[row, :6] += change.T @ (weight * off)
        return equations


def by_pose(focal: float, seen: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """(L, 2, 6) how pixels change with a rotation applied from the left and with a translation.

    Args:
        focal: pixels.
        seen: (L, 3) points before the camera.
        turned: (L, 3) the same without the translation.
    """
    x, y, z = turned.T
    none = np.zeros_like(x)
    turns = np.stack([none, -z, y, z, none, -x, -y, x, none]).T.reshape(-1, 3, 3)  # of each axis, its move
    moves = np.concatenate([turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape)], axis=2)
    depth = seen[:, 2, None, None]
    return np.asarray(focal / depth * (moves[:, :2] - seen[:, :2, None] / depth * moves[:, 2:]))


def refine_poses(
    frames: Callable[[], Iterable[ClipFrame]],
    number: np.ndarray,
    places: LandmarkPlaces,
    points: SkinPoints,
    found: Detections,
    priors: Priors,
    fit: Fit,
    report: Callable[[int, int], None] | None = None,
) -> Fit:
    """The fit with the poses that suit landmarks and pictures together.

    The clip is read twice: for what points show, from no more than some hundred frames, and for the poses, in
    windows; memory does not grow with its length.

    Args:
        frames: begins to read the clip anew.
        number: (T,) of the frames in use.
        places, found, priors, fit: of the landmarks' fit.
        points: on the skin.
        report: called with frames done and to do.
    """
    corners = found.landmarks[:, OUTER_CORNERS]
    scale = min(EYES / max(float(np.median(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1))), 1.0), 1.0)
    rows = {int(value): row for row, value in enumerate(number)}
    count = len(rows)

    def contrasts() -> Iterable[tuple[int, Contrast]]:
        for frame in frames():
            row = rows.get(frame.number)
            if row is not None:
                yield row, contrast_of(frame.picture, found.landmarks[row], scale)

    some = set(np.linspace(0, count - 1, min(count, LONGEST)).round().astype(int).tolist())
    values, shown = [], []
    for row, contrast in contrasts():
        if row in some:
            one = fit.part(slice(row, row + 1))
            pixels, seen, _ = seen_places(points, one, found)
            values.append(contrast.at(pixels[0]))
            shown.append(shown_points(points, one, seen)[0])
    looks = skin_looks(np.stack(values), np.stack(shown))
    parts: list[Fit] = []
    held: list[Contrast] = []
    begin = done = 0
    for row, contrast in contrasts():
        held.append(contrast)
        if len(held) < LONGEST and row + 1 < count:
            continue
        window = slice(begin, row + 1)
        one = fit.part(window)
        refined = descend(
            TextureProblem(places, found.part(window), priors, points, looks, held, one), one, STEPS
        )
        end = row + 1 if row + 1 == count else row + 1 - OVERLAP // 2
        parts.append(refined.part(slice(done - begin, end - begin)))
        begin, done, held = row + 1 - OVERLAP, end, held[-OVERLAP:]
        if report is not None:
            report(done, count)
    names = ("rotation", "translation")
    return replace(fit, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

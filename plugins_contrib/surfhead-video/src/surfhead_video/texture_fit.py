"""The heads' poses and the focal length once more, from the pictures themselves.

A detector's landmarks err by patterns that change as the head turns, so that a head fitted to them slides
under its own skin, by 1 % of the distance between the eyes on drawn clips. Here small patches of skin, cut
from a few frames that show the head from different sides, are looked up in the others. In some hundred frames
poses, focal length and the patches' places are adjusted together; then each frame's pose is moved to where
its patches and landmarks are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from surfhead_video.bundle import PatchPlaces, bundle, by_pose
from surfhead_video.clip import ClipFrame
from surfhead_video.contrast import EYES, Contrast, contrast_of
from surfhead_video.fitted_head import Detections, Fit, head_points
from surfhead_video.head_fit import Priors, Problem, descend
from surfhead_video.landmark_places import OUTER_CORNERS, LandmarkPlaces
from surfhead_video.skin_patches import Patches, Sightings, cut_patches, joined, look_up
from surfhead_video.skin_points import SkinPoints
from surfhead_video.two_at_once import mapped
from surfhead_video.windows import LONGEST, OVERLAP

SOME = 120  # frames that are adjusted together
CUT_FROM = 7  # frames that patches are cut from
PATCHES = 200  # of each
FEWEST = 50  # patches without which landmarks alone have to do
SLOW = 0.6  # share of the frames, those in which the head moves least, that patches are cut from
STEPS = 4


def seen_places(points: SkinPoints, fit: Fit, found: Detections) -> tuple[np.ndarray, ...]:
    """Points in some frames: pixels (B, L, 2), before the camera (B, L, 3), and the same turned only."""
    turned = np.einsum("tij,tlj->tli", fit.rotation, head_points(points.places, fit)[0])
    seen = turned + fit.translation[:, None]
    middle = np.array([found.width, found.height]) / 2
    return fit.focal * seen[..., :2] / seen[..., 2:] + middle, seen, turned


def sides(fit: Fit, count: int) -> list[int]:
    """Rows of so many frames at most that show the head from different sides, and moving little."""
    away = -np.einsum("tji,tj->ti", fit.rotation, fit.translation)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    nose = fit.rotation @ [0.0, 0.0, 0.12] + fit.translation
    pixels = fit.focal * nose[:, :2] / nose[:, 2:]
    speed = np.linalg.norm(np.gradient(pixels, axis=0), axis=1) if len(pixels) > 1 else np.zeros(1)
    slow = np.flatnonzero(speed <= np.quantile(speed, SLOW))
    away = away[slow]
    chosen = [int(np.argmin(np.linalg.norm(away - np.median(away, axis=0), axis=1)))]
    while len(chosen) < min(count, len(slow)):
        near = np.linalg.norm(away[:, None] - away[chosen], axis=2).min(axis=1)
        chosen.append(int(np.argmax(near)))
    return sorted(int(row) for row in slow[chosen])


class PatchProblem(Problem):
    """Landmarks and patches in one problem, in which only the heads' poses are unknown.

    Args:
        places, found, priors: as for landmarks alone.
        patches: where they lie on the head.
        sights: of every frame.
    """

    def __init__(
        self,
        places: LandmarkPlaces,
        found: Detections,
        priors: Priors,
        patches: PatchPlaces,
        sights: list[Sightings],
    ) -> None:
        super().__init__(places, found, priors, free=False)
        self.fixed[6:] = True
        self.patches, self.sights = patches, sights

    def cost(self, fit: Fit) -> float:
        """As for landmarks alone, and the patches'."""
        rows = enumerate(self.sights)
        return super().cost(fit) + sum(
            self.patches.missed(fit, row, sight, self.found).cost for row, sight in rows
        )

    def normal_equations(self, fit: Fit) -> tuple[np.ndarray, ...]:
        """As for landmarks alone, with the patches' share in what belongs to poses."""
        equations = super().normal_equations(fit)
        blocks, gradient = equations[0], equations[3]
        for row, sight in enumerate(self.sights):
            missed = self.patches.missed(fit, row, sight, self.found)
            weight = missed.weight[:, None]
            change = (sight.root * weight[..., None]) @ by_pose(fit.focal, missed.seen, missed.turned)
            flat = change.reshape(-1, 6)
            blocks[row, :6, :6] += flat.T @ flat
            gradient[row, :6] += flat.T @ (weight * missed.left).ravel()
        return equations


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
    """The fit with the poses and the focal length that suit landmarks and pictures together.

    Identity, expressions and gaze stay.

    The clip is read twice: once for some hundred frames that are adjusted together, and once for every
    frame's pose, in windows; memory does not grow with its length.

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

    def contrasts(wanted: set[int]) -> Iterable[tuple[int, Contrast]]:
        for frame in frames():
            row = rows.get(frame.number)
            if row in wanted:
                yield row, contrast_of(frame.picture, found.landmarks[row], scale)

    some = np.linspace(0, count - 1, min(count, SOME)).round().astype(int)
    looks = dict(contrasts(set(some.tolist())))
    patches = _patches(looks, some[sides(fit.part(some), CUT_FROM)], points, fit, found)
    if len(patches) < FEWEST:
        return fit

    def sight(look: tuple[int, Contrast]) -> tuple[int, Sightings]:
        row, contrast = look
        return row, look_up(contrast, patches, points, fit.part(slice(row, row + 1)), found)

    lying = PatchPlaces(points, patches, fit.shape)
    sights = [found_there for _, found_there in mapped(sight, ((row, looks[row]) for row in some.tolist()))]
    together = bundle(places, found.part(some), priors, fit.part(some), lying, sights)
    del looks, sights
    zoom = together.focal / fit.focal
    start = replace(fit, focal=together.focal, translation=fit.translation * [1, 1, zoom])
    parts: list[Fit] = []
    held: list[Sightings] = []
    begin = done = 0
    for row, found_there in mapped(sight, contrasts(set(range(count)))):
        held.append(found_there)
        if len(held) < LONGEST and row + 1 < count:
            continue
        window = slice(begin, row + 1)
        problem = PatchProblem(places, found.part(window), priors, lying, held)
        refined = descend(problem, start.part(window), STEPS)
        end = row + 1 if row + 1 == count else row + 1 - OVERLAP // 2
        parts.append(refined.part(slice(done - begin, end - begin)))
        begin, done, held = row + 1 - OVERLAP, end, held[-OVERLAP:]
        if report is not None:
            report(done, count)
    return replace(
        start,
        rotation=np.concatenate([part.rotation for part in parts]),
        translation=np.concatenate([part.translation for part in parts]),
    )


def _patches(
    looks: dict[int, Contrast], chosen: np.ndarray, points: SkinPoints, fit: Fit, found: Detections
) -> Patches:
    """The best patches of chosen frames."""
    return joined(
        [
            cut_patches(looks[row], row, points, fit.part(slice(row, row + 1)), found, PATCHES)
            for row in chosen.tolist()
        ]
    )

"""The fit of an ICT head to the landmarks of a clip: robust least squares over all frames at once.

Unknown for every frame: rotation, translation, expression (bounded to 0..1), gaze; for the whole clip: focal
length, identity, how much of each of the landmarks' patterns is in this person, and the habit of each ARKit
score: what it errs by in all frames alike. Residuals: landmarks in units of their own spread; expression
against scores and habits; identity against the mean; patterns against their deviations; the focal length
against a usual one; changes in time (accelerations of the head, velocities of expression and gaze), by the
true time between frames (``frame_times``).
Solved by Levenberg-Marquardt with the analytic Jacobian: its normal equations are banded but for the clip's
few unknowns, which are eliminated by their Schur complement. Robust weights (Geman-McClure) are found anew
before each step; coefficients at a bound that the step would push outside are held there.

A frame's unknowns, in this order: 3 rotation (applied from the left), 3 translation, K expression, 2 gaze.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, block_diag, cho_factor, cho_solve, solveh_banded
from scipy.spatial.transform import Rotation

from surfhead_video.fitted_head import (
    TURNED,
    USUAL_NEARNESS,
    Detections,
    Fit,
    head_points,
    projections,
)
from surfhead_video.frame_times import changes_at
from surfhead_video.landmark_places import LandmarkPlaces
from surfhead_video.projection_jacobian import jacobian

CHUNK = 32  # frames whose Jacobians are held at once
CONVERGED = 1e-7  # share of the cost gained by a step at the end; shape, tilt and depth look so much alike
TRIES = 12  # of one step, each damped more


@dataclass(frozen=True)
class Priors:
    """Standard deviations of what the fit believes before it looks.

    Attributes:
        landmark: least spread of a landmark, fraction of the distance between the eyes' outer corners.
        correlated: factor on all spreads, as neighbouring landmarks err together.
        cut: spreads at which a landmark loses most of its say.
        expression: from the ARKit score, in each frame.
        habit: of what a score errs by in all frames of a clip, as no frame can tell more of that than
            others: at most, taken as large as the error of a single frame.
        still, rising: of the same, at least, and by the square root of how far (root mean square) the score
            is above its rest: what a face does in all frames alike is identity, so an expression whose score
            hardly rises in a clip must not bend the face at rest.
        identity: in units of the identity's coefficients; their deviation among people.
        focal: of the focal length's logarithm.
        usual_focal: usual focal length, fraction of the picture's longer side.
        gaze: radians.
        turn, move: second difference of rotation (radians) and translation (metres) at 25 frames a second;
            at others it grows with the step's power of 1.5, see ``frame_times``.
        change, glance: first difference of expression and of gaze (radians) at 25 frames a second; at others
            it grows with the step's square root.
    """

    landmark: float = 0.008
    correlated: float = 8.0
    cut: float = 3.0
    expression: float = 0.12
    habit: float = 0.12
    still: float = 0.02
    rising: float = 0.38
    identity: float = 0.9
    focal: float = 0.2
    usual_focal: float = 1.1
    gaze: float = 0.3
    turn: float = 0.02
    move: float = 0.003
    change: float = 0.15
    glance: float = 0.15


def starting_fit(
    places: LandmarkPlaces, found: Detections, priors: Priors, shared: tuple[float, np.ndarray] | None = None
) -> Fit:
    """MediaPipe's rotations and scores, and the translations that suit them (linear least squares)."""
    focal, shape = shared or (
        priors.usual_focal * max(found.width, found.height),
        np.zeros(places.identities.shape[-1]),
    )
    person = np.zeros(places.patterns.shape[-1])
    turn = found.pose[:, :3, :3].astype(np.float64)
    left, _, right = np.linalg.svd(turn)
    rotation = TURNED @ (left @ right)
    expression = found.scores.astype(np.float64).clip(0, 1)
    usual = np.tile([0.0, 0.0, 1 / USUAL_NEARNESS], (len(found), 1))
    fit = Fit(focal, shape, rotation, usual, expression, np.zeros((len(found), 2)), person)
    points = np.einsum("tij,tlj->tli", rotation, head_points(places, fit)[0])
    ray = (found.landmarks - [found.width / 2, found.height / 2]) / focal
    translation = np.empty((len(found), 3))
    for t in range(len(found)):
        # x - ray z = 0 for both coordinates of every landmark
        rows = np.zeros((2, ray.shape[1], 3))
        rows[0, :, 0] = rows[1, :, 1] = 1
        rows[0, :, 2], rows[1, :, 2] = -ray[t, :, 0], -ray[t, :, 1]
        target = ray[t].T * points[t, :, 2] - points[t, :, :2].T
        translation[t] = np.linalg.lstsq(rows.reshape(-1, 3), target.reshape(-1), rcond=None)[0]
    translation[:, 2] = np.maximum(translation[:, 2], 0.1)
    return replace(fit, translation=translation)


def habit_deviations(scores: np.ndarray, priors: Priors) -> np.ndarray:
    """(K,) deviations of what scores (T, K) err by in all frames alike."""
    risen = np.sqrt((scores**2).mean(axis=0)) if len(scores) else np.zeros(scores.shape[1])
    return np.asarray(np.clip(priors.rising * np.sqrt(risen), min(priors.still, priors.habit), priors.habit))


class Problem:
    """Costs, gradients and normal equations of one clip.

    Attributes:
        fixed: (D,) which of a frame's unknowns are kept as they are.
    """

    def __init__(self, places: LandmarkPlaces, found: Detections, priors: Priors, free: bool) -> None:
        self.places, self.found, self.priors = places, found, priors
        self.free = free  # whether focal length, identity, patterns and the scores' habits are unknown
        self.count = places.expressions.shape[-1]
        self.size = 8 + self.count
        self.sigma = priors.correlated * np.maximum(places.spread, priors.landmark)
        self.fixed = np.zeros(self.size, bool)
        self.habits = habit_deviations(found.scores, priors)
        self.changes = changes_at(found.time)
        self.tight_second = np.zeros(self.size)
        self.tight_second[:3], self.tight_second[3:6] = priors.turn**-2, priors.move**-2
        self.tight_first = np.zeros(self.size)
        self.tight_first[6:-2], self.tight_first[-2:] = priors.change**-2, priors.glance**-2
        self.tight_own = np.zeros(self.size)
        self.tight_own[6:-2], self.tight_own[-2:] = priors.expression**-2, priors.gaze**-2

    def _residuals(self, fit: Fit, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(B, L, 2) scaled residuals, (B,) eyes' distances, (B, L) their squared lengths."""
        pixels, unit = projections(self.places, fit.part(rows), self.found.width, self.found.height)
        scaled = (pixels - self.found.landmarks[rows]) / (self.sigma[:, None] * unit[:, None, None])
        return scaled, unit, (scaled**2).sum(axis=-1)

    def cost(self, fit: Fit) -> float:
        """Half of twice the negative log posterior, up to a constant."""
        cut = self.priors.cut**2
        total = 0.0
        for rows in self._chunks():
            square = self._residuals(fit, rows)[2]
            total += float((cut * square / (cut + square)).sum())
        own, first, second = self._differences(fit)
        total += float((own**2 * self.tight_own).sum())
        total += float((self.habit(fit) ** 2 / self.habits**2).sum())
        total += float((first**2 * self.tight_first * self.changes.first[:, None]).sum())
        total += float((second**2 * self.tight_second * self.changes.second[:, None]).sum())
        return total + float((self._shared_residual(fit) ** 2).sum())

    def habit(self, fit: Fit) -> np.ndarray:
        """(K,) by how much expressions exceed their scores in all frames alike: the likeliest for a fit."""
        if not self.free or not len(self.found):
            return np.zeros(self.count)
        one, all_alike = self.priors.expression**2 / len(self.found), self.habits**2
        return np.asarray((fit.expression - self.found.scores).mean(axis=0) * (all_alike / (all_alike + one)))

    def _chunks(self) -> list[slice]:
        return [slice(at, at + CHUNK) for at in range(0, len(self.found), CHUNK)]

    def _shared_residual(self, fit: Fit) -> np.ndarray:
        usual = self.priors.usual_focal * max(self.found.width, self.found.height)
        return np.concatenate(
            [[np.log(fit.focal / usual) / self.priors.focal], fit.shape / self.priors.identity, fit.person]
        )

    def _differences(self, fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Departures from the priors (T, D), changes (T - 1, D), and changes of velocities (T - 2, D)."""
        frames = len(self.found)
        own = np.zeros((frames, self.size))
        own[:, 6:-2] = fit.expression - self.found.scores - self.habit(fit)
        own[:, -2:] = fit.gaze
        first = np.zeros((max(frames - 1, 0), self.size))
        second = np.zeros((max(frames - 2, 0), self.size))
        if frames > 1:
            first[:, 6:-2], first[:, -2:] = np.diff(fit.expression, axis=0), np.diff(fit.gaze, axis=0)
        if frames > 2:
            turns = Rotation.from_matrix(fit.rotation[1:] @ fit.rotation[:-1].transpose(0, 2, 1)).as_rotvec()
            steps = self.changes.steps[:, None]
            second[:, :3] = np.diff(turns / steps, axis=0)
            second[:, 3:6] = np.diff(np.diff(fit.translation, axis=0) / steps, axis=0)
        return own, first, second

    def normal_equations(self, fit: Fit) -> tuple[np.ndarray, ...]:
        """Blocks (T, D, D), to the clip's unknowns (T, D, S), theirs (S, S), gradients (T, D), (S,).

        The clip's unknowns are the focal length, the identity, the person's patterns and, where they are
        free, the scores' habits.
        """
        frames, cut = len(self.found), self.priors.cut**2
        shared = 1 + len(fit.shape) + len(fit.person)
        blocks = np.empty((frames, self.size, self.size))
        cross, gradient = np.empty((frames, self.size, shared)), np.empty((frames, self.size))
        own_shared, gradient_shared = np.zeros((shared, shared)), np.zeros(shared)
        for rows in self._chunks():
            scaled, unit, square = self._residuals(fit, rows)
            weight = (cut / (cut + square))[..., None]  # the square root of Geman-McClure's
            change = (
                jacobian(self.places, fit.part(rows))
                * (weight / (self.sigma[:, None] * unit[:, None, None]))[..., None]
            )
            flat = change.reshape(len(scaled), -1, change.shape[-1])
            residual = (weight * scaled).reshape(len(scaled), -1)
            mine, others = flat[..., : self.size], flat[..., self.size :]
            blocks[rows] = mine.transpose(0, 2, 1) @ mine
            cross[rows] = mine.transpose(0, 2, 1) @ others
            gradient[rows] = np.einsum("tmd,tm->td", mine, residual)
            own_shared += (others.transpose(0, 2, 1) @ others).sum(axis=0)
            gradient_shared += np.einsum("tms,tm->s", others, residual)
        tight = np.r_[
            1 / self.priors.focal, np.full(len(fit.shape), 1 / self.priors.identity), np.ones(len(fit.person))
        ]
        own_shared += np.diag(tight**2)
        gradient_shared += self._shared_residual(fit) * tight
        own, first, second = self._differences(fit)
        diagonal = np.tile(self.tight_own, (frames, 1))
        gradient += own * self.tight_own
        if frames > 1:
            w = self.tight_first * self.changes.first[:, None]
            diagonal[1:] += w
            diagonal[:-1] += w
            gradient[1:] += w * first
            gradient[:-1] -= w * first
        if frames > 2:
            w = self.tight_second * self.changes.second[:, None]
            for start, factor in enumerate(self.changes.factors.T[..., None]):
                diagonal[start : start + frames - 2] += factor**2 * w
                gradient[start : start + frames - 2] += factor * w * second
        index = np.arange(self.size)
        blocks[:, index, index] += diagonal
        if self.free:
            cross, own_shared, gradient_shared = self._with_habits(cross, own_shared, gradient_shared)
        return blocks, cross, own_shared, gradient, gradient_shared

    def _with_habits(self, cross: np.ndarray, own: np.ndarray, gradient: np.ndarray) -> list[np.ndarray]:
        """The equations of the clip's unknowns with the habits as further ones, whose gradients are 0."""
        frames, tight = len(self.found), self.priors.expression**-2
        among = np.zeros((frames, self.size, self.count))
        index = np.arange(self.count)
        among[:, 6 + index, index] = -tight
        more = np.diag(frames * tight + self.habits**-2)
        return [
            np.concatenate([cross, among], axis=2),
            block_diag(own, more),
            np.concatenate([gradient, np.zeros(self.count)]),
        ]

    def step(self, fit: Fit, equations: tuple[np.ndarray, ...], damping: float) -> Fit:
        """The fit after one damped step, within its bounds."""
        blocks, cross, own, gradient, gradient_shared = equations
        frames, size = gradient.shape
        held = np.zeros((frames, size), bool)
        held[:, 6:-2] = ((fit.expression <= 0) & (gradient[:, 6:-2] > 0)) | (
            (fit.expression >= 1) & (gradient[:, 6:-2] < 0)
        )
        live = (~(held | self.fixed)).astype(float)
        index = np.arange(size)
        blocks = blocks * live[:, :, None] * live[:, None, :]
        blocks[:, index, index] = blocks[:, index, index] * (1 + damping) + (1 - live)
        band = np.zeros((2 * size + 1, frames, size))
        for offset in range(size):
            band[offset, :, : size - offset] = np.diagonal(blocks, -offset, axis1=1, axis2=2)
        if frames > 1:
            band[size, :-1] -= self.tight_first * self.changes.first[:, None] * live[1:] * live[:-1]
        if frames > 2:
            w = self.tight_second * ~self.fixed * self.changes.second[:, None]
            before, at, after = self.changes.factors.T[..., None]
            band[size, :-2] += before * at * w
            band[size, 1:-1] += at * after * w
            band[2 * size, :-2] += before * after * w
        right = np.concatenate([gradient[..., None], cross], axis=-1) * live[..., None]
        bands = min(2 * size, frames * size - 1) + 1
        solved = solveh_banded(
            band.reshape(2 * size + 1, -1)[:bands], right.reshape(frames * size, -1), lower=True
        ).reshape(right.shape)
        focal, shape, person = fit.focal, fit.shape, fit.person
        change = -solved[..., 0]
        if self.free:
            weighted = cross * live[..., None]
            schur = (
                own + damping * np.diag(np.diag(own)) - np.einsum("tds,tdr->sr", weighted, solved[..., 1:])
            )
            target = gradient_shared - np.einsum("tds,td->s", weighted, solved[..., 0])
            common = -cho_solve(cho_factor(schur), target)
            change = change - solved[..., 1:] @ common
            focal = float(focal * np.exp(np.clip(common[0], -0.3, 0.3)))
            shape = shape + common[1 : 1 + len(shape)]
            # the habits follow from the fit
            person = person + common[1 + len(shape) : 1 + len(shape) + len(person)]
        turn = Rotation.from_rotvec(change[:, :3]).as_matrix()
        return Fit(
            focal,
            shape,
            turn @ fit.rotation,
            fit.translation + change[:, 3:6],
            (fit.expression + change[:, 6:-2]).clip(0, 1),
            (fit.gaze + change[:, -2:]).clip(-0.8, 0.8),
            person,
        )


def solve(
    places: LandmarkPlaces,
    found: Detections,
    priors: Priors,
    start: Fit,
    *,
    free: bool = True,
    steps: int = 60,
    report: Callable[[int, int], None] | None = None,
) -> Fit:
    """Levenberg-Marquardt from a start.

    Args:
        places: the landmarks on the head.
        found: what was detected.
        priors: what is believed.
        start: where to begin.
        free: whether focal length, identity, patterns and the scores' habits are unknown, or kept from the
            start and none.
        steps: most steps.
        report: called with steps done and to do.
    """
    return descend(Problem(places, found, priors, free), start, steps, report)


def descend(
    problem: Problem, start: Fit, steps: int, report: Callable[[int, int], None] | None = None
) -> Fit:
    """A problem's least cost by Levenberg-Marquardt from a start, in at most so many steps."""
    fit, damping = start, 1e-3
    cost = problem.cost(fit)
    for number in range(steps):
        if report is not None:
            report(number, steps)
        equations = problem.normal_equations(fit)
        gained = 0.0
        for _ in range(TRIES):
            try:
                tried = problem.step(fit, equations, damping)
                found_cost = problem.cost(tried) if (tried.translation[:, 2] > 0.05).all() else np.inf
            except LinAlgError:
                found_cost = np.inf
            if found_cost < cost:
                gained, fit, cost = (cost - found_cost) / cost, tried, found_cost
                damping = max(damping / 8, 1e-9)
                break
            damping *= 8
        if gained < CONVERGED:
            break
    if report is not None:
        report(steps, steps)
    return fit

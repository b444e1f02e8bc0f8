"""Bundle adjustment: the heads' poses, the camera's focal length and the patches' places, all at once.

Every patch lies a little off the fitted head, as an identity of few coefficients is not the person's; its
offset is unknown, and eliminated from the normal equations (Triggs et al. 2000, Schur complement). Landmarks
take part as in the fit before, and tell what no picture can: how the head as a whole is turned. Identity and
expressions stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from surfhead_video.fitted_head import Detections, Fit
from surfhead_video.head_fit import TRIES, Priors, Problem
from surfhead_video.landmark_places import LandmarkPlaces
from surfhead_video.skin_patches import Patches, Sightings, tangents
from surfhead_video.skin_points import SkinPoints

OFFSET = 0.002  # metres, standard deviation of a patch's offset in every direction
CUT = 3.0  # spreads at which a sighting loses most of its say
STEPS = 8
CONVERGED = 1e-4  # share of the cost gained by a step at the end


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


@dataclass(frozen=True)
class Missed:
    """What the patches of a frame miss their sightings by, in spreads.

    Attributes:
        left: (N, 2).
        seen, turned: (N, 3) their places before the camera, and turned only.
    """

    left: np.ndarray
    seen: np.ndarray
    turned: np.ndarray

    @property
    def cost(self) -> float:
        """Geman-McClure's."""
        square = (self.left**2).sum(axis=1)
        return float((CUT**2 * square / (CUT**2 + square)).sum())

    @property
    def weight(self) -> np.ndarray:
        """(N,) square roots of its weights."""
        return np.asarray(CUT**2 / (CUT**2 + (self.left**2).sum(axis=1)))


class PatchPlaces:
    """Where patches lie on the head: at the fitted head's points and an offset each.

    Args:
        points: on the skin.
        patches: at some of them.
        shape: the identity.
    """

    def __init__(self, points: SkinPoints, patches: Patches, shape: np.ndarray) -> None:
        self.rest = points.places.neutral(shape)[patches.point]
        self.expressions = points.places.expressions[patches.point]
        self.axes = tangents(points, shape)[patches.point]
        self.offset = np.zeros((len(patches), 3))  # along normal and tangents, metres

    def missed(
        self, fit: Fit, row: int, sight: Sightings, found: Detections, offset: np.ndarray | None = None
    ) -> Missed:
        """For one frame of a fit; with other offsets (N, 3) than its own."""
        moved = self.offset if offset is None else offset
        places = self.rest + np.einsum("lcd,ld->lc", self.axes, moved)
        places = places + self.expressions @ fit.expression[row]
        turned = places @ fit.rotation[row].T
        seen = turned + fit.translation[row]
        middle = np.array([found.width, found.height]) / 2
        away = fit.focal * seen[:, :2] / seen[:, 2:] + middle - sight.pixels
        return Missed(np.einsum("lcd,ld->lc", sight.root, away), seen, turned)


def bundle(
    places: LandmarkPlaces,
    found: Detections,
    priors: Priors,
    fit: Fit,
    patches: PatchPlaces,
    sights: list[Sightings],
) -> Fit:
    """The fit with better poses and focal length; the patches' offsets are set.

    Args:
        places: of the landmarks.
        found: the frames' detections.
        priors: what is believed.
        fit: where it begins.
        patches: their places.
        sights: of every frame.
    """
    problem = Problem(places, found, priors, free=True)
    frames, count = len(found), len(patches.rest)
    size = 6 * frames + 1
    tight = np.full(3, OFFSET**-2)

    def cost(fit: Fit, offset: np.ndarray) -> float:
        total = sum(patches.missed(fit, row, sights[row], found, offset).cost for row in range(frames))
        return total + float((offset**2 * tight).sum()) + problem.cost(fit)

    offset, damping = patches.offset, 1e-4
    best = cost(fit, offset)
    for _ in range(STEPS):
        matrix, right = _landmarks(problem, fit)
        across = np.zeros((size, count, 3))
        own = np.tile(np.diag(tight), (count, 1, 1))
        pull = offset * tight
        for row in range(frames):
            missed = patches.missed(fit, row, sights[row], found, offset)
            used = np.flatnonzero(sights[row].root.any(axis=(1, 2)))
            weight, seen = missed.weight[used], missed.seen[used]
            root = sights[row].root[used] * weight[:, None, None]
            left = missed.left[used] * weight[:, None]
            moves = by_pose(fit.focal, seen, missed.turned[used])
            zoom = fit.focal * seen[:, :2] / seen[:, 2:]
            mine = root @ np.concatenate([moves, zoom[:, :, None]], axis=2)
            others = root @ (moves[..., 3:] @ fit.rotation[row] @ patches.axes[used])
            index = np.r_[6 * row : 6 * row + 6, size - 1]
            flat = mine.reshape(-1, 7)
            matrix[np.ix_(index, index)] += flat.T @ flat
            right[index] += flat.T @ left.ravel()
            own[used] += others.transpose(0, 2, 1) @ others
            pull[used] += np.einsum("lcd,lc->ld", others, left)
            both = np.einsum("lcp,lcd->pld", mine, others)
            across[6 * row : 6 * row + 6, used] = both[:6]
            across[-1, used] += both[6]
        gained = 0.0
        for _ in range(TRIES):
            try:
                move, shift = _solved(matrix, right, across, own, pull, damping)
            except LinAlgError:
                damping *= 8
                continue
            tried = _moved(fit, move)
            far = cost(tried, offset + shift) if (tried.translation[:, 2] > 0.05).all() else np.inf
            if far < best:
                gained, fit, offset, best = (best - far) / best, tried, offset + shift, far
                damping = max(damping / 8, 1e-9)
                break
            damping *= 8
        if gained < CONVERGED:
            break
    patches.offset = offset
    return fit


def _landmarks(problem: Problem, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks' and priors' share in the equations of all poses and the focal length's logarithm."""
    blocks, cross, own, gradient, shared = problem.normal_equations(fit)
    frames = len(blocks)
    size = 6 * frames + 1
    matrix, right = np.zeros((size, size)), np.zeros(size)
    right[:-1], right[-1] = gradient[:, :6].ravel(), shared[0]
    matrix[-1, -1] = own[0, 0]
    matrix[:-1, -1] = matrix[-1, :-1] = cross[:, :6, 0].ravel()
    if frames > 2:
        change = problem.changes.matrix()
        for axis in range(6):
            weight = problem.tight_second[axis] * problem.changes.second
            smooth = change.T @ (change * weight[:, None])
            np.fill_diagonal(smooth, 0)  # the blocks hold it
            matrix[axis:-1:6, axis:-1:6] += smooth
    for row in range(frames):
        at = slice(6 * row, 6 * row + 6)
        matrix[at, at] += blocks[row, :6, :6]
    return matrix, right


def _solved(
    matrix: np.ndarray,
    right: np.ndarray,
    across: np.ndarray,
    own: np.ndarray,
    pull: np.ndarray,
    damping: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves of poses and focal length (P,), and of offsets (N, 3)."""
    axis = np.arange(3)
    damped = own.copy()
    damped[:, axis, axis] *= 1 + damping
    inverse = np.linalg.inv(damped)
    held = np.einsum("pld,lde->ple", across, inverse).reshape(len(matrix), -1)
    flat = across.reshape(len(matrix), -1)
    reduced = matrix - held @ flat.T
    reduced[np.diag_indices_from(reduced)] += damping * np.diagonal(matrix)
    move = -cho_solve(cho_factor(reduced), right - held @ pull.ravel())
    back = pull + (move @ flat).reshape(pull.shape)
    return move, -np.einsum("lde,le->ld", inverse, back)


def _moved(fit: Fit, move: np.ndarray) -> Fit:
    """The fit after a step."""
    poses = move[:-1].reshape(-1, 6)
    turn = Rotation.from_rotvec(poses[:, :3]).as_matrix()
    return replace(
        fit,
        focal=float(fit.focal * np.exp(np.clip(move[-1], -0.3, 0.3))),
        rotation=turn @ fit.rotation,
        translation=fit.translation + poses[:, 3:],
    )

"""What MediaPipe's ARKit scores tell of ICT expressions: in pictures of drawn people, and in drawn clips.

    OMP_NUM_THREADS=1 python draw_for_table.py ict.safetensors SAME --first 1000 --same-person \\
        --textures 16 --pictures 40
    OMP_NUM_THREADS=1 python detect_drawn.py face_landmarker.task SAME same.npz
    python measure_scores.py ict.safetensors face_landmarker.task same.npz CLIPS \\
        --table ../src/surfhead_video/score_gains.npz

Pictures: expressions and scores less their means over a person's pictures, as tracking takes off a person's
usual scores. What is left of the expressions (root mean square) for people left out is told: with scores as
they are, with none, with a gain for each score (the slope of the expression by its own score, left and right
alike, not negative), with gains and the head's direction, with a map of all scores, and the latter with the
direction, too; then the gains, and how much scores err by in all pictures of a person alike.

Clips (of `synthetic_clips.py`): the error of scores above their rest, less its mean over the clip, as what it
moves landmarks by. How much of that, as a share of its root mean square, is a function of the head's
direction in the same frames; of the direction in the other clips' frames, which can only be chance; and what
is left if the function is that of the other clips' frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure_tracking import true_fit
from surfhead_video.clip import Clip
from surfhead_video.detection import chosen, detect
from surfhead_video.fitted_head import camera_place
from surfhead_video.landmark_places import LandmarkPlaces, landmark_places, make_rig
from surfhead_video.landmarker import Landmarker
from surfhead_video.scores import as_coefficients
from surfhead_video.tracking import as_detections

SLOPE = 1.0  # a gain is believed to be 0 give or take this, so that scores that never rise get none
ERROR = 0.14  # of an expression told by its score
PARTS = 5  # of the people, each left out once
SPREAD = 0.004  # variance that features of a map are believed to be blurred by


def mirrored(names: list[str]) -> np.ndarray:
    """(K,) where the same expression or score of the other side is."""
    sides = {"_L": "_R", "_R": "_L", "Left": "Right", "Right": "Left"}
    turned = []
    for name in names:
        end = next((end for end in sides if name.endswith(end)), "")
        turned.append(names.index(name[: len(name) - len(end)] + sides.get(end, "")))
    return np.array(turned)


def within(values: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Values (M, ...) less the mean of their person."""
    made = values.astype(np.float64)
    for one in np.unique(person):
        made[person == one] -= made[person == one].mean(axis=0)
    return made


def slopes(scores: np.ndarray, expressions: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(K,) gains from (M, K) scores by the head's names and (M, K) expressions, both less people's means."""
    common, own = (scores * expressions).sum(axis=0), (scores**2).sum(axis=0)
    common, own = common + common[mirror], own + own[mirror]
    return np.asarray((common / (own + ERROR**2 / SLOPE**2)).clip(0))


def products(direction: np.ndarray) -> np.ndarray:
    """(M, 5) of the direction towards the camera (M, 2): x, y, x², xy, y²."""
    x, y = direction.T
    return np.stack([x, y, x * x, x * y, y * y], axis=1)


def roughly(pose: np.ndarray) -> np.ndarray:
    """(M, 2) the camera's direction in the head's frame by MediaPipe's poses (M, 4, 4)."""
    left, _, right = np.linalg.svd(pose[:, :3, :3].astype(np.float64))
    away = -np.einsum("tji,tj->ti", left @ right, pose[:, :3, 3])
    return np.asarray(away[:, :2] / np.linalg.norm(away, axis=1, keepdims=True))


def ridge(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights of features for targets."""
    blur = SPREAD * len(features) * np.eye(features.shape[1])
    return np.linalg.solve(features.T @ features + blur, features.T @ targets)


def pictures(rows: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """Say what is left of expressions in the pictures; gives the (K,) gains."""
    given, person = rows["score_names"].tolist(), rows["person"]
    expressions, every = within(rows["expression"], person), within(rows["scores"], person)
    own = as_coefficients(rows["scores"], tuple(given), names)
    scores, mirror = within(own, person), mirrored(list(names))
    towards = within(products(roughly(rows["pose"])), person)
    both = np.concatenate([every, towards], axis=1)
    # x and xy change their sign in a mirror
    reflected = np.concatenate([every[:, mirrored(given)], towards * [-1, 1, 1, -1, 1]], axis=1)

    def gains(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return scores[asked] * slopes(scores[seen], expressions[seen], mirror)

    def gains_and_direction(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
        left = expressions[seen] - gains(seen, seen)
        return gains(seen, asked) + towards[asked] @ ridge(towards[seen], left)

    def mapped(columns: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def way(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
            features = np.concatenate([both[seen, :columns], reflected[seen, :columns]])
            targets = np.concatenate([expressions[seen], expressions[seen][:, mirror]])
            return both[asked, :columns] @ ridge(features, targets)

        return way

    ways: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "scores as they are": lambda seen, asked: scores[asked],
        "no scores": lambda seen, asked: np.zeros_like(scores[asked]),
        "gains": gains,
        "gains and direction": gains_and_direction,
        "a map of all scores": mapped(every.shape[1]),
        "a map of all scores and direction": mapped(both.shape[1]),
    }
    people = np.unique(person)
    print(f"{len(person)} pictures of {len(people)} people; left of the expressions of people left out:")
    for name, way in ways.items():
        left = np.zeros_like(expressions)
        for part in range(PARTS):
            asked = np.isin(person, people[part::PARTS])
            left[asked] = expressions[asked] - way(~asked, asked)
        print(f"  {name}: {np.sqrt((left**2).mean()):.4f}")
    gain = slopes(scores, expressions, mirror)
    for name, value in zip(names, gain, strict=True):
        print(f"  {name}: gain {value:.2f}")
    for name, factor in (("as they are", np.ones(len(names))), ("with gains", gain)):
        error = own * factor - rows["expression"]
        means = np.stack([error[person == one].mean(axis=0) for one in people])
        chance = within(error, person).var(axis=0) * len(people) / len(person)
        habit = np.sqrt((means.var(axis=0, ddof=1) - chance).clip(0).mean())
        print(f"  scores {name} err by {habit:.3f} in all pictures of a person alike")
    return gain


def explained(direction: np.ndarray, moved: np.ndarray) -> float:
    """Share of what is moved (T, N) that is a function of a direction (T, 2), of its root mean square."""
    terms = products(direction)
    terms -= terms.mean(axis=0)
    return float(np.linalg.norm(terms @ np.linalg.lstsq(terms, moved, rcond=None)[0]) / np.linalg.norm(moved))


def clips(folder: Path, model: Path, places: LandmarkPlaces) -> None:
    """Say how much of the scores' errors follows the head."""
    directions: list[np.ndarray] = []
    errors: list[np.ndarray] = []
    files = sorted(folder.glob("*.mp4"))
    for file in files:
        truth = dict(np.load(file.with_suffix(".npz")))
        with Landmarker(model) as landmarker:
            found: Any = chosen(detect(Clip(file).frames(), [landmarker]))
        known = true_fit(truth, found.number)
        error = as_detections(found, places).scores - known.expression
        moved = np.einsum("lck,tk->tlc", places.expressions, error - error.mean(axis=0))
        directions.append(camera_place(known)[:, :2])
        errors.append(moved.reshape(len(moved), -1))
    for clip, file in enumerate(files):
        others = [other for other in range(len(files)) if other != clip]
        own = explained(directions[clip], errors[clip])
        chance = []
        for other in others:
            frames = min(len(directions[other]), len(errors[clip]))
            chance.append(explained(directions[other][:frames], errors[clip][:frames]))
        terms = [products(one) - products(one).mean(axis=0) for one in directions]
        seen = np.concatenate([terms[other] for other in others])
        weights = np.linalg.lstsq(seen, np.concatenate([errors[other] for other in others]), rcond=None)[0]
        left = np.linalg.norm(errors[clip] - terms[clip] @ weights) / np.linalg.norm(errors[clip])
        print(
            f"{file.stem}: by its own direction {own:.2f}, by other clips' {np.mean(chance):.2f}; "
            f"left by the other clips' function {left:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "model", "drawn", "clips"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--table", type=Path, help="write the gains to this file")
    options = parser.parse_args()
    rig = make_rig(options.head)
    names = tuple(rig.expressions())
    gain = pictures(dict(np.load(options.drawn)), names)
    if options.table is not None:
        np.savez_compressed(options.table, names=np.array(names), gain=gain.astype(np.float32))
    clips(options.clips, options.model, landmark_places(rig))


if __name__ == "__main__":
    main()

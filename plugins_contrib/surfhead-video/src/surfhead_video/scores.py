"""MediaPipe's ARKit scores as coefficients of the ICT head's expressions."""

from __future__ import annotations

import numpy as np

# ICT has two shapes where ARKit has one
SPLIT = {"browInnerUp": ("browInnerUp_L", "browInnerUp_R"), "cheekPuff": ("cheekPuff_L", "cheekPuff_R")}


def arkit_name(name: str) -> str:
    """ARKit's spelling of an ICT name: ``mouthSmile_L`` is ``mouthSmileLeft``."""
    for whole, parts in SPLIT.items():
        if name in parts:
            return whole
    if name.endswith(("_L", "_R")):
        return name[:-2] + {"L": "Left", "R": "Right"}[name[-1]]
    return name


def as_coefficients(scores: np.ndarray, given: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """(T, K) coefficients by the head's names from (T, N) scores by ARKit's; 0 where there is no score."""
    lower = {name.lower(): at for at, name in enumerate(given)}
    made = np.zeros((len(scores), len(names)))
    for column, name in enumerate(names):
        at = lower.get(arkit_name(name).lower())
        if at is not None:
            made[:, column] = scores[:, at]
    return made


def above_rest(coefficients: np.ndarray) -> np.ndarray:
    """(T, K) scores above a person's usual ones, again from 0 to 1.

    A face at rest has scores of its own, as the detector takes shape for expression. The median of all frames
    is taken for rest: scores waver with the head's pose, and above a lower share of the frames every one of
    them would say that its expression is at work on average.
    """
    rest = np.median(coefficients, axis=0)
    return np.asarray(((coefficients - rest) / np.maximum(1 - rest, 0.1)).clip(0, 1))

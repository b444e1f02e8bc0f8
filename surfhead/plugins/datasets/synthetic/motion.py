"""What the synthetic head does over time, for any rig: pulses of expression, talking, blinks, turns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import RigParameter

TRAIN_STRENGTH = 0.75
"""Highest coefficient of an expression shape in the training motion."""
TEST_STRENGTH = (0.95, 1.2)
"""Range of the pulses' heights in the held-out motion: always above every one in training."""
# Largest rotation about each axis (radians) and translation (metres): training, held-out motion.
REACH = {
    "rotation": ((0.08, 0.16, 0.04), (0.11, 0.24, 0.06)),
    "neck": ((0.10, 0.14, 0.05), (0.14, 0.22, 0.08)),
    "translation": ((0.004, 0.003, 0.004), (0.006, 0.005, 0.006)),
}
STRETCHING = ("expression", "jaw")
GAZE = ((0.16, 0.32), (0.22, 0.42))
JAW = (0.24, 0.40)


def waves(generator: np.random.Generator, count: int, channels: int, period: float) -> np.ndarray:
    """(count, channels) smooth curves within [-1, 1]: sums of three sines of random phase."""
    time = np.arange(count)[:, None, None]
    speed = 2 * np.pi / (period * generator.uniform(0.6, 1.6, (1, channels, 3)))
    phase = generator.uniform(0, 2 * np.pi, (1, channels, 3))
    return np.asarray(np.sin(speed * time + phase).mean(axis=-1) * 1.2).clip(-1, 1)


def pulses(
    generator: np.random.Generator,
    count: int,
    channels: int,
    strength: tuple[float, float],
    wide: float,
    busy: float,
) -> np.ndarray:
    """(count, channels) coefficients >= 0: channels peak about equally often, few at a time.

    The peaks are dealt round the channels in random order, so that none comes twice before all had their
    turn; about ``busy`` channels are at work at any time.
    """
    out = np.zeros((count, channels))
    total = max(1, round(busy * count / (2.5 * wide)))
    order = np.concatenate([generator.permutation(channels) for _ in range(-(-total // channels))])[:total]
    middle = (np.arange(total) + generator.uniform(0, 1, total)) / total * count
    time = np.arange(count)
    for channel, at in zip(order, middle, strict=True):
        at = np.round(at).clip(0, count - 1)
        height = generator.uniform(*strength)
        shape = height * np.exp(-0.5 * ((time - at) / (wide * generator.uniform(0.7, 1.3))) ** 2)
        out[:, channel] = np.maximum(out[:, channel], shape)
    return np.asarray(np.where(out < 0.02, 0.0, out))


def motion(
    parameters: Mapping[str, RigParameter],
    timesteps: int,
    test_timesteps: int,
    seed: int,
    strength: float = 1.0,
) -> dict[str, Tensor]:
    """Rig parameters of the training motion, then of the held-out one, as name -> (T, d) float32.

    The first timestep is the rest pose. Expressions and the jaw's rotation are multiplied by ``strength``.
    """
    parts = []
    for split, count in enumerate((timesteps, test_timesteps)):
        generator = np.random.default_rng([seed, split])
        parts.append({name: _curve(name, spec, count, split, generator) for name, spec in parameters.items()})
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parameters}
    for name, values in joined.items():
        values[0] = 0.0
        if name in STRETCHING:
            values *= strength
    return {name: torch.from_numpy(values.astype(np.float32)) for name, values in joined.items()}


def _curve(
    name: str, spec: RigParameter, count: int, split: int, generator: np.random.Generator
) -> np.ndarray:
    """(count, size) values of one parameter; parameters of unknown meaning stay zero."""
    if name in REACH and spec.size == 3:
        return np.asarray(waves(generator, count, 3, 18.0) * REACH[name][split])
    if name == "jaw" and spec.size == 3:
        opening = pulses(generator, count, 1, (0.4, 1.0) if split == 0 else (0.8, 1.0), 1.6, 0.5)
        side = 0.1 * waves(generator, count, 1, 9.0)
        return JAW[split] * np.concatenate([opening, side, 0.0 * side], axis=1)
    if name == "eyes" and spec.size == 6:
        gaze = waves(generator, count, 2, 9.0) * np.asarray(GAZE[split])
        one = np.concatenate([gaze, np.zeros((count, 1))], axis=1)
        return np.concatenate([one, one], axis=1)
    if name == "expression":
        strength = (0.35, TRAIN_STRENGTH) if split == 0 else TEST_STRENGTH
        return pulses(generator, count, spec.size, strength, 1.5, 3.0 if split == 0 else 4.0)
    return np.zeros((count, spec.size))

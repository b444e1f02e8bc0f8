"""What is believed of changes between frames, by the true time between them.

A clip's frames are not evenly spaced: its rate may vary, frames without a face or blurred are left out, and
others are on purpose. A belief of so much a frame would hold a head seen twice a second as still as one seen
25 times. So velocities and accelerations are beliefs about seconds:

- Expression and gaze wander (their velocities are white noise): the variance of a change is proportional to
  the step h, its deviation to the square root of h.
- Of the head's rotation and translation the acceleration is white noise of density q. The velocity over a
  step h after a moment less that over a step g before it is the integral of the acceleration times a tent
  that is 1 at the moment and 0 at both ends. Its variance is q times the integral of the tent's square,
  q (g + h) / 3. For even steps the second difference is h times that: its deviation is proportional to the
  power 1.5 of h. Frames far apart are in practice independent: 0.02 radians at 25 a second are 0.8 at two.

Neighbouring changes of velocity share part of their tents and are correlated by a quarter; that is left out,
as it keeps the normal equations as narrow as they are. Times are counted in steps of 25 frames a second, at
which deviations are what ``Priors`` says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 25.0  # frames a second at which beliefs are what ``Priors`` says
SHORTEST = 0.1  # of a step; times that are equal, or nearly so, say nothing of velocities


@dataclass(frozen=True)
class Changes:
    """How T frames' changes are told and weighed.

    Attributes:
        steps: (T - 1,) time from each frame to the next, in steps of 25 frames a second.
        first: (T - 1,) weights of squared changes, 1 at steps of 1.
        second: (T - 2,) weights of squared changes of velocity (per step), 1 at steps of 1.
        factors: (T - 2, 3) by which three frames make a change of velocity; 1, -2, 1 at steps of 1.
    """

    steps: np.ndarray
    first: np.ndarray
    second: np.ndarray
    factors: np.ndarray

    def matrix(self) -> np.ndarray:
        """(T - 2, T) changes of velocity by all frames' places, for three frames at least."""
        count = len(self.factors)
        made = np.zeros((count, count + 2))
        rows = np.arange(count)
        for at in range(3):
            made[rows, rows + at] = self.factors[:, at]
        return made


def changes_at(time: np.ndarray) -> Changes:
    """The changes between frames at these times (T,), seconds, in their order."""
    steps = np.maximum(np.diff(time) * RATE, SHORTEST)
    before, after = 1 / steps[:-1], 1 / steps[1:]
    return Changes(
        steps=steps,
        first=1 / steps,
        second=2 / (steps[:-1] + steps[1:]),
        factors=np.stack([before, -(before + after), after], axis=1),
    )

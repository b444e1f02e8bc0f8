"""How a colour depends on the direction it is seen from: learnt coefficients of fixed functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Directional:
    """A surfel's colour as a sum of functions of the view direction, one learnt RGB coefficient each.

    Attributes:
        names: the per-surfel parameters that hold the coefficients in order, of shape (N, 3) or (N, k, 3).
        basis: from (B, N, 3) unit directions in rest space to (B, N, K) values of the functions.
        stiffness: (K,) how strongly each is held to 0 where no view tells: l² of harmonics.
    """

    names: tuple[str, ...]
    basis: Callable[[Tensor], Tensor]
    stiffness: tuple[float, ...]

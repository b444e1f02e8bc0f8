"""A deformer as plain numbers: what carries surfels, for programs that deform without Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class FieldModel:
    """The affine map of each surfel, from its host triangle i and the three j across its edges (section 4).

    - ``still``: the identity; no rig.
    - ``similarity``: the posed host's scale and frame, k' R̄'.
    - ``linear``: A k R̄ with A = Σ w_j J_j, of Jacobians J = R U; the rotation is A's polar factor, and the
      host's where A is singular or reflects.
    - ``polar``: R_b U_b k R̄ with U_b = Σ w_j U_j; R_b = R_i exp(Σ w_j log(R_iᵀ R_j)) where ``rotations`` are
      ``relative``, exp(Σ w_j log R_j) where ``absolute``.

    All but ``still`` put the origin at the posed host's centroid.

    Attributes:
        weights: (N, 4) w of the host and its neighbours; None: the host alone, 1.
    """

    kind: Literal["still", "similarity", "linear", "polar"]
    weights: Tensor | None = None
    rotations: Literal["relative", "absolute"] = "relative"

"""Frames and scales of triangles, and their Jacobians with the polar decomposition in closed form.

Primes mark posed quantities; a triangle is (v0, v1, v2), e1 = v1 - v0, e2 = v2 - v0, c = e1 × e2
(docs/method.md, section 3; "Deformation Transfer for Triangle Meshes", SIGGRAPH 2004).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

DEGENERATE_AREA = 1e-12  # |c| at or below it, square metres
DEGENERATE_RATIO = 1e-4  # |c| at or below this times the longest edge's square
PLACEHOLDER_EDGE = 1e-3  # legs of the right triangle that stands in for a degenerate one, metres


@dataclass(frozen=True)
class TriangleFrames:
    """Frames, scales and edges of F triangles; ``...`` is () at rest and (P,) for P poses.

    A degenerate triangle (|c| <= max(1e-12 m², 1e-4 longest edge²)) is replaced by a constant right
    triangle with legs of a millimetre before anything is divided by its size: its numbers are finite and
    carry no gradient; only its centroid is its own.

    Attributes:
        edge1, edge2: (..., F, 3) e1 and e2, metres.
        area_vector: (..., F, 3) c = e1 × e2, square metres: twice the area along the outward normal.
        area: (..., F) |c|, square metres (twice the area).
        centroid: (..., F, 3) metres.
        length: (..., F) |e1|, metres.
        height: (..., F) h = b·e2 > 0, metres.
        along: (..., F) p = a·e2, metres.
        first: (..., F, 3) unit first axis a = e1/|e1|.
        normal: (..., F, 3) unit normal n = c/|c|.
        valid: (..., F) bool, False for degenerate triangles.
    """

    edge1: Tensor
    edge2: Tensor
    area_vector: Tensor
    area: Tensor
    centroid: Tensor
    length: Tensor
    height: Tensor
    along: Tensor
    first: Tensor
    normal: Tensor
    valid: Tensor

    def detach(self) -> TriangleFrames:
        """The same frames, through which no gradient flows."""
        return TriangleFrames(**{field.name: getattr(self, field.name).detach() for field in fields(self)})

    @cached_property
    def second(self) -> Tensor:
        """(..., F, 3) unit second axis b = n × a."""
        second: Tensor = torch.linalg.cross(self.normal, self.first)
        return second

    @cached_property
    def rotation(self) -> Tensor:
        """(..., F, 3, 3) the frame R̄ with columns a, b, n."""
        return torch.stack((self.first, self.second, self.normal), dim=-1)

    @cached_property
    def scale(self) -> Tensor:
        """(..., F) k = (|e1| + h)/2, metres."""
        return 0.5 * (self.length + self.height)

    @cached_property
    def edges(self) -> Tensor:
        """(..., F, 3, 3) the edge matrix E = [e1, e2, c/√|c|], columns in metres."""
        third = self.area_vector * self.area.rsqrt()[..., None]
        return torch.stack((self.edge1, self.edge2, third), dim=-1)

    @cached_property
    def inverse_edges(self) -> Tensor:
        """(..., F, 3, 3) E⁻¹, by rows: (a - (p/h) b)/|e1|, b/h, n/√|c|; 1/metres."""
        along_ratio = (self.along / self.height)[..., None]
        rows = (
            (self.first - along_ratio * self.second) / self.length[..., None],
            self.second / self.height[..., None],
            self.normal * self.area.rsqrt()[..., None],
        )
        return torch.stack(rows, dim=-2)


def triangle_frames(vertices: Tensor, triangles: Tensor) -> TriangleFrames:
    """The frames of ``triangles`` in every pose.

    Args:
        vertices: (..., V, 3) metres.
        triangles: (F, 3) int64 vertex indices.
    """
    corners = vertices.index_select(-2, triangles.reshape(-1))
    corners = corners.reshape(*vertices.shape[:-2], len(triangles), 3, 3)
    v0, v1, v2 = corners.unbind(-2)
    edge1, edge2 = v1 - v0, v2 - v0
    with torch.no_grad():
        longest = torch.stack((edge1, edge2, v2 - v1)).square().sum(dim=-1).amax(dim=0)
        limit = (DEGENERATE_RATIO * longest).clamp_min(DEGENERATE_AREA)
        valid = torch.linalg.vector_norm(torch.linalg.cross(edge1, edge2), dim=-1) > limit
    # the constant goes in before any division; after it, NaN would leak into the gradients
    placeholder = PLACEHOLDER_EDGE * torch.eye(3, dtype=vertices.dtype, device=vertices.device)
    edge1 = torch.where(valid[..., None], edge1, placeholder[0])
    edge2 = torch.where(valid[..., None], edge2, placeholder[1])
    area_vector = torch.linalg.cross(edge1, edge2)
    area = torch.linalg.vector_norm(area_vector, dim=-1)
    length = torch.linalg.vector_norm(edge1, dim=-1)
    first = edge1 / length[..., None]
    return TriangleFrames(
        edge1=edge1,
        edge2=edge2,
        area_vector=area_vector,
        area=area,
        centroid=corners.mean(dim=-2),
        length=length,
        height=area / length,
        along=(first * edge2).sum(dim=-1),
        first=first,
        normal=area_vector / area[..., None],
        valid=valid,
    )


@dataclass(frozen=True)
class TriangleJacobians:
    """The Jacobian J = E' E⁻¹ of each triangle and its polar factors J = R U, each made on first use.

    J maps rest edges to posed edges exactly and n to √(|c'|/|c|) n', so det J = (|c'|/|c|)^1.5 > 0.
    In the triangle's plane J is [[α, β], [0, δ]] between the two frames, which makes the polar
    decomposition closed: no iteration, and gradients that are finite at J = 1. Where either triangle is
    degenerate, J = R = U = 1 without gradient.

    Attributes:
        rest: (F, ...) rest frames.
        posed: (P, F, ...) posed frames.
    """

    rest: TriangleFrames
    posed: TriangleFrames

    @cached_property
    def valid(self) -> Tensor:
        """(P, F) bool: neither the rest nor the posed triangle is degenerate."""
        return self.rest.valid & self.posed.valid

    @cached_property
    def _plane(self) -> tuple[Tensor, Tensor, Tensor]:
        """α, β, δ, each (P, F)."""
        rest, posed = self.rest, self.posed
        alpha = posed.length / rest.length
        return alpha, (posed.along - alpha * rest.along) / rest.height, posed.height / rest.height

    @cached_property
    def _turn(self) -> tuple[Tensor, Tensor]:
        """cos θ and sin θ of the rotation within the plane, each (P, F)."""
        alpha, beta, delta = self._plane
        trace = alpha + delta
        # α and δ are positive, so the square root's argument never comes near zero
        inverse = (trace * trace + beta * beta).rsqrt()
        return trace * inverse, -beta * inverse

    @cached_property
    def _identity(self) -> Tensor:
        return torch.eye(3, dtype=self.rest.area.dtype, device=self.rest.area.device)

    def _or_identity(self, matrix: Tensor) -> Tensor:
        return torch.where(self.valid[..., None, None], matrix, self._identity)

    @cached_property
    def jacobian(self) -> Tensor:
        """(P, F, 3, 3) J."""
        return self._or_identity(self.posed.edges @ self.rest.inverse_edges)

    @cached_property
    def rotation(self) -> Tensor:
        """(P, F, 3, 3) R = R̄' R_z(θ) R̄ᵀ."""
        cosine, sine = (part[..., None] for part in self._turn)
        posed = self.posed
        turned = torch.stack(
            (
                cosine * posed.first + sine * posed.second,
                cosine * posed.second - sine * posed.first,
                posed.normal,
            ),
            dim=-1,
        )
        return self._or_identity(turned @ self.rest.rotation.mT)

    @cached_property
    def stretch(self) -> Tensor:
        """(P, F, 3, 3) U = RᵀJ, symmetric positive, in the rest pose's axes."""
        alpha, beta, delta = self._plane
        cosine, sine = self._turn
        shear = -sine * alpha
        across = cosine * delta - sine * beta
        thickness = (self.posed.area / self.rest.area).sqrt()
        # U = R̄ S R̄ᵀ as a sum of outer products of the rest axes, which are constants
        rest = self.rest
        a, b, n = rest.first, rest.second, rest.normal
        weights = torch.stack((cosine * alpha, shear, across, thickness), dim=-1)
        products = torch.stack(
            (
                _outer(a, a),
                _outer(a, b) + _outer(b, a),
                _outer(b, b),
                _outer(n, n),
            ),
            dim=-3,
        )
        return self._or_identity((weights[..., None, None] * products).sum(dim=-3))


def _outer(left: Tensor, right: Tensor) -> Tensor:
    return left[..., :, None] * right[..., None, :]


def jacobians(rest: TriangleFrames, posed: TriangleFrames) -> TriangleJacobians:
    """The Jacobians from ``rest`` (F, ...) to ``posed`` (P, F, ...)."""
    return TriangleJacobians(rest, posed)

"""Frames and scales of triangles, and their Jacobians with the polar decomposition in closed form.

Primes mark posed quantities; a triangle is (v0, v1, v2), e1 = v1 - v0, e2 = v2 - v0, c = e1 × e2
(docs/method.md, section 3; "Deformation Transfer for Triangle Meshes", SIGGRAPH 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from surfhead.maths.geometry import matrix_to_quaternion
from surfhead.maths.planes import cross, dot, from_planes, matrix_from_planes, matrix_product, scaled

DEGENERATE_AREA = 1e-12  # |c| at or below it, square metres
DEGENERATE_RATIO = 1e-4  # |c| at or below this times the longest edge's square
PLACEHOLDER_EDGE = 1e-3  # legs of the right triangle that stands in for a degenerate one, metres

Vector = tuple[Tensor, ...]  # x, y and z as planes


@dataclass(frozen=True)
class TriangleFrames:
    """Frames, scales and edges of F triangles; ``...`` is () at rest and (P,) for P poses.

    A degenerate triangle (|c| <= max(1e-12 m², 1e-4 longest edge²)) is replaced by a constant right
    triangle with legs of a millimetre before anything is divided by its size: its numbers are finite and
    carry no gradient; only its centroid is its own. Vectors are triples of planes (see
    ``surfhead.maths.planes``), each (..., F).

    Attributes:
        edge1, edge2: e1 and e2, metres.
        centroid: (..., F, 3) metres.
        valid: (..., F) bool, False for degenerate triangles.
    """

    edge1: Vector
    edge2: Vector
    centroid: Tensor
    valid: Tensor

    def detach(self) -> TriangleFrames:
        """The same frames, through which no gradient flows."""
        return TriangleFrames(
            tuple(entry.detach() for entry in self.edge1),
            tuple(entry.detach() for entry in self.edge2),
            self.centroid.detach(),
            self.valid,
        )

    @cached_property
    def area_vector(self) -> Vector:
        """c = e1 × e2, square metres: twice the area along the outward normal."""
        return cross(self.edge1, self.edge2)

    @cached_property
    def area(self) -> Tensor:
        """(..., F) |c|, square metres: twice the area."""
        return dot(self.area_vector, self.area_vector).sqrt()

    @cached_property
    def length(self) -> Tensor:
        """(..., F) |e1|, metres."""
        return dot(self.edge1, self.edge1).sqrt()

    @cached_property
    def height(self) -> Tensor:
        """(..., F) h = b·e2 = |c|/|e1|, metres."""
        return self.area / self.length

    @cached_property
    def along(self) -> Tensor:
        """(..., F) p = a·e2, metres."""
        return dot(self.edge1, self.edge2) / self.length

    @cached_property
    def first(self) -> Vector:
        """Unit first axis a = e1/|e1|."""
        return scaled(self.edge1, 1 / self.length)

    @cached_property
    def second(self) -> Vector:
        """Unit second axis b = n × a."""
        return cross(self.normal, self.first)

    @cached_property
    def normal(self) -> Vector:
        """Unit normal n = c/|c|."""
        return scaled(self.area_vector, 1 / self.area)

    @cached_property
    def rotation(self) -> Tensor:
        """(..., F, 3, 3) the frame R̄ with columns a, b, n."""
        return _columns(self.first, self.second, self.normal)

    @cached_property
    def scale(self) -> Tensor:
        """(..., F) k = (|e1| + h)/2, metres."""
        return 0.5 * (self.length + self.height)

    @cached_property
    def edges(self) -> Tensor:
        """(..., F, 3, 3) the edge matrix E = [e1, e2, c/√|c|], columns in metres."""
        return _columns(self.edge1, self.edge2, scaled(self.area_vector, self.area.rsqrt()))

    @cached_property
    def axes(self) -> Tensor:
        """(..., F, 3, 3) k R̄, metres."""
        return self.scale[..., None, None] * self.rotation

    @cached_property
    def rows(self) -> Tensor:
        """(..., F, 14) what the GPU's kernels read of a rest triangle: |e1|, h, p, |c|, R̄ by rows, valid."""
        frame = self.rotation.flatten(-2)
        numbers = [self.length, self.height, self.along, self.area, *frame.unbind(-1)]
        return torch.stack([*numbers, self.valid.to(frame.dtype)], dim=-1)

    @cached_property
    def inverse_edges(self) -> Tensor:
        """(..., F, 3, 3) E⁻¹, by rows: (a - (p/h) b)/|e1|, b/h, n/√|c|; 1/metres."""
        second = scaled(self.second, 1 / self.height)
        slant = scaled(second, self.along)
        first = [(a - b) / self.length for a, b in zip(self.first, slant, strict=True)]
        return matrix_from_planes(*first, *second, *scaled(self.normal, self.area.rsqrt()))


def _columns(first: Vector, second: Vector, third: Vector) -> Tensor:
    """(..., 3, 3) the matrix with these columns."""
    return matrix_from_planes(*(entry for row in zip(first, second, third, strict=True) for entry in row))


def triangle_frames(vertices: Tensor, triangles: Tensor) -> TriangleFrames:
    """The frames of ``triangles`` in every pose.

    Args:
        vertices: (..., V, 3) metres.
        triangles: (F, 3) int64 vertex indices.
    """
    leading, count = vertices.shape[:-2], len(triangles)
    corners = vertices.movedim(-1, 0)
    index = triangles.mT.reshape(3 * count).expand(3, *leading, 3 * count)
    corners = corners.gather(-1, index).reshape(3, *leading, 3, count)
    v0, v1, v2 = (corner.unbind(0) for corner in corners.unbind(-2))
    edge1 = tuple(end - start for start, end in zip(v0, v1, strict=True))
    edge2 = tuple(end - start for start, end in zip(v0, v2, strict=True))
    with torch.no_grad():
        edge3 = tuple(end - start for start, end in zip(edge1, edge2, strict=True))
        longest = torch.maximum(torch.maximum(dot(edge1, edge1), dot(edge2, edge2)), dot(edge3, edge3))
        limit = (DEGENERATE_RATIO * longest).clamp_min(DEGENERATE_AREA)
        area_vector = cross(edge1, edge2)
        valid = dot(area_vector, area_vector).sqrt() > limit
    # the constant goes in before any division; after it, NaN would leak into the gradients
    return TriangleFrames(
        edge1=tuple(
            torch.where(valid, entry, PLACEHOLDER_EDGE if axis == 0 else 0.0)
            for axis, entry in enumerate(edge1)
        ),
        edge2=tuple(
            torch.where(valid, entry, PLACEHOLDER_EDGE if axis == 1 else 0.0)
            for axis, entry in enumerate(edge2)
        ),
        centroid=from_planes(*((a + b + c) / 3 for a, b, c in zip(v0, v1, v2, strict=True))),
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

    def _or_identity(self, matrix: Tensor) -> Tensor:
        identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        return torch.where(self.valid[..., None, None], matrix, identity)

    @cached_property
    def jacobian(self) -> Tensor:
        """(P, F, 3, 3) J."""
        return self._or_identity(matrix_product(self.posed.edges, self.rest.inverse_edges))

    @cached_property
    def rotation(self) -> Tensor:
        """(P, F, 3, 3) R = R̄' R_z(θ) R̄ᵀ."""
        cosine, sine = self._turn
        axes = list(zip(self.posed.first, self.posed.second, strict=True))
        turned = _columns(
            tuple(cosine * a + sine * b for a, b in axes),
            tuple(cosine * b - sine * a for a, b in axes),
            self.posed.normal,
        )
        return self._or_identity(matrix_product(turned, self.rest.rotation.mT))

    @cached_property
    def quaternion(self) -> Tensor:
        """(P, F, 4) unit quaternions of R with w >= 0."""
        return matrix_to_quaternion(self.rotation)

    @cached_property
    def stretch_entries(self) -> Tensor:
        """(P, F, 6) the entries xx, xy, xz, yy, yz, zz of U = RᵀJ, in the rest pose's axes."""
        alpha, beta, delta = self._plane
        cosine, sine = self._turn
        # in the rest frame U is [[aa, ab, 0], [ab, bb, 0], [0, 0, nn]]
        aa, ab, bb = cosine * alpha, -sine * alpha, cosine * delta - sine * beta
        nn = (self.posed.area / self.rest.area).sqrt()
        a, b, n = self.rest.first, self.rest.second, self.rest.normal
        entries = []
        for i in range(3):
            for j in range(i, 3):
                in_plane = aa * (a[i] * a[j]) + ab * (a[i] * b[j] + b[i] * a[j]) + bb * (b[i] * b[j])
                entry = in_plane + nn * (n[i] * n[j])
                entries.append(torch.where(self.valid, entry, 1.0 if i == j else 0.0))
        return from_planes(*entries)

    @cached_property
    def stretch(self) -> Tensor:
        """(P, F, 3, 3) U = RᵀJ, symmetric positive, in the rest pose's axes."""
        return symmetric(self.stretch_entries)


def symmetric(entries: Tensor) -> Tensor:
    """(..., 3, 3) the symmetric matrices with entries xx, xy, xz, yy, yz, zz (..., 6)."""
    xx, xy, xz, yy, yz, zz = entries.movedim(-1, 0).unbind(0)
    return matrix_from_planes(xx, xy, xz, xy, yy, yz, xz, yz, zz)


def jacobians(rest: TriangleFrames, posed: TriangleFrames) -> TriangleJacobians:
    """The Jacobians from ``rest`` (F, ...) to ``posed`` (P, F, ...)."""
    return TriangleJacobians(rest, posed)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """(V, 3) area-weighted mean normals of the triangles around each vertex."""
    corners = vertices[triangles]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(vertices).index_add_(0, triangles.flatten(), area.repeat_interleave(3, dim=0))
    return torch.nn.functional.normalize(total, dim=-1)

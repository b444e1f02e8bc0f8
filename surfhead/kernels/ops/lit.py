"""Colours under distant light (method: section 6)."""

from __future__ import annotations

from torch import Tensor


def lit_colours(
    raw: tuple[Tensor, Tensor | None, Tensor | None, Tensor | None],
    directions: Tensor,
    normals: Tensor,
    rotation: Tensor,
    world_normals: Tensor,
    quadrics: tuple[Tensor, Tensor],
    degree: int,
) -> Tensor | None:
    """(B, N, 3) a o S(n) + r(d) + F s R(m), not clamped, in one pass; None where no kernel serves.

    Unlike the other operations it does not stand beside its plain form: that is the appearance model `lit`,
    which also names the parts. m and F carry no gradient.

    Args:
        raw: of each surfel, before the sigmoid but for the residual: albedo (N, 3), residual (N, K, 3) or
            None, gloss s (N, 1) or None, occlusion o (N, 1) or None.
        directions, normals: (B, N, 3) unit, in rest space, the normals turned towards the camera.
        rotation: (B, N, 3, 3) world from rest.
        world_normals: (B, N, 3) n.
        quadrics: (13, 3) c, b and Q by rows of S and of R.
        degree: of the residual in use, 0 to 3.
    """
    given = (*raw, directions, normals, rotation, world_normals, *quadrics, degree)
    if directions.is_cuda:
        from surfhead.kernels import cuda

        return cuda.lit_colours(*given) if cuda.serves_lit(directions) else None
    from surfhead.kernels import cpu_lit

    return cpu_lit.lit_colours(*given) if cpu_lit.serves(directions) else None

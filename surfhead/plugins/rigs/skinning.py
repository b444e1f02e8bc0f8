"""What the rigs share: blendshapes, and the triangles across a mesh's edges.

Shapes: P poses, V vertices, F triangles, J joints, K blendshapes. Everything is batched over the poses,
differentiable in the pose parameters, and runs on the device of its inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.api import check_shape


def edge_neighbours(triangles: Tensor) -> Tensor:
    """The triangle across each edge, in the order v0v1, v1v2, v2v0.

    Args:
        triangles: (F, 3) int64 vertex indices.

    Returns:
        (F, 3) int64. The triangle's own index where an edge is open, and where more than two triangles
        share it, so that no neighbour is ever an arbitrary one of several.
    """
    check_shape("triangles", triangles, None, 3)
    count = len(triangles)
    own = torch.arange(count, device=triangles.device)[:, None].expand(count, 3)
    if count == 0:
        return own.clone()
    edges = torch.stack([triangles, triangles.roll(-1, dims=1)], dim=-1).reshape(-1, 2)
    low, high = edges.amin(dim=1), edges.amax(dim=1)
    key = low * (int(triangles.max()) + 1) + high
    _, group, sharing = torch.unique(key, return_inverse=True, return_counts=True)
    # In each pair of half edges the sum of the two triangle indices less one's own is the other's.
    total = torch.zeros(len(sharing), dtype=own.dtype, device=own.device)
    total.index_add_(0, group, own.reshape(-1))
    across = (total[group] - own.reshape(-1)).reshape(count, 3)
    return torch.where((sharing[group] == 2).reshape(count, 3), across, own)


def blend_shapes(basis: Tensor, coefficients: Tensor) -> Tensor:
    """The vertex offsets of a linear shape basis.

    Args:
        basis: (K, V, 3) metres per unit coefficient.
        coefficients: (P, K).

    Returns:
        (P, V, 3) metres.
    """
    check_shape("coefficients", coefficients, None, len(basis))
    return (coefficients @ basis.flatten(1)).reshape(len(coefficients), *basis.shape[1:])

"""What the rigs share: blendshapes, linear blend skinning, and the triangles across a mesh's edges.

Shapes: P poses, V vertices, F triangles, J joints, K blendshapes. Everything is batched over the poses,
differentiable in the pose parameters, and runs on the device of its inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.core.api import check_shape
from surfhead.maths import geometry


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


def joint_transforms(joints: Tensor, parents: Sequence[int], rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Where each joint's rigid frame carries a point of the rest shape (forward kinematics).

    A rest point x attached to joint j alone lands at ``linear[:, j] @ x + origin[:, j]``.

    Args:
        joints: (P, J, 3) rest positions of the joints, metres; a leading 1 is broadcast.
        parents: J parent indices, each smaller than the joint's own; -1 for a root.
        rotations: (P, J, 3, 3) rotation of each joint relative to its parent.

    Returns:
        linear (P, J, 3, 3) and origin (P, J, 3), metres.
    """
    count = len(parents)
    check_shape("rotations", rotations, None, count, 3, 3)
    joints = joints.expand(len(rotations), count, 3)
    linear: list[Tensor] = []
    position: list[Tensor] = []
    for joint, parent in enumerate(parents):
        if parent < 0:
            linear.append(rotations[:, joint])
            position.append(joints[:, joint])
        else:
            linear.append(linear[parent] @ rotations[:, joint])
            arm = (joints[:, joint] - joints[:, parent]).unsqueeze(-1)
            position.append(position[parent] + (linear[parent] @ arm).squeeze(-1))
    turned = torch.stack(linear, dim=1)
    origin = torch.stack(position, dim=1) - (turned @ joints.unsqueeze(-1)).squeeze(-1)
    return turned, origin


def linear_blend_skinning(
    vertices: Tensor, joints: Tensor, parents: Sequence[int], rotations: Tensor, weights: Tensor
) -> Tensor:
    """Pose vertices by the weighted mean of their joints' rigid transforms.

    Args:
        vertices: (P, V, 3) rest vertices (identity and expression applied), metres.
        joints: (P, J, 3) or (1, J, 3) rest positions of the joints, metres.
        parents: J parent indices, -1 for a root.
        rotations: (P, J, 3, 3) rotation of each joint relative to its parent.
        weights: (V, J) skin weights, rows summing to one.

    Returns:
        (P, V, 3) metres.

    Raises:
        ShapeError: when the shapes do not fit.
    """
    check_shape("vertices", vertices, None, None, 3)
    check_shape("weights", weights, vertices.shape[1], len(parents))
    linear, origin = joint_transforms(joints, parents, rotations)
    return _carried(vertices, torch.cat([linear.flatten(2), origin], dim=2), weights)


def _carried(vertices: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
    """(P, V, 3) vertices under the weighted means of transforms (P, J, 12)."""
    blended = weights @ transforms  # (P, V, 12)
    # row by row: batched products of small matrices are slow, and so are their gradients
    x, y, z = (vertices[..., i, None] for i in range(3))
    columns = blended[..., :9].reshape(*vertices.shape, 3).unbind(-1)
    posed: Tensor = columns[0] * x + columns[1] * y + columns[2] * z + blended[..., 9:]
    return posed


def pose_joints(vectors: Tensor, joints: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Forward kinematics from rotation vectors; on a GPU one kernel each way.

    Args:
        vectors: (P, J, 3) rotation of each joint relative to its parent, axis-angle, radians.
        joints: (P, J, 3) or (1, J, 3) rest positions of the joints, metres.
        parents: J parent indices, -1 for a root.

    Returns:
        Rotations relative to the parents (P, J, 3, 3), and transforms (P, J, 12): each joint's linear part by
        rows, then its origin (see ``joint_transforms``).
    """
    check_shape("vectors", vectors, None, len(parents), 3)
    if vectors.is_cuda and kernels.cuda.serves_joints(vectors, len(parents)):
        found: tuple[Tensor, Tensor] = kernels.cuda.pose_joints(vectors, joints, parents)
        return found
    rotations = geometry.axis_angle_to_matrix(vectors)
    linear, origin = joint_transforms(joints, parents, rotations)
    return rotations, torch.cat([linear.flatten(2), origin], dim=2)


def skin_vertices(vertices: Tensor, transforms: Tensor, weights: Tensor, translation: Tensor) -> Tensor:
    """Rest vertices carried by the weighted means of their joints' transforms, then moved; metres.

    Args:
        vertices: (P, V, 3) rest vertices (identity and expression applied).
        transforms: (P, J, 12), see ``pose_joints``.
        weights: (V, J) skin weights, rows summing to one; constants.
        translation: (P, 3).

    Returns:
        (P, V, 3).
    """
    check_shape("vertices", vertices, None, None, 3)
    check_shape("weights", weights, vertices.shape[1], transforms.shape[1])
    if vertices.is_cuda and kernels.cuda.serves_joints(vertices, transforms.shape[1]):
        posed: Tensor = kernels.cuda.skin_vertices(vertices, transforms, weights, translation)
        return posed
    return _carried(vertices, transforms, weights) + translation[:, None]

"""A rig's joints and skin: forward kinematics and linear blend skinning (method: section 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.core.types import check_shape
from surfhead.maths import geometry, launches


def pose_rows(tables: Sequence[Tensor], index: Tensor) -> tuple[Tensor, ...]:
    """The rows of poses in tables of all timesteps.

    Args:
        tables: each (T, d).
        index: (P,) int64, trusted to be in range.

    Returns:
        (P, d) of each.
    """
    if tables and all(table.is_cuda and kernels.serves(table) for table in tables):
        from surfhead.kernels import cuda

        if len(tables) <= cuda.MAX_TABLES:
            return cuda.pose_rows(tables, index)
    # not by [index], whose gradient sorts
    return tuple(launches.index_select(table, 0, index) for table in tables)


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


def _carried(vertices: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
    """(P, V, 3) vertices under the weighted means of transforms (P, J, 12)."""
    blended = weights @ transforms  # (P, V, 12)
    # row by row: batched products of small matrices are slow, and so are their gradients
    x, y, z = (vertices[..., i, None] for i in range(3))
    columns = blended[..., :9].reshape(*vertices.shape, 3).unbind(-1)
    posed: Tensor = columns[0] * x + columns[1] * y + columns[2] * z + blended[..., 9:]
    return posed


def pose_joints(vectors: Tensor, joints: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Forward kinematics from rotation vectors.

    Args:
        vectors: (P, J, 3) rotation of each joint relative to its parent, axis-angle, radians.
        joints: (P, J, 3) or (1, J, 3) rest positions of the joints, metres.
        parents: J parent indices, -1 for a root.

    Returns:
        Rotations relative to the parents (P, J, 3, 3), and transforms (P, J, 12): each joint's linear part by
        rows, then its origin (see ``joint_transforms``).
    """
    check_shape("vectors", vectors, None, len(parents), 3)
    if vectors.is_cuda:  # a CPU's library has no kernel for them
        from surfhead.kernels import cuda

        if cuda.serves_joints(vectors, len(parents)):
            return cuda.pose_joints(vectors, joints, parents)
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
    if vertices.is_cuda:
        from surfhead.kernels import cuda

        if cuda.serves_joints(vertices, transforms.shape[1]):
            return cuda.skin_vertices(vertices, transforms, weights, translation)
    return _carried(vertices, transforms, weights) + translation[:, None]

"""What FLAME trackers call their fields, and the ways in which they write rotations.

VHAP writes ``expr``, ``jaw_pose`` and so on; DECA and EMOCA ``exp`` and ``pose`` (head, then jaw) or
``expcode`` and ``posecode``; SMIRK ``expression_params``, ``pose_params`` and ``jaw_params``;
metrical-tracker ``exp``, ``R``, ``t`` and 6D rotations. A rotation is an axis-angle (3 numbers a joint), a 6D
rotation (6: the first two rows of the matrix, as PyTorch3D and metrical-tracker have it; Zhou et al., CVPR
2019) or a matrix (9).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import geometry

# parameter of the rig -> what its field may be called
NAMES = {
    "rotation": ("rotation", "global_orient", "global_pose", "global_rot", "head_pose", "R"),
    "neck": ("neck_pose", "neck", "neck_params"),
    "jaw": ("jaw_pose", "jaw", "jaw_params"),
    "eyes": ("eyes_pose", "eyes", "eye_pose", "eyes_params"),
    "expression": (
        *("expr", "exp", "expression", "expcode", "exp_code", "expression_params", "expression_coeffs"),
        *("exp_params", "expressions"),
    ),
    "translation": ("translation", "transl", "trans", "t"),
    "dynamic_offset": ("dynamic_offset",),
}
PARAMETER = {field: name for name, fields in NAMES.items() for field in fields}
POSES = ("pose", "poses", "posecode", "pose_code", "pose_params", "full_pose")
# numbers of a pose -> the parameters in it, in order
PARTS = {
    3: ("rotation",),
    6: ("rotation", "jaw"),
    15: ("rotation", "neck", "jaw", "eyes"),
}
IDENTITY = ("shape", "shapecode", "shape_params", "betas", "static_offset")
JOINTS = {"rotation": 1, "neck": 1, "jaw": 1, "eyes": 2}
# columns of a bare array -> the field that follows the expressions, and how many are expressions
BARE = {
    **{50: ("", 50), 53: ("jaw_pose", 50), 56: ("pose", 50)},
    **{100: ("", 100), 103: ("jaw_pose", 100), 106: ("pose", 100)},
}
ORTHONORMAL = 1e-3


def is_flame(fields: set[str]) -> bool:
    """Whether a field has a name that only FLAME's trackers use, and no rig of its own."""
    return bool((set(PARAMETER) - set(NAMES) | set(POSES)) & fields)


def widths(name: str) -> tuple[int, ...]:
    """The numbers a timestep that a parameter may have; none where any number will do."""
    if name in JOINTS:
        return tuple(JOINTS[name] * count for count in (3, 6, 9))
    return (3,) if name == "translation" else ()


def rows_of(name: str, value: np.ndarray) -> np.ndarray:
    """(T, d) of a field, less a leading axis of 1 that some trackers save.

    Args:
        name: the rig's parameter, or one of POSES.
        value: (T, ...), (1, T, d) or, for one joint, (T, 3, 3).
    """
    known = tuple(PARTS) if name in POSES else widths(name)
    while value.ndim > 2 and len(value) == 1 and name != "dynamic_offset":
        if JOINTS.get(name) == 1 and value.shape == (1, 3, 3) and _is_matrix(value[0]):
            break
        if known and value.shape[-1] not in known:
            break
        value = value[0]
    return value.reshape(len(value), -1)


def _is_matrix(value: np.ndarray) -> bool:
    return bool(np.abs(value @ value.T - np.eye(3)).max() < ORTHONORMAL)


def axis_angles(rows: Tensor, joints: int) -> Tensor | None:
    """(T, 3 joints) axis-angles of rotations (T, d) in any of the three ways; None where d fits none."""
    count = rows.shape[1] // joints if rows.shape[1] % joints == 0 else 0
    if count == 3:
        return rows
    if count == 9:
        matrices = rows.double().reshape(-1, 3, 3)
    elif count == 6:
        first, second = rows.double().reshape(-1, 2, 3).unbind(dim=1)
        first = torch.nn.functional.normalize(first, dim=-1)
        along = (first * second).sum(dim=-1, keepdim=True) * first
        second = torch.nn.functional.normalize(second - along, dim=-1)
        matrices = torch.stack([first, second, torch.linalg.cross(first, second)], dim=1)
    else:
        return None
    if bool((torch.linalg.det(matrices) - 1).abs().max() > ORTHONORMAL):
        return None
    return geometry.matrix_to_axis_angle(matrices).reshape(len(rows), -1).to(rows.dtype)


def split_pose(rows: Tensor) -> dict[str, Tensor] | None:
    """The parameters in a pose (T, d), axis-angles; None where d is no known number."""
    parts = PARTS.get(rows.shape[1])
    if parts is None:
        return None
    sizes = [3 * JOINTS[name] for name in parts]
    return dict(zip(parts, torch.split(rows, sizes, dim=1), strict=True))

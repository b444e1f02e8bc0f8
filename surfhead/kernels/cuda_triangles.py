"""Posed triangles' rotations and stretches, and the rotations between neighbours, on the GPU.

Twins: ``surfhead.maths.triangles.TriangleJacobians`` and ``relative_logarithms`` of the deformer ``jbs``
(docs/method.md, sections 3 and 4).
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from surfhead.kernels.cuda_operators import differentiate, register
from surfhead.kernels.cuda_structures import run_over, structure_fields

THREADS = 128  # of triangles.cu


class Triangles(ctypes.Structure):
    """struct Triangles of triangles.cu."""

    _fields_ = structure_fields(
        "poses triangles vertices",
        "position corners neighbours rest quaternion stretch centroid logarithm g_stretch g_centroid "
        "g_logarithm g_quaternion g_position",
    )


def _run(name: str, sizes: Triangles, device: torch.device, tensors: dict[str, Tensor | None]) -> None:
    grid = (-(-sizes.triangles // THREADS), sizes.poses)
    run_over("triangles", name, sizes, grid, THREADS, device, tensors)


# ---- pose_triangles --------------------------------------------------------------------------------------


def _pose(position: Tensor, corners: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    poses, vertices = position.shape[:2]
    count = len(corners)
    quaternion, stretch, centroid = (position.new_empty(poses, count, k) for k in (4, 6, 3))
    tensors: dict[str, Tensor | None] = {
        "position": position, "corners": corners, "rest": rest, "quaternion": quaternion,
        "stretch": stretch, "centroid": centroid,
    }  # fmt: skip
    _run("pose_triangles", Triangles(poses, count, vertices), position.device, tensors)
    return quaternion, stretch, centroid


def _pose_backward(
    g_quaternion: Tensor | None, g_stretch: Tensor | None, g_centroid: Tensor | None,
    position: Tensor, corners: Tensor, rest: Tensor, quaternion: Tensor,
) -> Tensor:  # fmt: skip
    g_position = position.new_zeros(position.shape)
    tensors: dict[str, Tensor | None] = {
        "position": position, "corners": corners, "rest": rest, "quaternion": quaternion,
        "g_quaternion": g_quaternion, "g_stretch": g_stretch, "g_centroid": g_centroid,
        "g_position": g_position,
    }  # fmt: skip
    sizes = Triangles(position.shape[0], len(corners), position.shape[1])
    _run("pose_triangles_backward", sizes, position.device, tensors)
    return g_position


def _fake_pose(position: Tensor, corners: Tensor, rest: Tensor) -> tuple[Tensor, ...]:
    return tuple(position.new_empty(position.shape[0], len(corners), k) for k in (4, 6, 3))


def _fake_pose_backward(*arguments: Any) -> Tensor:
    position: Tensor = arguments[3]
    return position.new_empty(position.shape)


def _keep_pose(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs, output[0])
    ctx.set_materialize_grads(False)


def _pose_autograd(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    if all(g is None for g in gradients):
        return None, None, None
    return torch.ops.surfhead.pose_triangles_cuda_backward(*gradients, *ctx.saved_tensors), None, None


# ---- relative_logarithms ---------------------------------------------------------------------------------


def _logarithms(quaternion: Tensor, neighbours: Tensor) -> Tensor:
    poses, count = quaternion.shape[:2]
    logarithm = quaternion.new_empty(poses, 3 * count, 3)
    tensors: dict[str, Tensor | None] = {
        "quaternion": quaternion, "neighbours": neighbours, "logarithm": logarithm
    }  # fmt: skip
    _run("relative_logarithms", Triangles(poses, count, 0), quaternion.device, tensors)
    return logarithm


def _logarithms_backward(g_logarithm: Tensor, quaternion: Tensor, neighbours: Tensor) -> Tensor:
    g_quaternion = quaternion.new_zeros(quaternion.shape)
    tensors: dict[str, Tensor | None] = {
        "quaternion": quaternion, "neighbours": neighbours, "g_logarithm": g_logarithm,
        "g_quaternion": g_quaternion,
    }  # fmt: skip
    sizes = Triangles(*quaternion.shape[:2], 0)
    _run("relative_logarithms_backward", sizes, quaternion.device, tensors)
    return g_quaternion


def _fake_logarithms(quaternion: Tensor, neighbours: Tensor) -> Tensor:
    return quaternion.new_empty(quaternion.shape[0], 3 * quaternion.shape[1], 3)


def _fake_logarithms_backward(g_logarithm: Tensor, quaternion: Tensor, neighbours: Tensor) -> Tensor:
    return quaternion.new_empty(quaternion.shape)


def _keep_logarithms(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _logarithms_autograd(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return torch.ops.surfhead.relative_logarithms_cuda_backward(gradient, *ctx.saved_tensors), None


register(
    "pose_triangles_cuda",
    "(Tensor position, Tensor corners, Tensor rest) -> (Tensor, Tensor, Tensor)",
    _pose,
    _fake_pose,
)
register(
    "pose_triangles_cuda_backward",
    "(Tensor? g_quaternion, Tensor? g_stretch, Tensor? g_centroid, Tensor position, Tensor corners, "
    "Tensor rest, Tensor quaternion) -> Tensor",
    _pose_backward,
    _fake_pose_backward,
)
differentiate("pose_triangles_cuda", _pose_autograd, _keep_pose)
register(
    "relative_logarithms_cuda",
    "(Tensor quaternion, Tensor neighbours) -> Tensor",
    _logarithms,
    _fake_logarithms,
)
register(
    "relative_logarithms_cuda_backward",
    "(Tensor g_logarithm, Tensor quaternion, Tensor neighbours) -> Tensor",
    _logarithms_backward,
    _fake_logarithms_backward,
)
differentiate("relative_logarithms_cuda", _logarithms_autograd, _keep_logarithms)


def pose_triangles(position: Tensor, corners: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (P, F, 4), stretches (P, F, 6) and centroids (P, F, 3) of posed triangles.

    Args:
        position: (P, V, 3) posed vertices, metres.
        corners: (F, 3) int64 vertex indices.
        rest: (F, 14) the rest triangles' ``TriangleFrames.rows``.
    """
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.surfhead.pose_triangles_cuda(position, corners, rest)
    return found


def relative_logarithms(quaternion: Tensor, neighbours: Tensor) -> Tensor:
    """(P, 3 F, 3) rotation vectors log(R_iᵀ R_j), radians: all first neighbours j, all second, all third.

    Args:
        quaternion: (P, F, 4) unit quaternions of the triangles' rotations.
        neighbours: (F, 3) int64 triangle indices.
    """
    found: Tensor = torch.ops.surfhead.relative_logarithms_cuda(quaternion, neighbours)
    return found

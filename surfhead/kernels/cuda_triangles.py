"""Posed triangles' rotations and stretches, and the rotations between neighbours, on the GPU.

Twins: ``surfhead.kernels.ops.blending`` (docs/method.md, sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields

THREADS = 128  # of triangles.cu


class Triangles(Sizes):
    """struct Triangles of triangles.cu."""

    _fields_ = structure_fields(
        "poses triangles vertices",
        "position corners neighbours rest quaternion stretch centroid logarithm g_stretch g_centroid "
        "g_logarithm g_quaternion g_position",
    )
    rules: ClassVar[dict[str, str]] = {
        "position": "poses vertices 3", "corners": "int64: triangles 3", "rest": "triangles 14",
        "quaternion": "poses triangles 4", "neighbours": "int64: triangles 3",
        "g_quaternion": "poses triangles 4", "g_stretch": "poses triangles 6",
        "g_centroid": "poses triangles 3", "g_logarithm": "poses 3*triangles 3",
    }  # fmt: skip


def _run(name: str, sizes: Triangles, device: torch.device, tensors: Mapping[str, Tensor | None]) -> None:
    grid = (-(-sizes.triangles // THREADS), sizes.poses)
    run_over("triangles", name, sizes, grid, THREADS, device, tensors)


# ---- pose_triangles --------------------------------------------------------------------------------------


def _pose(position: Tensor, corners: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    given = {"position": position, "corners": corners, "rest": rest}
    sizes = Triangles.of("pose_triangles", given)
    leading = (sizes.poses, sizes.triangles)
    quaternion, stretch, centroid = (position.new_empty(*leading, k) for k in (4, 6, 3))
    made = {"quaternion": quaternion, "stretch": stretch, "centroid": centroid}
    _run("pose_triangles", sizes, position.device, given | made)
    return quaternion, stretch, centroid


def _pose_backward(
    g_quaternion: Tensor | None, g_stretch: Tensor | None, g_centroid: Tensor | None,
    position: Tensor, corners: Tensor, rest: Tensor, quaternion: Tensor,
) -> Tensor:  # fmt: skip
    tensors: dict[str, Tensor | None] = {
        "position": position, "corners": corners, "rest": rest, "quaternion": quaternion,
        "g_quaternion": g_quaternion, "g_stretch": g_stretch, "g_centroid": g_centroid,
    }  # fmt: skip
    sizes = Triangles.of("pose_triangles_backward", tensors)
    g_position = tensors["g_position"] = position.new_zeros(position.shape)
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
    return operators.pose_triangles_cuda_backward(*gradients, *ctx.saved_tensors), None, None


# ---- relative_logarithms ---------------------------------------------------------------------------------


def _logarithms(quaternion: Tensor, neighbours: Tensor) -> Tensor:
    given = {"quaternion": quaternion, "neighbours": neighbours}
    sizes = Triangles.of("relative_logarithms", given)
    logarithm = quaternion.new_empty(sizes.poses, 3 * sizes.triangles, 3)
    _run("relative_logarithms", sizes, quaternion.device, given | {"logarithm": logarithm})
    return logarithm


def _logarithms_backward(g_logarithm: Tensor, quaternion: Tensor, neighbours: Tensor) -> Tensor:
    given = {"quaternion": quaternion, "neighbours": neighbours, "g_logarithm": g_logarithm}
    sizes = Triangles.of("relative_logarithms_backward", given)
    g_quaternion = quaternion.new_zeros(quaternion.shape)
    _run("relative_logarithms_backward", sizes, quaternion.device, given | {"g_quaternion": g_quaternion})
    return g_quaternion


def _fake_logarithms(quaternion: Tensor, neighbours: Tensor) -> Tensor:
    return quaternion.new_empty(quaternion.shape[0], 3 * quaternion.shape[1], 3)


def _fake_logarithms_backward(g_logarithm: Tensor, quaternion: Tensor, neighbours: Tensor) -> Tensor:
    return quaternion.new_empty(quaternion.shape)


def _keep_logarithms(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _logarithms_autograd(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return operators.relative_logarithms_cuda_backward(gradient, *ctx.saved_tensors), None


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
    found: tuple[Tensor, Tensor, Tensor] = operators.pose_triangles_cuda(position, corners, rest)
    return found


def relative_logarithms(quaternion: Tensor, neighbours: Tensor) -> Tensor:
    """(P, 3 F, 3) rotation vectors log(R_iᵀ R_j), radians: all first neighbours j, all second, all third.

    Args:
        quaternion: (P, F, 4) unit quaternions of the triangles' rotations.
        neighbours: (F, 3) int64 triangle indices.
    """
    found: Tensor = operators.relative_logarithms_cuda(quaternion, neighbours)
    return found

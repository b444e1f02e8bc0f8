"""Terms of the loss that shape the surface, each one kernel each way on the GPU, or one for both ways.

Twins: ``surfhead.kernels.ops.terms`` and ``excess`` of ``surfhead.kernels.ops.mesh_terms`` (docs/method.md,
sections 5 and 7).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields

THREADS, WIDE, TALL = 256, 32, 8  # of surface_terms.cu


class NormalTerm(Sizes):
    """struct NormalTerm of surface_terms.cu."""

    _fields_ = structure_fields(
        "views height width",
        "depth alpha normal intrinsics mask partial g_sum g_depth g_normal",
    )
    rules: ClassVar[dict[str, str]] = {
        "depth": "views height width", "alpha": "views height width", "normal": "views height width 3",
        "intrinsics": "views 3 3", "mask": "uint8: views height width", "g_sum": "",
    }  # fmt: skip


class LengthTerm(Sizes):
    """struct LengthTerm of surface_terms.cu."""

    _fields_ = structure_fields(
        "views surfels",
        "quaternion linear scale visible partial g_sum g_quaternion g_linear",
    )
    rules: ClassVar[dict[str, str]] = {
        "quaternion": "surfels 4", "linear": "views surfels 3 3", "scale": "surfels",
        "visible": "bool: views surfels", "g_sum": "",
    }  # fmt: skip


class Excess(Sizes):
    """struct Excess of surface_terms.cu."""

    _fields_ = structure_fields("surfels width each", "value seen host partial g_value", "limit")
    rules: ClassVar[dict[str, str]] = {
        "value": "surfels width", "seen": "bool: surfels", "host": "int64: surfels",
    }  # fmt: skip


def _picture_grid(depth: Tensor) -> tuple[int, int, int]:
    views, height, width = depth.shape
    return -(-width // WIDE), -(-height // TALL), views


# ---- normal ----------------------------------------------------------------------------------------------


def _normal(depth: Tensor, alpha: Tensor, normal: Tensor, intrinsics: Tensor, mask: Tensor | None) -> Tensor:
    tensors: dict[str, Tensor | None] = {
        "depth": depth, "alpha": alpha, "normal": normal, "intrinsics": intrinsics, "mask": mask
    }  # fmt: skip
    sizes = NormalTerm.of("normal_term", tensors)
    grid = across, down, views = _picture_grid(depth)
    partial = tensors["partial"] = depth.new_empty(views * across * down, 2)
    run_over("surface_terms", "normal_term", sizes, grid, THREADS, depth.device, tensors)
    return partial.sum(dim=0)


def _normal_backward(
    g_sum: Tensor, depth: Tensor, alpha: Tensor, normal: Tensor, intrinsics: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    given: dict[str, Tensor | None] = {
        "depth": depth, "alpha": alpha, "normal": normal, "intrinsics": intrinsics, "mask": mask,
        "g_sum": g_sum,
    }  # fmt: skip
    sizes, grid = NormalTerm.of("normal_term_backward", given), _picture_grid(depth)
    g_depth, g_normal = depth.new_empty(depth.shape), normal.new_empty(normal.shape)
    tensors = given | {"g_depth": g_depth, "g_normal": g_normal}
    run_over("surface_terms", "normal_term_backward", sizes, grid, THREADS, depth.device, tensors)
    return g_depth, g_normal


def _fake_normal(
    depth: Tensor, alpha: Tensor, normal: Tensor, intrinsics: Tensor, mask: Tensor | None
) -> Tensor:
    return depth.new_empty(2)


def _fake_normal_backward(
    g_sum: Tensor, depth: Tensor, alpha: Tensor, normal: Tensor, intrinsics: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    return depth.new_empty(depth.shape), normal.new_empty(normal.shape)


def _keep_normal(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, mask = inputs
    ctx.save_for_backward(*tensors, *([] if mask is None else [mask]))


def _normal_autograd(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    saved = [*ctx.saved_tensors, None][:5]
    g_depth, g_normal = operators.normal_term_cuda_backward(gradient[0], *saved)
    return g_depth, None, g_normal, None, None


# ---- normal_length ---------------------------------------------------------------------------------------


def _length(quaternion: Tensor, linear: Tensor, scale: Tensor, visible: Tensor) -> Tensor:
    given = {"quaternion": quaternion, "linear": linear, "scale": scale, "visible": visible}
    sizes = LengthTerm.of("length_term", given)
    blocks = -(-sizes.surfels // THREADS)
    partial = linear.new_empty(blocks, 2)
    tensors = given | {"partial": partial}
    run_over("surface_terms", "length_term", sizes, (blocks, 1), THREADS, linear.device, tensors)
    return partial.sum(dim=0)


def _length_backward(
    g_sum: Tensor, quaternion: Tensor, linear: Tensor, scale: Tensor, visible: Tensor
) -> tuple[Tensor, Tensor]:
    given = {"quaternion": quaternion, "linear": linear, "scale": scale, "visible": visible, "g_sum": g_sum}
    sizes = LengthTerm.of("length_term_backward", given)
    g_quaternion, g_linear = quaternion.new_empty(quaternion.shape), linear.new_empty(linear.shape)
    tensors = given | {"g_quaternion": g_quaternion, "g_linear": g_linear}
    grid = (-(-sizes.surfels // THREADS), 1)
    run_over("surface_terms", "length_term_backward", sizes, grid, THREADS, linear.device, tensors)
    return g_quaternion, g_linear


def _fake_length(quaternion: Tensor, linear: Tensor, scale: Tensor, visible: Tensor) -> Tensor:
    return linear.new_empty(2)


def _fake_length_backward(
    g_sum: Tensor, quaternion: Tensor, linear: Tensor, scale: Tensor, visible: Tensor
) -> tuple[Tensor, Tensor]:
    return quaternion.new_empty(quaternion.shape), linear.new_empty(linear.shape)


def _keep_length(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _length_autograd(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    found = operators.length_term_cuda_backward(gradient[0], *ctx.saved_tensors)
    return *found, None, None


# ---- excess ----------------------------------------------------------------------------------------------


def _excess(value: Tensor, seen: Tensor, host: Tensor, limit: float, each: bool) -> tuple[Tensor, Tensor]:
    given = {"value": value, "seen": seen, "host": host}
    sizes = Excess.of("excess", given)
    sizes.limit, sizes.each = limit, each
    blocks = -(-sizes.surfels // THREADS)
    partial, g_value = value.new_empty(blocks, 2), value.new_empty(value.shape)
    tensors = given | {"partial": partial, "g_value": g_value}
    run_over("surface_terms", "excess", sizes, (blocks, 1), THREADS, value.device, tensors)
    return partial.sum(dim=0), g_value


def _fake_excess(value: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return value.new_empty(2), value.new_empty(value.shape)


def _keep_excess(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _excess_autograd(ctx: Any, gradient: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    (g_value,) = ctx.saved_tensors
    return None if gradient is None else g_value * gradient[0], None, None, None, None


_NORMAL = "Tensor depth, Tensor alpha, Tensor normal, Tensor intrinsics, Tensor? mask"
_LENGTH = "Tensor quaternion, Tensor linear, Tensor scale, Tensor visible"
register("normal_term_cuda", f"({_NORMAL}) -> Tensor", _normal, _fake_normal)
register(
    "normal_term_cuda_backward",
    f"(Tensor g_sum, {_NORMAL}) -> (Tensor, Tensor)",
    _normal_backward,
    _fake_normal_backward,
)
differentiate("normal_term_cuda", _normal_autograd, _keep_normal)
register("length_term_cuda", f"({_LENGTH}) -> Tensor", _length, _fake_length)
register(
    "length_term_cuda_backward",
    f"(Tensor g_sum, {_LENGTH}) -> (Tensor, Tensor)",
    _length_backward,
    _fake_length_backward,
)
differentiate("length_term_cuda", _length_autograd, _keep_length)
register(
    "excess_cuda",
    "(Tensor value, Tensor seen, Tensor host, float limit, bool each) -> (Tensor, Tensor)",
    _excess,
    _fake_excess,
)
differentiate("excess_cuda", _excess_autograd, _keep_excess)


class _First(torch.autograd.Function):
    """What the gradient of a pair holds for its second number no kernel asks for, so nothing makes it."""

    @staticmethod
    def forward(ctx: Any, found: Tensor) -> Tensor:
        return found[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.expand(2)


def _pair(found: Tensor) -> tuple[Tensor, Tensor]:
    """The two scalars of (2,); the second is a constant."""
    return _First.apply(found), found.detach()[1]  # type: ignore[no-untyped-call]


def normal_term(
    depth: Tensor, alpha: Tensor, normal: Tensor, intrinsics: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sum of 1 - N·N_depth over the mask, pixels without a normal of the depth counting as 0; its sum.

    Args:
        depth: (B, H, W) camera z of the surface, metres. alpha: (B, H, W), a constant.
        normal: (B, H, W, 3) drawn normals. intrinsics: (B, 3, 3). mask: (B, H, W) uint8, or None: all.
    """
    found: Tensor = operators.normal_term_cuda(depth, alpha, normal, intrinsics, mask)
    return _pair(found)


def length_term(quaternion: Tensor, linear: Tensor, scale: Tensor, visible: Tensor) -> Tensor:
    """The mean of | |A^-T R̄ r e3| - 1 | over the visible surfels of all views; 0 where none is.

    Args:
        quaternion: (N, 4), of any length. linear: (B, N, 3, 3), every view with its own pose.
        scale: (N,) the length k in ``linear``, a constant. visible: (B, N) bool.
    """
    return _mean(operators.length_term_cuda(quaternion, linear, scale, visible))


def excess(value: Tensor, seen: Tensor, host: Tensor, limit: float, each: bool) -> Tensor:
    """The mean of relu(|x| - limit), or of |relu(exp(x) - limit)|, over the surfels seen on triangles.

    Args:
        value: (N, D) x. seen: (N,) bool. host: (N,) int64, -1 where there is no triangle.
        limit: in units of the values, or with ``each`` of their exponentials.
    """
    return _mean(operators.excess_cuda(value, seen, host, limit, each)[0])


def _mean(found: Tensor) -> Tensor:
    """Of a sum and how many it is of."""
    total, count = _pair(found)
    return total / count.clamp_min(1.0)

"""From canonical parameters to world surfels on the GPU: the stages that cost most, one kernel each way.

Twins: ``surfhead.kernels.ops.surfels`` and ``surfhead.kernels.ops.blending`` (docs/method.md, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.weak import WeakTensorKeyDictionary

from surfhead.kernels.choices import chosen
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields

THREADS = 128  # of skinning.cu
SHARES = 2  # of the poses, which blocks of the blend's backward take apart
PER_TRIANGLE = 4 + 3 * 3 + 6  # numbers of a rotation, three logarithms and a stretch


class Field(Sizes):
    """struct Field of skinning.cu."""

    _fields_ = structure_fields(
        "poses surfels",
        "offset log_scale quaternion linear origin mean tangents normal g_mean g_tangents g_normal "
        "g_beside g_offset g_log_scale g_quaternion g_linear",
    )
    rules: ClassVar[dict[str, str]] = {
        "linear": "poses surfels 3 3", "origin": "poses surfels 3", "offset": "surfels 3",
        "log_scale": "surfels 2", "quaternion": "surfels 4", "g_mean": "poses surfels 3",
        "g_tangents": "poses surfels 3 2", "g_normal": "poses surfels 3", "g_beside": "poses surfels 3 3",
    }  # fmt: skip


class Blend(Sizes):
    """struct Blend of skinning.cu."""

    _fields_ = structure_fields(
        "poses surfels triangles",
        "host neighbours weights quaternion logarithm stretch axes linear rotation g_linear g_rotation "
        "order g_weights g_quaternion g_logarithm g_stretch",
    )
    rules: ClassVar[dict[str, str]] = {
        "host": "int64: surfels", "order": "int64: surfels", "neighbours": "int64: triangles 3",
        "weights": "surfels 4",
        "quaternion": "poses triangles 4", "logarithm": "poses 3*triangles 3",
        "stretch": "poses triangles 6", "axes": "triangles 3 3", "g_linear": "poses surfels 3 3",
        "g_rotation": "poses surfels 3 3",
    }  # fmt: skip


class Shares(Sizes):
    """struct Shares of skinning.cu."""

    _fields_ = structure_fields(
        "surfels triangles", "host eyeballs boundary logits weights g_weights g_logits"
    )
    rules: ClassVar[dict[str, str]] = {
        "logits": "surfels 4", "host": "int64: surfels", "eyeballs": "bool: triangles",
        "boundary": "bool: triangles", "g_weights": "surfels 4",
    }  # fmt: skip


def _run(
    name: str, sizes: Any, device: torch.device, tensors: Mapping[str, Tensor | None], shares: int = 1
) -> None:
    run_over("skinning", name, sizes, (-(-sizes.surfels // THREADS), shares), THREADS, device, tensors)


# ---- apply_field -----------------------------------------------------------------------------------------


def _field(
    linear: Tensor, origin: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    given = {
        "linear": linear, "origin": origin, "offset": offset, "log_scale": log_scale,
        "quaternion": quaternion,
    }  # fmt: skip
    sizes = Field.of("apply_field", given)
    leading = (sizes.poses, sizes.surfels)
    mean, tangents = linear.new_empty(*leading, 3), linear.new_empty(*leading, 3, 2)
    normal = linear.new_empty(*leading, 3)
    made = {"mean": mean, "tangents": tangents, "normal": normal}
    _run("apply_field", sizes, linear.device, given | made)
    return mean, tangents, normal


def _field_backward(
    g_mean: Tensor | None, g_tangents: Tensor | None, g_normal: Tensor | None,
    linear: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor, beside: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    given: dict[str, Tensor | None] = {
        "linear": linear, "offset": offset, "log_scale": log_scale, "quaternion": quaternion,
        "g_mean": g_mean, "g_tangents": g_tangents, "g_normal": g_normal, "g_beside": beside,
    }  # fmt: skip
    sizes = Field.of("apply_field_backward", given)
    g_linear = linear.new_empty(sizes.poses, sizes.surfels, 3, 3)
    found = tuple(value.new_empty(value.shape) for value in (offset, log_scale, quaternion))
    made = {"g_offset": found[0], "g_log_scale": found[1], "g_quaternion": found[2], "g_linear": g_linear}
    _run("apply_field_backward", sizes, linear.device, given | made)
    return g_linear, found[0], found[1], found[2]


def _fake_field(
    linear: Tensor, origin: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    leading = linear.shape[:2]
    return linear.new_empty(*leading, 3), linear.new_empty(*leading, 3, 2), linear.new_empty(*leading, 3)


def _fake_field_backward(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(value.new_empty(value.shape) for value in arguments[3:7])


def _keep_field(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    linear, _, offset, log_scale, quaternion = inputs
    ctx.save_for_backward(linear, offset, log_scale, quaternion)
    ctx.set_materialize_grads(False)


def _field_autograd(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    g_linear, *own = operators.apply_field_cuda_backward(*gradients, *ctx.saved_tensors)
    return g_linear, gradients[0], *own


class _Passing(torch.autograd.Function):
    """The surfels, and the field's linear part for whoever takes it after: one pass adds both gradients."""

    @staticmethod
    def forward(
        ctx: Any, linear: Tensor, origin: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor
    ) -> tuple[Tensor, ...]:
        found = operators.apply_field_cuda(linear, origin, offset, log_scale, quaternion)
        ctx.save_for_backward(linear, offset, log_scale, quaternion)
        ctx.set_materialize_grads(False)
        return *found, linear.view_as(linear)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *own, beside = gradients
        g_linear, *rest = operators.apply_field_cuda_backward(*own, *ctx.saved_tensors, beside)
        return g_linear, own[0], *rest


# ---- neighbour_weights -----------------------------------------------------------------------------------


def _weights(logits: Tensor, host: Tensor, eyeballs: Tensor | None, boundary: Tensor | None) -> Tensor:
    given = {"logits": logits, "host": host, "eyeballs": eyeballs, "boundary": boundary}
    sizes = Shares.of("neighbour_weights", given)
    weights = logits.new_empty(logits.shape)
    _run("neighbour_weights", sizes, logits.device, given | {"weights": weights})
    return weights


def _weights_backward(
    g_weights: Tensor, logits: Tensor, host: Tensor, eyeballs: Tensor | None, boundary: Tensor | None
) -> Tensor:
    given = {
        "logits": logits, "host": host, "eyeballs": eyeballs, "boundary": boundary, "g_weights": g_weights
    }  # fmt: skip
    sizes = Shares.of("neighbour_weights_backward", given)
    g_logits = logits.new_empty(logits.shape)
    _run("neighbour_weights_backward", sizes, logits.device, given | {"g_logits": g_logits})
    return g_logits


def _fake_weights(logits: Tensor, *_: Any) -> Tensor:
    return logits.new_empty(logits.shape)


def _keep_weights(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _weights_autograd(ctx: Any, g_weights: Tensor) -> tuple[Tensor | None, ...]:
    return operators.neighbour_weights_cuda_backward(g_weights, *ctx.saved_tensors), None, None, None


# ---- blend_triangles -------------------------------------------------------------------------------------


def _blend(
    host: Tensor, neighbours: Tensor, weights: Tensor, quaternion: Tensor, logarithm: Tensor,
    stretch: Tensor, axes: Tensor, order: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    given = {
        "host": host, "neighbours": neighbours, "weights": weights, "quaternion": quaternion,
        "logarithm": logarithm, "stretch": stretch, "axes": axes, "order": order,
    }  # fmt: skip
    sizes = Blend.of("blend_triangles", given)
    shape = (sizes.poses, sizes.surfels, 3, 3)
    linear, rotation = weights.new_empty(shape), weights.new_empty(shape)
    _run("blend_triangles", sizes, weights.device, given | {"linear": linear, "rotation": rotation})
    return linear, rotation


def _shares(weights: Tensor, poses: int) -> int:
    """Rows of blocks among which the poses are shared out.

    A thread has so many registers that 100,000 surfels are one and a half times what a GPU holds at a time.
    """
    return min(SHARES, poses) if weights.is_cuda and chosen("poses") else 1


def _blend_backward(
    g_linear: Tensor | None, g_rotation: Tensor | None, host: Tensor, neighbours: Tensor, weights: Tensor,
    quaternion: Tensor, logarithm: Tensor, stretch: Tensor, axes: Tensor, order: Tensor | None, rig: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    tensors: dict[str, Tensor | None] = {
        "host": host, "neighbours": neighbours, "weights": weights, "quaternion": quaternion,
        "logarithm": logarithm, "stretch": stretch, "axes": axes, "order": order, "g_linear": g_linear,
        "g_rotation": g_rotation,
    }  # fmt: skip
    sizes = Blend.of("blend_triangles_backward", tensors)
    shares = _shares(weights, sizes.poses)
    make = weights.new_empty if shares == 1 else weights.new_zeros
    g_weights = tensors["g_weights"] = make(weights.shape)
    of_rig = quaternion.new_zeros(sizes.poses * sizes.triangles * PER_TRIANGLE if rig else 0)
    if rig:
        names = ("g_quaternion", "g_logarithm", "g_stretch")
        tensors |= dict(zip(names, _parts(of_rig, quaternion, logarithm, stretch), strict=True))
    _run("blend_triangles_backward", sizes, weights.device, tensors, shares)
    return g_weights, of_rig


def _parts(joint: Tensor, *alike: Tensor) -> list[Tensor]:
    """Consecutive parts of (K,) in the shapes of others: one launch zeroes them all."""
    parts = torch.split(joint, [value.numel() for value in alike])
    return [part.view(value.shape) for part, value in zip(parts, alike, strict=True)]


def _fake_blend(*arguments: Tensor) -> tuple[Tensor, Tensor]:
    weights, quaternion = arguments[2:4]
    shape = (quaternion.shape[0], weights.shape[0], 3, 3)
    return weights.new_empty(shape), weights.new_empty(shape)


def _fake_blend_backward(*arguments: Any) -> tuple[Tensor, ...]:
    weights, quaternion, rig = arguments[4], arguments[5], arguments[-1]
    count = quaternion.shape[0] * quaternion.shape[1] * PER_TRIANGLE if rig else 0
    return weights.new_empty(weights.shape), weights.new_empty(count)


def _keep_blend(ctx: Any, inputs: tuple[Tensor | None, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs)
    ctx.set_materialize_grads(False)


def _blend_autograd(
    ctx: Any, g_linear: Tensor | None, g_rotation: Tensor | None
) -> tuple[Tensor | None, ...]:
    rig = any(ctx.needs_input_grad[3:6])
    g_weights, of_rig = operators.blend_triangles_cuda_backward(g_linear, g_rotation, *ctx.saved_tensors, rig)
    parts = _parts(of_rig, *ctx.saved_tensors[3:6]) if rig else (None, None, None)
    return None, None, g_weights, *parts, None, None


_FIELD = "Tensor linear, Tensor origin, Tensor offset, Tensor log_scale, Tensor quaternion"
_BLEND = (
    "Tensor host, Tensor neighbours, Tensor weights, Tensor quaternion, Tensor logarithm, Tensor stretch, "
    "Tensor axes, Tensor? order"
)
register("apply_field_cuda", f"({_FIELD}) -> (Tensor, Tensor, Tensor)", _field, _fake_field)
register(
    "apply_field_cuda_backward",
    "(Tensor? g_mean, Tensor? g_tangents, Tensor? g_normal, Tensor linear, Tensor offset, Tensor log_scale, "
    "Tensor quaternion, Tensor? beside=None) -> (Tensor, Tensor, Tensor, Tensor)",
    _field_backward,
    _fake_field_backward,
)
differentiate("apply_field_cuda", _field_autograd, _keep_field)
_SHARES = "Tensor logits, Tensor host, Tensor? eyeballs, Tensor? boundary"
register("neighbour_weights_cuda", f"({_SHARES}) -> Tensor", _weights, _fake_weights)
register(
    "neighbour_weights_cuda_backward",
    f"(Tensor g_weights, {_SHARES}) -> Tensor",
    _weights_backward,
    _fake_weights,
)
differentiate("neighbour_weights_cuda", _weights_autograd, _keep_weights)
register("blend_triangles_cuda", f"({_BLEND}) -> (Tensor, Tensor)", _blend, _fake_blend)
register(
    "blend_triangles_cuda_backward",
    f"(Tensor? g_linear, Tensor? g_rotation, {_BLEND}, bool rig) -> (Tensor, Tensor)",
    _blend_backward,
    _fake_blend_backward,
)
differentiate("blend_triangles_cuda", _blend_autograd, _keep_blend)


def apply_field(
    linear: Tensor, origin: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (P, N, 3), tangents (P, N, 3, 2) and normal (P, N, 3) of canonical surfels under an affine field.

    Args:
        linear: (P, N, 3, 3), metres per unit. origin: (P, N, 3), metres.
        offset: (N, 3) units. log_scale: (N, 2). quaternion: (N, 4), of any length.
    """
    found: tuple[Tensor, Tensor, Tensor] = operators.apply_field_cuda(
        linear, origin, offset, log_scale, quaternion
    )
    return found


def apply_field_passing(
    linear: Tensor, origin: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``apply_field``, and ``linear``: gradients that reach that are added in its backward pass."""
    found: Any = _Passing.apply(  # type: ignore[no-untyped-call]
        linear, origin, offset, log_scale, quaternion
    )
    return found[0], found[1], found[2], found[3]


def neighbour_weights(
    logits: Tensor, host: Tensor, eyeballs: Tensor | None, boundary: Tensor | None
) -> Tensor:
    """(N, 4) sigmoids divided by their sum; [1, 0, 0, 0] where the host is of one of two regions.

    Args:
        logits: (N, 4). host: (N,) int64. eyeballs, boundary: (F,) bool, or None: no triangle.
    """
    found: Tensor = operators.neighbour_weights_cuda(logits, host, eyeballs, boundary)
    return found


def blend_triangles(
    host: Tensor,
    neighbours: Tensor,
    weights: Tensor,
    quaternion: Tensor,
    logarithm: Tensor,
    stretch: Tensor,
    axes: Tensor,
) -> tuple[Tensor, Tensor]:
    """Jacobian blend skinning: the field's linear part R_b U_b k R̄ and the rotation R_b, each (P, N, 3, 3).

    Args:
        host: (N,) int64. neighbours: (F, 3) int64. weights: (N, 4), of the host and its neighbours.
        quaternion: (P, F, 4) rotations R. logarithm: (P, 3 F, 3) log(R_iᵀ R_j), all first neighbours first.
        stretch: (P, F, 6) entries of U. axes: (F, 3, 3) the constant k R̄ of the rest triangles.
    """
    wanted = torch.is_grad_enabled() and (quaternion.requires_grad or stretch.requires_grad)
    order = host_order(host) if wanted and chosen("blocks") else None
    found: tuple[Tensor, Tensor] = operators.blend_triangles_cuda(
        host, neighbours, weights, quaternion, logarithm, stretch, side_by_side(axes), order
    )
    return found


_laid_out: Any = WeakTensorKeyDictionary()


def side_by_side(constant: Tensor) -> Tensor:
    """A constant with its rows one after another in memory, as kernels read it, copied once while it lives.

    Not kept where it would first be made while a CUDA graph is captured, whose memory it would be.
    """
    if constant.is_contiguous() or constant.requires_grad or constant.is_inference():
        return constant
    version, found = _laid_out.get(constant, (-1, None))
    if version != constant._version:
        found = constant.contiguous()
        inside = constant.is_cuda and torch.cuda.is_current_stream_capturing()
        if not inside and not found.is_inference():
            _laid_out[constant] = (constant._version, found)
    made: Tensor = found
    return made


_orders: Any = WeakTensorKeyDictionary()


def host_order(host: Tensor) -> Tensor | None:
    """(N,) surfels with those of one triangle side by side, made once for each tensor of hosts (N,) int64.

    None where it would first be made while a CUDA graph is captured, which must hold no sort.
    """
    version, order = _orders.get(host, (-1, None))
    if version != host._version:
        if host.is_cuda and torch.cuda.is_current_stream_capturing():
            return None
        order = torch.argsort(host, stable=True)
        _orders[host] = (host._version, order)
    found: Tensor | None = order
    return found

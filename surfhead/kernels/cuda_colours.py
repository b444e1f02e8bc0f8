"""View directions in rest space and harmonic colours on the GPU, every view with a pose of its own.

Twins: ``surfhead.avatars.avatar.rest_directions`` and the appearance models' ``Diffuse`` (docs/method.md,
section 6).
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from surfhead.kernels.cuda_operators import differentiate, register
from surfhead.kernels.cuda_structures import run_over, structure_fields

THREADS = 128  # of colours.cu


class Directions(ctypes.Structure):
    """struct Directions of colours.cu."""

    _fields_ = structure_fields(
        "views surfels",
        "mean normal rotation centre directions normals g_directions g_mean g_rotation",
    )


class Harmonics(ctypes.Structure):
    """struct Harmonics of colours.cu."""

    _fields_ = structure_fields(
        "views surfels degree count",
        "constant rest directions colour g_colour g_constant g_rest g_directions",
    )


def _blocks(surfels: int) -> int:
    return -(-surfels // THREADS)


# ---- rest_directions -------------------------------------------------------------------------------------


def _directions(mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    views, surfels = mean.shape[:2]
    directions, normals = mean.new_empty(mean.shape), mean.new_empty(mean.shape)
    tensors: dict[str, Tensor | None] = {
        "mean": mean, "normal": normal, "rotation": rotation, "centre": centre,
        "directions": directions, "normals": normals,
    }  # fmt: skip
    grid = (_blocks(surfels), views)
    run_over("colours", "rest_directions", Directions(views, surfels), grid, THREADS, mean.device, tensors)
    return directions, normals


def _directions_backward(
    g_directions: Tensor, mean: Tensor, rotation: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor]:
    views, surfels = mean.shape[:2]
    g_mean, g_rotation = mean.new_empty(mean.shape), mean.new_empty(rotation.shape)
    tensors: dict[str, Tensor | None] = {
        "mean": mean, "rotation": rotation, "centre": centre, "g_directions": g_directions,
        "g_mean": g_mean, "g_rotation": g_rotation,
    }  # fmt: skip
    grid, sizes = (_blocks(surfels), views), Directions(views, surfels)
    run_over("colours", "rest_directions_backward", sizes, grid, THREADS, mean.device, tensors)
    return g_mean, g_rotation


def _fake_directions(mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    return mean.new_empty(mean.shape), mean.new_empty(mean.shape)


def _fake_directions_backward(
    g_directions: Tensor, mean: Tensor, rotation: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor]:
    return mean.new_empty(mean.shape), mean.new_empty(rotation.shape)


def _keep_directions(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    mean, _, rotation, centre = inputs
    ctx.save_for_backward(mean, rotation, centre)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _directions_autograd(ctx: Any, g_directions: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    if g_directions is None:
        return None, None, None, None
    g_mean, g_rotation = torch.ops.surfhead.rest_directions_cuda_backward(g_directions, *ctx.saved_tensors)
    return g_mean, None, g_rotation, None


# ---- harmonic_colours ------------------------------------------------------------------------------------


def _colours(constant: Tensor, rest: Tensor, directions: Tensor, degree: int) -> Tensor:
    views, surfels = directions.shape[:2]
    colour = directions.new_empty(views, surfels, 3)
    tensors: dict[str, Tensor | None] = {
        "constant": constant, "rest": rest, "directions": directions, "colour": colour
    }  # fmt: skip
    sizes = Harmonics(views, surfels, degree, rest.shape[1])
    run_over("colours", "harmonic_colours", sizes, (_blocks(surfels), 1), THREADS, constant.device, tensors)
    return colour


def _colours_backward(
    g_colour: Tensor, constant: Tensor, rest: Tensor, directions: Tensor, degree: int, through: bool
) -> tuple[Tensor, Tensor, Tensor]:
    views, surfels = directions.shape[:2]
    found = constant.new_empty(constant.shape), rest.new_empty(rest.shape)
    g_directions = directions.new_empty(directions.shape if through else (0, 0, 3))
    tensors: dict[str, Tensor | None] = {
        "constant": constant, "rest": rest, "directions": directions, "g_colour": g_colour,
        "g_constant": found[0], "g_rest": found[1], "g_directions": g_directions if through else None,
    }  # fmt: skip
    sizes, grid = Harmonics(views, surfels, degree, rest.shape[1]), (_blocks(surfels), 1)
    run_over("colours", "harmonic_colours_backward", sizes, grid, THREADS, constant.device, tensors)
    return *found, g_directions


def _fake_colours(constant: Tensor, rest: Tensor, directions: Tensor, degree: int) -> Tensor:
    return directions.new_empty(*directions.shape[:2], 3)


def _fake_colours_backward(
    g_colour: Tensor, constant: Tensor, rest: Tensor, directions: Tensor, degree: int, through: bool
) -> tuple[Tensor, Tensor, Tensor]:
    g_directions = directions.new_empty(directions.shape if through else (0, 0, 3))
    return constant.new_empty(constant.shape), rest.new_empty(rest.shape), g_directions


def _keep_colours(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.degree = inputs
    ctx.save_for_backward(*tensors)


def _colours_autograd(ctx: Any, g_colour: Tensor) -> tuple[Tensor | None, ...]:
    through = ctx.needs_input_grad[2] and ctx.degree > 0
    g_constant, g_rest, g_directions = torch.ops.surfhead.harmonic_colours_cuda_backward(
        g_colour, *ctx.saved_tensors, ctx.degree, through
    )
    return g_constant, g_rest, g_directions if through else None, None


register(
    "rest_directions_cuda",
    "(Tensor mean, Tensor normal, Tensor rotation, Tensor centre) -> (Tensor, Tensor)",
    _directions,
    _fake_directions,
)
register(
    "rest_directions_cuda_backward",
    "(Tensor g_directions, Tensor mean, Tensor rotation, Tensor centre) -> (Tensor, Tensor)",
    _directions_backward,
    _fake_directions_backward,
)
differentiate("rest_directions_cuda", _directions_autograd, _keep_directions)
register(
    "harmonic_colours_cuda",
    "(Tensor constant, Tensor rest, Tensor directions, int degree) -> Tensor",
    _colours,
    _fake_colours,
)
register(
    "harmonic_colours_cuda_backward",
    "(Tensor g_colour, Tensor constant, Tensor rest, Tensor directions, int degree, bool through)"
    " -> (Tensor, Tensor, Tensor)",
    _colours_backward,
    _fake_colours_backward,
)
differentiate("harmonic_colours_cuda", _colours_autograd, _keep_colours)


def rest_directions(mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Unit directions from the cameras to the surfels and normals turned towards them, in rest space.

    Args:
        mean: (B, N, 3) world centres, every view with its own pose.
        normal: (B, N, 3) world normals; a constant.
        rotation: (B, N, 3, 3) world from rest.
        centre: (B, 3) the cameras' centres.

    Returns:
        (B, N, 3) directions, differentiable in mean and rotation, and (B, N, 3) normals, constants.
    """
    found: tuple[Tensor, Tensor] = torch.ops.surfhead.rest_directions_cuda(mean, normal, rotation, centre)
    return found


def harmonic_colours(constant: Tensor, rest: Tensor, directions: Tensor, degree: int) -> Tensor:
    """(B, N, 3) SH(d) + 0.5, not clamped.

    Args:
        constant: (N, 3) coefficients of degree 0.
        rest: (N, K, 3) those above, K at least (degree + 1)² - 1; those beyond count for nothing.
        directions: (B, N, 3) unit vectors.
        degree: the degree in use, 0 to 3.
    """
    found: Tensor = torch.ops.surfhead.harmonic_colours_cuda(constant, rest, directions, degree)
    return found

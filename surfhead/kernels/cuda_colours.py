"""View directions in rest space and harmonic colours on the GPU, every view with a pose of its own.

Twins: ``surfhead.kernels.ops.colours`` (docs/method.md, section 6).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from surfhead.core.errors import ShapeError
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields
from surfhead.maths import harmonics

THREADS = 128  # of colours.cu


class Directions(Sizes):
    """struct Directions of colours.cu."""

    _fields_ = structure_fields(
        "views surfels",
        "mean normal rotation centre directions normals g_directions g_beside g_mean g_rotation",
    )
    rules: ClassVar[dict[str, str]] = {
        "mean": "views surfels 3", "normal": "views surfels 3", "rotation": "views surfels 3 3",
        "centre": "views 3", "g_directions": "views surfels 3", "g_beside": "views surfels 3",
    }  # fmt: skip


class Facing(Sizes):
    """struct Facing of colours.cu."""

    _fields_ = structure_fields("views surfels", "mean normal quaternion centre vectors turned")
    rules: ClassVar[dict[str, str]] = {
        "mean": "views surfels 3", "normal": "views surfels 3", "quaternion": "surfels 4",
        "centre": "views 3", "vectors": "views surfels 3",
    }  # fmt: skip


class Harmonics(Sizes):
    """struct Harmonics of colours.cu."""

    _fields_ = structure_fields(
        "views surfels degree count",
        "constant rest directions colour g_colour g_constant g_rest g_directions",
    )
    rules: ClassVar[dict[str, str]] = {
        "constant": "surfels 3", "rest": "surfels count 3", "directions": "views surfels 3",
        "g_colour": "views surfels 3",
    }  # fmt: skip

    @classmethod
    def of_degree(cls, operation: str, tensors: dict[str, Tensor | None], degree: int) -> Harmonics:
        """The sizes for a degree; raises ShapeError where there are too few coefficients for it."""
        found = cls.of(operation, tensors, degree=degree)
        if not 0 <= degree <= harmonics.MAX_DEGREE or found.count < harmonics.size(degree) - 1:
            raise ShapeError(
                f'"rest" of kernel "{operation}" has {found.count} coefficients for degree {degree}.',
                f"Expected 0 to {harmonics.MAX_DEGREE}, and (degree + 1)² - 1 coefficients or more.",
                "Lower the degree.",
            )
        return found


def _blocks(surfels: int) -> int:
    return -(-surfels // THREADS)


# ---- rest_directions -------------------------------------------------------------------------------------


def _directions(mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    given = {"mean": mean, "normal": normal, "rotation": rotation, "centre": centre}
    sizes = Directions.of("rest_directions", given)
    directions, normals = mean.new_empty(mean.shape), mean.new_empty(mean.shape)
    tensors = given | {"directions": directions, "normals": normals}
    grid = (_blocks(sizes.surfels), sizes.views)
    run_over("colours", "rest_directions", sizes, grid, THREADS, mean.device, tensors)
    return directions, normals


def _directions_backward(
    g_directions: Tensor, mean: Tensor, rotation: Tensor, centre: Tensor, beside: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    given: dict[str, Tensor | None] = {
        "mean": mean, "rotation": rotation, "centre": centre, "g_directions": g_directions,
        "g_beside": beside,
    }  # fmt: skip
    sizes = Directions.of("rest_directions_backward", given)
    g_mean, g_rotation = mean.new_empty(mean.shape), mean.new_empty(rotation.shape)
    tensors = given | {"g_mean": g_mean, "g_rotation": g_rotation}
    grid = (_blocks(sizes.surfels), sizes.views)
    run_over("colours", "rest_directions_backward", sizes, grid, THREADS, mean.device, tensors)
    return g_mean, g_rotation


def _fake_directions(mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    return mean.new_empty(mean.shape), mean.new_empty(mean.shape)


def _fake_directions_backward(
    g_directions: Tensor, mean: Tensor, rotation: Tensor, centre: Tensor, beside: Tensor | None = None
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
    g_mean, g_rotation = operators.rest_directions_cuda_backward(g_directions, *ctx.saved_tensors)
    return g_mean, None, g_rotation, None


class _Passing(torch.autograd.Function):
    """Directions and normals, and the means for whoever takes them after: one pass adds both gradients."""

    @staticmethod
    def forward(
        ctx: Any, mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        directions, normals = operators.rest_directions_cuda(mean, normal, rotation, centre)
        ctx.save_for_backward(mean, rotation, centre)
        ctx.mark_non_differentiable(normals)
        ctx.set_materialize_grads(False)
        return directions, normals, mean.view_as(mean)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g_directions: Tensor | None, _: Any, beside: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if g_directions is None:
            return beside, None, None, None
        g_mean, g_rotation = operators.rest_directions_cuda_backward(g_directions, *ctx.saved_tensors, beside)
        return g_mean, None, g_rotation, None


# ---- facing_normals --------------------------------------------------------------------------------------


def _facing(
    mean: Tensor, normal: Tensor, quaternion: Tensor | None, centre: Tensor, vectors: Tensor
) -> Tensor:
    given: dict[str, Tensor | None] = {
        "mean": mean, "normal": normal, "quaternion": quaternion, "centre": centre, "vectors": vectors
    }  # fmt: skip
    sizes = Facing.of("facing_normals", given)
    turned = vectors.new_empty(vectors.shape)
    grid = (_blocks(sizes.surfels), sizes.views)
    run_over("colours", "facing_normals", sizes, grid, THREADS, mean.device, given | {"turned": turned})
    return turned


def _fake_facing(
    mean: Tensor, normal: Tensor, quaternion: Tensor | None, centre: Tensor, vectors: Tensor
) -> Tensor:
    return vectors.new_empty(vectors.shape)


def _keep_facing(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])


def _facing_autograd(ctx: Any, g_turned: Tensor) -> tuple[Tensor | None, ...]:
    found = operators.facing_normals_cuda(*ctx.saved_tensors, g_turned.contiguous())
    return None, None, None, None, found


# ---- harmonic_colours ------------------------------------------------------------------------------------


def _colours(constant: Tensor, rest: Tensor, directions: Tensor, degree: int) -> Tensor:
    tensors: dict[str, Tensor | None] = {"constant": constant, "rest": rest, "directions": directions}
    sizes = Harmonics.of_degree("harmonic_colours", tensors, degree)
    colour = directions.new_empty(sizes.views, sizes.surfels, 3)
    grid = (_blocks(sizes.surfels), 1)
    tensors["colour"] = colour
    run_over("colours", "harmonic_colours", sizes, grid, THREADS, constant.device, tensors)
    return colour


def _colours_backward(
    g_colour: Tensor, constant: Tensor, rest: Tensor, directions: Tensor, degree: int, through: bool
) -> tuple[Tensor, Tensor, Tensor]:
    tensors: dict[str, Tensor | None] = {
        "constant": constant, "rest": rest, "directions": directions, "g_colour": g_colour
    }  # fmt: skip
    sizes = Harmonics.of_degree("harmonic_colours_backward", tensors, degree)
    found = constant.new_empty(constant.shape), rest.new_empty(rest.shape)
    g_directions = directions.new_empty(directions.shape if through else (0, 0, 3))
    tensors |= {"g_constant": found[0], "g_rest": found[1]}
    tensors["g_directions"] = g_directions if through else None
    grid = (_blocks(sizes.surfels), 1)
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
    g_constant, g_rest, g_directions = operators.harmonic_colours_cuda_backward(
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
    "(Tensor g_directions, Tensor mean, Tensor rotation, Tensor centre, Tensor? beside=None)"
    " -> (Tensor, Tensor)",
    _directions_backward,
    _fake_directions_backward,
)
differentiate("rest_directions_cuda", _directions_autograd, _keep_directions)
register(
    "facing_normals_cuda",
    "(Tensor mean, Tensor normal, Tensor? quaternion, Tensor centre, Tensor vectors) -> Tensor",
    _facing,
    _fake_facing,
)
differentiate("facing_normals_cuda", _facing_autograd, _keep_facing)
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
    found: tuple[Tensor, Tensor] = operators.rest_directions_cuda(mean, normal, rotation, centre)
    return found


def rest_directions_passing(
    mean: Tensor, normal: Tensor, rotation: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """``rest_directions``, and the means: gradients that reach these are added in its backward pass."""
    found: Any = _Passing.apply(mean, normal, rotation, centre)  # type: ignore[no-untyped-call]
    return found[0], found[1], found[2]


def facing_normals(mean: Tensor, normal: Tensor, quaternion: Tensor | None, centre: Tensor) -> Tensor:
    """(B, N, 3) unit normals on the cameras' side, differentiable in ``normal`` alone.

    Args:
        mean: (B, N, 3) world centres, every view with its own pose.
        normal: (B, N, 3) world normals.
        quaternion: (N, 4) the surfels' turns in their triangles' frames, of any length; None: there are none.
        centre: (B, 3) the cameras' centres.
    """
    still = None if quaternion is None else quaternion.detach()
    found: Tensor = operators.facing_normals_cuda(mean.detach(), normal.detach(), still, centre, normal)
    return found


def harmonic_colours(constant: Tensor, rest: Tensor, directions: Tensor, degree: int) -> Tensor:
    """(B, N, 3) SH(d) + 0.5, not clamped.

    Args:
        constant: (N, 3) coefficients of degree 0.
        rest: (N, K, 3) those above, K at least (degree + 1)² - 1; those beyond count for nothing.
        directions: (B, N, 3) unit vectors.
        degree: the degree in use, 0 to 3.
    """
    found: Tensor = operators.harmonic_colours_cuda(constant, rest, directions, degree)
    return found

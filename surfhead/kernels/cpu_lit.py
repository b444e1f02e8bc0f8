"""Colours under distant light as one operator each way on a CPU (cpu/lit_colours.h).

Twin: ``surfhead.kernels.ops.lit`` (docs/method.md, section 6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels import cpu_rows
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, structure_fields
from surfhead.maths import harmonics

MODULE = "lit_colours"


class Lit(Sizes):
    """struct Lit of lit.h."""

    _fields_ = structure_fields(
        "views surfels degree count",
        "albedo residual gloss occlusion directions normals rotation world_normals shading mirror colour "
        "g_colour g_albedo g_residual g_gloss g_occlusion g_directions g_world_normals g_shading g_mirror "
        "sums",
    )
    rules: ClassVar[dict[str, str]] = {
        "albedo": "surfels 3", "residual": "surfels count 3", "gloss": "surfels 1",
        "occlusion": "surfels 1", "directions": "views surfels 3", "normals": "views surfels 3",
        "rotation": "views surfels 3 3", "world_normals": "views surfels 3", "shading": "13 3",
        "mirror": "13 3", "g_colour": "views surfels 3",
    }  # fmt: skip


INPUTS = (
    "albedo",
    "residual",
    "gloss",
    "occlusion",
    "directions",
    "normals",
    "rotation",
    "world_normals",
    "shading",
    "mirror",
)
LEARNT = ("albedo", "residual", "gloss", "occlusion", "directions", "world_normals", "shading", "mirror")


def serves(tensor: Tensor) -> bool:
    """Whether the native library can colour surfels that lie where this tensor does."""
    return cpu_rows.serves(tensor) and cpu_rows.knows(MODULE)


def check_degree(name: str, degree: int, count: int) -> None:
    """Raise ShapeError for a degree that there is not, or that a residual has no coefficients for."""
    if not 0 <= degree <= harmonics.MAX_DEGREE or count < harmonics.size(degree) - 1:
        raise ShapeError(
            f'"residual" of kernel "{name}" has {count} coefficients for degree {degree}.',
            f"Expected 0 to {harmonics.MAX_DEGREE}, and (degree + 1)² - 1 coefficients or more.",
            "Lower the degree.",
        )


def _run(name: str, given: dict[str, Tensor | None], made: dict[str, Tensor], degree: int) -> None:
    """Point the structure at the tensors, and run a kernel. Raises ShapeError."""
    sizes = Lit.of(name, given, degree=degree)
    if given["residual"] is None:
        sizes.count = 0
    check_degree(name, degree, sizes.count)
    kept = {key: value.contiguous() for key, value in given.items() if value is not None} | made
    for field, value in kept.items():
        setattr(sizes, field, value.data_ptr())
    cpu_rows.run(MODULE, name, sizes, (sizes.surfels, 1), 1)


def _colours(*arguments: Any) -> Tensor:
    """(B, N, 3) colours, not clamped; the arguments are INPUTS and the degree."""
    *tensors, degree = arguments
    given = dict(zip(INPUTS, tensors, strict=True))
    colour: Tensor = given["directions"].new_empty(given["directions"].shape)
    _run("lit_colours", given, {"colour": colour}, degree)
    return colour


def _backward(g_colour: Tensor, *arguments: Any) -> list[Tensor]:
    """The gradients of LEARNT; those of what is not there are empty."""
    *tensors, degree = arguments
    given = dict(zip(INPUTS, tensors, strict=True))
    # a kernel of no surfels writes nothing
    make = torch.empty_like if len(given["albedo"]) else torch.zeros_like
    found = {
        name: torch.empty(0) if given[name] is None else make(given[name].contiguous()) for name in LEARNT
    }
    made = {f"g_{name}": value for name, value in found.items() if given[name] is not None}
    _run("lit_colours_backward", {**given, "g_colour": g_colour}, made, degree)
    return [found[name] for name in LEARNT]


def fake(*arguments: Any) -> Tensor:
    """The colours' shape."""
    directions: Tensor = arguments[INPUTS.index("directions")]
    return directions.new_empty(directions.shape)


def fake_backward(g_colour: Tensor, *arguments: Any) -> list[Tensor]:
    """The shapes of the gradients of ``LEARNT``."""
    given = dict(zip(INPUTS, arguments[:-1], strict=True))
    return [
        g_colour.new_empty(0) if given[name] is None else given[name].new_empty(given[name].shape)
        for name in LEARNT
    ]


def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save what the gradient needs."""
    *tensors, ctx.degree = inputs
    ctx.given = [tensor is not None for tensor in tensors]
    ctx.save_for_backward(*(tensor for tensor in tensors if tensor is not None))


def gradient_by(name: str) -> Callable[..., tuple[Tensor | None, ...]]:
    """The gradient of all arguments by the operator of this name, which gives those of ``LEARNT``."""

    def gradient(ctx: Any, g_colour: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        tensors = [next(saved) if there else None for there in ctx.given]
        made = getattr(operators, name)(g_colour, *tensors, ctx.degree)
        found = dict(zip(LEARNT, made, strict=True))
        there = zip(INPUTS, ctx.given, strict=True)
        return (*(found.get(name) if given else None for name, given in there), None)

    return gradient


ARGUMENTS = (
    "Tensor albedo, Tensor? residual, Tensor? gloss, Tensor? occlusion, Tensor directions, Tensor normals, "
    "Tensor rotation, Tensor world_normals, Tensor shading, Tensor mirror, int degree"
)
register("lit_colours_cpu", f"({ARGUMENTS}) -> Tensor", _colours, fake, ("CPU",))
register(
    "lit_colours_cpu_backward",
    f"(Tensor g_colour, {ARGUMENTS}) -> Tensor[]",
    _backward,
    fake_backward,
    ("CPU",),
)
differentiate("lit_colours_cpu", gradient_by("lit_colours_cpu_backward"), keep)
lit_colours = operators.lit_colours_cpu
"""``_colours`` as an operator of PyTorch, with gradients."""

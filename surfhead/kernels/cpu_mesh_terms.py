"""Terms of the loss over a rig's triangles on a CPU (cpu/mesh_terms.h).

A term and its gradient are made in one pass, so that what is left for the way back is one product. Twins:
``surfhead.kernels.ops.mesh_terms``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from surfhead.kernels import cpu_rows
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, structure_fields

MODULE = "mesh_terms"


class _Surroundings(Sizes):
    """struct Surroundings of mesh_terms.h."""

    _fields_ = structure_fields("surfels width triangles", "values weight host neighbours goal")
    rules: ClassVar[dict[str, str]] = {
        "values": "surfels width", "weight": "surfels", "host": "int64: surfels",
        "neighbours": "int64: triangles 3",
    }  # fmt: skip


class _Roughness(Sizes):
    """struct Roughness of mesh_terms.h."""

    _fields_ = structure_fields("surfels triangles", "colour weight host neighbours sum g_colour", "edge")
    rules: ClassVar[dict[str, str]] = {
        "colour": "surfels 3", "weight": "surfels", "host": "int64: surfels",
        "neighbours": "int64: triangles 3",
    }  # fmt: skip


class _Slant(Sizes):
    """struct Slant of mesh_terms.h."""

    _fields_ = structure_fields("surfels triangles", "quaternion offset table host trust sum g_quaternion")
    rules: ClassVar[dict[str, str]] = {
        "quaternion": "surfels 4", "offset": "surfels 3", "table": "18 triangles", "host": "int64: surfels",
        "trust": "2 triangles",
    }  # fmt: skip


class _Excess(Sizes):
    """struct Excess of mesh_terms.h."""

    _fields_ = structure_fields("surfels width each", "value seen host sum g_value", "limit")
    rules: ClassVar[dict[str, str]] = {
        "value": "surfels width", "seen": "bool: surfels", "host": "int64: surfels",
    }  # fmt: skip


def serves(tensor: Tensor) -> bool:
    """Whether the native library has these terms for surfels that lie where this tensor does."""
    return cpu_rows.serves(tensor) and cpu_rows.knows(MODULE, "excess")


def _run(name: str, sizes: Any, given: dict[str, Tensor], made: dict[str, Tensor]) -> None:
    kept = {key: value.contiguous() for key, value in given.items()} | made
    for field, value in kept.items():
        setattr(sizes, field, value.data_ptr())
    cpu_rows.run(MODULE, name, sizes, (1, 1), 1)


def surroundings(values: Tensor, weight: Tensor, host: Tensor, neighbours: Tensor) -> Tensor:
    """(N, D) weighted means around each surfel; nothing of it is differentiable."""
    given = {
        "values": values.detach(),
        "weight": weight.detach(),
        "host": host,
        "neighbours": neighbours,
    }
    goal = values.new_empty(values.shape)
    _run("surroundings", _Surroundings.of("surroundings", given), given, {"goal": goal})
    return goal


def _roughness(
    colour: Tensor, weight: Tensor, host: Tensor, neighbours: Tensor, edge: float
) -> tuple[Tensor, Tensor]:
    given = {"colour": colour, "weight": weight, "host": host, "neighbours": neighbours}
    sizes = _Roughness.of("roughness", given)
    sizes.edge = edge
    made = {"sum": colour.new_empty(()), "g_colour": colour.new_empty(colour.shape)}
    _run("roughness", sizes, given, made)
    return made["sum"], made["g_colour"]


def _slant(
    quaternion: Tensor, offset: Tensor, table: Tensor, host: Tensor, trust: Tensor
) -> tuple[Tensor, Tensor]:
    given = {"quaternion": quaternion, "offset": offset, "table": table, "host": host, "trust": trust}
    made = {"sum": quaternion.new_empty(()), "g_quaternion": quaternion.new_empty(quaternion.shape)}
    _run("slant", _Slant.of("slant", given), given, made)
    return made["sum"], made["g_quaternion"]


def _excess(value: Tensor, seen: Tensor, host: Tensor, limit: float, each: bool) -> tuple[Tensor, Tensor]:
    given = {"value": value, "seen": seen, "host": host}
    sizes = _Excess.of("excess", given)
    sizes.limit, sizes.each = limit, each
    made = {"sum": value.new_empty(()), "g_value": value.new_empty(value.shape)}
    _run("excess", sizes, given, made)
    return made["sum"], made["g_value"]


def _fake(value: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return value.new_empty(()), value.new_empty(value.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.others = len(inputs) - 1
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1])


def _gradient(ctx: Any, g_sum: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    found = None if g_sum is None else ctx.saved_tensors[0] * g_sum
    return (found, *(None,) * ctx.others)


def _operator(name: str, schema: str, run: Callable[..., Any]) -> Any:
    register(name, f"({schema}) -> (Tensor, Tensor)", run, _fake, ("CPU",))
    differentiate(name, _gradient, _keep)
    return getattr(operators, name)


roughness = _operator(
    "roughness_cpu",
    "Tensor colour, Tensor weight, Tensor host, Tensor neighbours, float edge",
    _roughness,
)
"""``_roughness`` as an operator of PyTorch, with the gradient of the colours."""
slant = _operator(
    "slant_cpu", "Tensor quaternion, Tensor offset, Tensor table, Tensor host, Tensor trust", _slant
)
"""``_slant`` as an operator of PyTorch, with the gradient of the quaternions."""
excess = _operator("excess_cpu", "Tensor value, Tensor seen, Tensor host, float limit, bool each", _excess)
"""``_excess`` as an operator of PyTorch, with the gradient of the value."""

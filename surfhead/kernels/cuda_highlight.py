"""What a highlight's perceptron looks at, one kernel each way; on a CPU it is cpu/lobe_inputs.h.

Twin: ``surfhead.kernels.ops.lobes`` (docs/method.md, section 6).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields

THREADS = 128  # of highlight.cu
BESIDES = 16  # inputs that are no responses (lobes.h)
MAX_LOBES = 32


class Lobes(Sizes):
    """struct Lobes of highlight.cu."""

    _fields_ = structure_fields(
        "views surfels lobes sharpnesses columns",
        "raw axes directions normals inputs g_inputs g_raw g_directions",
    )
    rules: ClassVar[dict[str, str]] = {
        "axes": "lobes 3 3", "raw": "surfels numbers", "directions": "views surfels 3",
        "normals": "views surfels 3", "g_inputs": "views surfels columns",
    }  # fmt: skip

    @classmethod
    def of_network(cls, operation: str, tensors: dict[str, Tensor | None], anisotropic: bool) -> Lobes:
        """The sizes; raises ShapeError where the numbers of a surfel are not those of its lobes."""
        sharpnesses = 2 if anisotropic else 1
        axes, raw = tensors["axes"], tensors["raw"]
        assert axes is not None
        assert raw is not None
        count = len(axes)
        columns = 2 * count + BESIDES
        if not serves(count) or raw.shape[-1] != (2 + sharpnesses) * count:
            raise ShapeError(
                f'"raw" of kernel "{operation}" is {tuple(raw.shape)} for {count} lobes.',
                f"Expected (surfels, {(2 + sharpnesses) * count}), and 1, 2, 4, 8, 16 or 32 lobes.",
                "Check how it was built.",
            )
        return cls.of(operation, tensors, sharpnesses=sharpnesses, columns=columns)


def serves(lobes: int) -> bool:
    """Whether the kernels know so many lobes: a power of two, at most a warp."""
    return 0 < lobes <= MAX_LOBES and lobes & (lobes - 1) == 0


def _run(name: str, sizes: Lobes, device: torch.device, tensors: dict[str, Tensor | None]) -> None:
    grid = (-(-sizes.surfels * sizes.lobes // THREADS), 1)
    run_over("highlight", name, sizes, grid, THREADS, device, tensors)


def _inputs(raw: Tensor, axes: Tensor, directions: Tensor, normals: Tensor, anisotropic: bool) -> Tensor:
    given: dict[str, Tensor | None] = {
        "axes": axes, "raw": raw, "directions": directions, "normals": normals
    }  # fmt: skip
    sizes = Lobes.of_network("lobe_inputs", given, anisotropic)
    inputs = raw.new_empty(sizes.views, sizes.surfels, sizes.columns)
    _run("lobe_inputs", sizes, raw.device, given | {"inputs": inputs})
    return inputs


def _inputs_backward(
    g_inputs: Tensor, raw: Tensor, axes: Tensor, directions: Tensor, normals: Tensor, anisotropic: bool
) -> tuple[Tensor, Tensor]:
    given: dict[str, Tensor | None] = {
        "axes": axes, "raw": raw, "directions": directions, "normals": normals, "g_inputs": g_inputs
    }  # fmt: skip
    sizes = Lobes.of_network("lobe_inputs_backward", given, anisotropic)
    g_raw, g_directions = raw.new_empty(raw.shape), directions.new_empty(directions.shape)
    made: dict[str, Tensor | None] = {"g_raw": g_raw, "g_directions": g_directions}
    _run("lobe_inputs_backward", sizes, raw.device, given | made)
    return g_raw, g_directions


def _fake_inputs(raw: Tensor, axes: Tensor, directions: Tensor, normals: Tensor, anisotropic: bool) -> Tensor:
    return raw.new_empty(*directions.shape[:2], 2 * axes.shape[0] + BESIDES)


def _fake_inputs_backward(*arguments: Any) -> tuple[Tensor, Tensor]:
    raw, directions = arguments[1], arguments[3]
    return raw.new_empty(raw.shape), directions.new_empty(directions.shape)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.anisotropic = inputs
    ctx.save_for_backward(*tensors)


def _inputs_autograd(ctx: Any, g_inputs: Tensor) -> tuple[Tensor | None, ...]:
    g_raw, g_directions = operators.lobe_inputs_cuda_backward(g_inputs, *ctx.saved_tensors, ctx.anisotropic)
    return g_raw, None, g_directions, None, None


_ARGUMENTS = "Tensor raw, Tensor axes, Tensor directions, Tensor normals, bool anisotropic"
register("lobe_inputs_cuda", f"({_ARGUMENTS}) -> Tensor", _inputs, _fake_inputs)
register(
    "lobe_inputs_cuda_backward",
    f"(Tensor g_inputs, {_ARGUMENTS}) -> (Tensor, Tensor)",
    _inputs_backward,
    _fake_inputs_backward,
)
differentiate("lobe_inputs_cuda", _inputs_autograd, _keep_inputs)


def lobe_inputs(raw: Tensor, axes: Tensor, directions: Tensor, normals: Tensor, anisotropic: bool) -> Tensor:
    """(B, M, 2 L + 16) responses of L lobes, and facing, direction, sines and cosines.

    Args:
        raw: (M, (2 + k) L) amplitudes by pairs, then sharpnesses before softplus, all of a kind together;
            k is 2 for anisotropic lobes, else 1.
        axes: (L, 3, 3), constants; L a power of two, at most 32.
        directions: (B, M, 3) unit vectors. normals: (B, M, 3) unit vectors, which get no gradient.
        anisotropic: the kind of lobe.
    """
    found: Tensor = operators.lobe_inputs_cuda(raw, axes, directions, normals, anisotropic)
    return found

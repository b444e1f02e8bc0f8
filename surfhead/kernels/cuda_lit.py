"""Colours under distant light on the GPU: one kernel forward, three backward (cuda/lit_colours.cu).

Twin: the appearance model `lit` (docs/method.md, section 6); on a CPU: ``surfhead.kernels.cpu_lit``, whose
operator has the same arguments.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surfhead.kernels.cpu_lit import (
    ARGUMENTS,
    INPUTS,
    LEARNT,
    Lit,
    check_degree,
    fake,
    fake_backward,
    gradient_by,
    keep,
)
from surfhead.kernels.cuda_operators import differentiate, register
from surfhead.kernels.cuda_structures import run_over

MODULE = "lit_colours"
THREADS = 128  # of lit_colours.cu
MOST_BLOCKS = 528  # that sum what the light gathers: four for each multiprocessor of a large GPU
SUMS = 60  # of a block: two quadrics, three channels, ten monomials


def _sizes(name: str, given: dict[str, Tensor | None], degree: int) -> Lit:
    sizes = Lit.of(name, given, degree=degree)
    if given["residual"] is None:
        sizes.count = 0
    check_degree(name, degree, sizes.count)
    return sizes


def _colours(*arguments: Any) -> Tensor:
    """(B, N, 3) colours, not clamped; the arguments are INPUTS and the degree."""
    *tensors, degree = arguments
    given = dict(zip(INPUTS, tensors, strict=True))
    colour: Tensor = given["directions"].new_empty(given["directions"].shape)
    sizes = _sizes("lit_colours", given, degree)
    grid = (-(-sizes.surfels // THREADS), 1)
    run_over(MODULE, "lit_colours", sizes, grid, THREADS, colour.device, given | {"colour": colour})
    return colour


def _backward(g_colour: Tensor, *arguments: Any) -> list[Tensor]:
    """The gradients of LEARNT; those of what is not there are empty."""
    *tensors, degree = arguments
    given = {**dict(zip(INPUTS, tensors, strict=True)), "g_colour": g_colour}
    sizes = _sizes("lit_colours_backward", given, degree)
    if sizes.surfels == 0:  # a kernel of no surfels writes nothing
        return [g_colour.new_zeros(0 if given[n] is None else given[n].shape) for n in LEARNT]
    found = {n: g_colour.new_empty(0 if given[n] is None else given[n].shape) for n in LEARNT}
    made = {f"g_{n}": value for n, value in found.items() if given[n] is not None}
    device, grid = g_colour.device, (-(-sizes.surfels // THREADS), 1)
    run_over(MODULE, "lit_colours_backward", sizes, grid, THREADS, device, given | made)
    blocks = min(grid[0], MOST_BLOCKS)
    made["sums"] = g_colour.new_empty(blocks, SUMS)
    run_over(MODULE, "lit_light_backward", sizes, (blocks, 1), THREADS, device, given | made)
    sizes.degree = blocks
    run_over(MODULE, "lit_light_sums", sizes, (1, 1), THREADS, device, made)
    return [found[n] for n in LEARNT]


register("lit_colours_cuda", f"({ARGUMENTS}) -> Tensor", _colours, fake)
register("lit_colours_cuda_backward", f"(Tensor g_colour, {ARGUMENTS}) -> Tensor[]", _backward, fake_backward)
differentiate("lit_colours_cuda", gradient_by("lit_colours_cuda_backward"), keep)
lit_colours = torch.ops.surfhead.lit_colours_cuda
"""``_colours`` as an operator of PyTorch, with gradients."""

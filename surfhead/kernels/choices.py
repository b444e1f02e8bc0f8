"""Fused forms that can be switched, so that one run can be compared with another."""

from __future__ import annotations

import os

from surfhead.core.errors import unknown_name

WANTED = "SURFHEAD_FUSED"
"""Names, between commas, of the fused forms out of ``ON_GPU`` that are used; by default none is."""

ENVIRONMENT = "SURFHEAD_PLAIN"
"""Names, between commas, of fused forms that PyTorch's operations take instead."""

ON_GPU = ("rig", "highlight", "blocks", "lit")
"""A rig's joints and skin; a highlight's lobes; sums within a block before a triangle's atomics; colours
under distant light.

Not used unless asked for. The first three are right (tests/gpu), but on the first GPU they met, pictures and
steps with them were not captured in CUDA graphs any more, which costs more than they save
(benchmarks/NOTES.md). The last ran on no GPU yet, only in the tests' emulator."""

ON_CPU = "cpu"
"""All fused forms on a CPU; its rasterizer is chosen by its own name."""


def chosen(name: str) -> bool:
    """Whether the fused form of this name is used where it can be."""
    if name in named(ENVIRONMENT):
        return False
    return name not in ON_GPU or name in named(WANTED)


def named(variable: str) -> list[str]:
    """The forms that an environment variable names. Raises UnknownNameError for one that there is not."""
    names = [name for part in os.environ.get(variable, "").split(",") if (name := part.strip())]
    for name in names:
        if name not in (*ON_GPU, ON_CPU):
            raise unknown_name("fused form", name[:80], (*ON_GPU, ON_CPU), f"Mend ${variable}.")
    return names

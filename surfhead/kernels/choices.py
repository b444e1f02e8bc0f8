"""Fused forms that can be switched off, so that one run can be compared with another."""

from __future__ import annotations

import os

from surfhead.core.errors import unknown_name

ENVIRONMENT = "SURFHEAD_PLAIN"
"""Names, between commas, of fused forms that PyTorch's operations take instead."""

ON_GPU = ("rig", "highlight", "blocks", "lit", "perceptron", "tf32", "sums", "origins", "poses")
"""A rig's joints and skin; a highlight's lobes; sums within a block before a triangle's atomics; colours
under distant light; a highlight's perceptron, and its products by tensor cores (TF32); gradients added where
they are made; hosts' centres taken row by row; poses shared out in the blend's backward."""

ON_CPU = "cpu"
"""All fused forms on a CPU; its rasterizer is chosen by its own name."""


def chosen(name: str) -> bool:
    """Whether the fused form of this name is used where it can be.

    Raises:
        UnknownNameError: the environment names a form that there is not.
    """
    left_out = {part.strip() for part in os.environ.get(ENVIRONMENT, "").split(",")} - {""}
    for one in sorted(left_out):
        if one not in (*ON_GPU, ON_CPU):
            raise unknown_name("fused form", one[:80], (*ON_GPU, ON_CPU), f"Mend ${ENVIRONMENT}.")
    return name not in left_out

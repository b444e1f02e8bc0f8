"""Fused forms that can be left out, so that one run can be compared with another."""

from __future__ import annotations

import os

ENVIRONMENT = "SURFHEAD_PLAIN"
"""Names, between commas, of fused forms that PyTorch's operations take instead."""

NAMES = ("rig", "highlight", "blocks")
"""On GPUs: a rig's joints and skin; a highlight's lobes; sums within a block before a triangle's atomics."""

ON_CPU = "cpu"
"""All fused forms on a CPU; its rasterizer is chosen by its own name."""


def chosen(name: str) -> bool:
    """Whether the fused form of this name is used where it can be."""
    return name not in os.environ.get(ENVIRONMENT, "").split(",")

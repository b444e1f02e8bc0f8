"""Catalogue of this package: one rasterizer."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_rasterizers(register: Any) -> None:
    """Register the rasterizer ``gsplat``."""
    register(
        "gsplat",
        "surfhead_gsplat.rasterizer:Gsplat",
        "gsplat's rasterization_2dgs, for surfels with orthogonal tangents.",
    )

"""Catalogue of the built-in densifiers: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_densifiers(register: Any) -> None:
    """Register the built-in densifiers."""
    register(
        "adaptive",
        "surfhead.plugins.densifiers.adaptive:Adaptive",
        "Clone, split and prune by screen-space gradients (3DGS), keeping all triangles covered.",
    )

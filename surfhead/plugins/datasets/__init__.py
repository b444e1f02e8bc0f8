"""Catalogue of the built-in data sets: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_datasets(register: Any) -> None:
    """Register the built-in data sets."""
    register(
        "synthetic",
        "surfhead.plugins.datasets.synthetic:Synthetic",
        "Ray-cast pictures of a rig, with true normals and depth.",
    )

"""Catalogue of the built-in appearance models: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_appearances(register: Any) -> None:
    """Register the built-in appearance models."""
    register("sh", "surfhead.plugins.appearances.sh:Sh", "Spherical harmonics up to degree 3.")
    register(
        "sg",
        "surfhead.plugins.appearances.sg:Sg",
        "Spherical harmonics and isotropic spherical Gaussians.",
    )
    register(
        "asg",
        "surfhead.plugins.appearances.asg:Asg",
        "Spherical harmonics and anisotropic spherical Gaussians.",
    )
    register(
        "lasg",
        "surfhead.plugins.appearances.lasg:Lasg",
        "Spherical harmonics and latent anisotropic spherical Gaussians, white light.",
    )
    register(
        "lit",
        "surfhead.plugins.appearances.lit:Lit",
        "Albedo under learnt distant light, which can be changed afterwards.",
    )

"""Catalogue of the built-in deformers: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_deformers(register: Any) -> None:
    """Register the built-in deformers."""
    register("static", "surfhead.plugins.deformers.static:Static", "No rig: surfels stay where they are.")
    register(
        "similarity",
        "surfhead.plugins.deformers.similarity:Similarity",
        "Rotation and isotropic scale of the host triangle (GaussianAvatars).",
    )
    register(
        "jacobian",
        "surfhead.plugins.deformers.jacobian:Jacobian",
        "Affine deformation transfer of the host triangle.",
    )
    register("lbs", "surfhead.plugins.deformers.lbs:Lbs", "Linear blend of the neighbours' Jacobians.")
    register(
        "jbs",
        "surfhead.plugins.deformers.jbs:Jbs",
        "Jacobian blend skinning: rotations and stretches blended apart (SurFhead).",
    )

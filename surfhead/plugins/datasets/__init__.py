"""Catalogue of the built-in data sets: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_datasets(register: Any) -> None:
    """Register the built-in data sets."""
    register(
        "synthetic",
        "surfhead.plugins.datasets.synthetic.synthetic:Synthetic",
        "Ray-cast pictures of a rig, with true normals and depth.",
    )
    register(
        "blender",
        "surfhead.plugins.datasets.blender:Blender",
        "NeRF-synthetic scenes: transforms_*.json with RGBA pictures.",
    )
    register(
        "colmap",
        "surfhead.plugins.datasets.colmap:Colmap",
        "Undistorted COLMAP reconstructions, binary or text.",
    )
    register(
        "facetalk",
        "surfhead.plugins.datasets.facetalk:Facetalk",
        "FaceTalk-style synthetic sequences with FLAME parameters, one camera each.",
    )
    register(
        "transforms",
        "surfhead.plugins.datasets.lone_transforms:Transforms",
        "A lone transforms.json: instant-ngp, nerfstudio, capture apps.",
    )
    register(
        "vhap",
        "surfhead.plugins.datasets.vhap.vhap:Vhap",
        "VHAP exports with tracked FLAME: NeRSemble, GaussianAvatars, SurFhead, monocular.",
    )

"""Catalogue of the built-in regularizers: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_regularizers(register: Any) -> None:
    """Register the built-in regularizers."""
    register("l1", "surfhead.plugins.regularizers.l1:L1", "Mean absolute colour error.")
    register("dssim", "surfhead.plugins.regularizers.dssim:Dssim", "One minus the structural similarity.")
    register(
        "normal",
        "surfhead.plugins.regularizers.normal:Normal",
        "Rendered normals against normals of the rendered depth.",
    )
    register(
        "distortion",
        "surfhead.plugins.regularizers.distortion:Distortion",
        "Depth distortion along each ray.",
    )
    register(
        "offset",
        "surfhead.plugins.regularizers.offset:Offset",
        "Surfels farther than a limit from their triangle.",
    )
    register(
        "scale",
        "surfhead.plugins.regularizers.scale:Scale",
        "Surfels larger than a limit relative to their triangle.",
    )
    register(
        "unseen",
        "surfhead.plugins.regularizers.unseen:Unseen",
        "A weak hold on surfels and directions that no training view determines.",
    )
    register(
        "normal_prior",
        "surfhead.plugins.regularizers.normal_prior:NormalPrior",
        "Rendered normals against a predictor's, from the data set's folder normals/.",
    )
    register("eye_opacity", "surfhead.plugins.regularizers.eye_opacity:EyeOpacity", "Opaque eyeballs.")
    register(
        "normal_length",
        "surfhead.plugins.regularizers.normal_length:NormalLength",
        "Surfels collapsing by shear.",
    )
    register(
        "blend_weight",
        "surfhead.plugins.regularizers.blend_weight:BlendWeight",
        "Neighbours' blend weights above a limit.",
    )
    register(
        "depth_smoothness",
        "surfhead.plugins.regularizers.depth_smoothness:DepthSmoothness",
        "Edge-aware smoothness of the inverse depth.",
    )
    register(
        "mask",
        "surfhead.plugins.regularizers.mask:Mask",
        "Rendered alpha against the foreground mask.",
    )
    register(
        "dynamic_offset",
        "surfhead.plugins.regularizers.dynamic_offset:DynamicOffset",
        "Size of the per-frame vertex offsets.",
    )
    register(
        "laplacian",
        "surfhead.plugins.regularizers.laplacian:Laplacian",
        "Laplacian of the mesh with and without vertex offsets.",
    )
    register(
        "albedo_smoothness",
        "surfhead.plugins.regularizers.albedo_smoothness:AlbedoSmoothness",
        "Differences of albedo between neighbouring triangles.",
    )
    register(
        "mesh_normal",
        "surfhead.plugins.regularizers.mesh_normal:MeshNormal",
        "Surfels' normals against the smooth normals of the rest mesh.",
    )
    register(
        "coarse_normal",
        "surfhead.plugins.regularizers.coarse_normal:CoarseNormal",
        "Rendered normals against normals of the rendered depth, averaged over blocks of pixels.",
    )
    register(
        "residual",
        "surfhead.plugins.regularizers.residual:Residual",
        "Size of the colour that neither albedo nor light explains.",
    )

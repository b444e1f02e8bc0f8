"""Catalogue of the built-in formats: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_formats(register: Any) -> None:
    """Register the built-in formats."""
    register(
        "2dgs",
        "surfhead.plugins.formats.splats_2dgs:Splats2dgs",
        "2D Gaussian splatting: surfels of one pose in world coordinates.",
    )
    register(
        "3dgs",
        "surfhead.plugins.formats.splats_3dgs:Splats3dgs",
        "3D Gaussian splatting: flat Gaussians of one pose, for viewers and engines.",
    )
    register(
        "arkit",
        "surfhead.plugins.formats.arkit:Arkit",
        "ARKit face captures (.csv), as Live Link Face writes them: a motion.",
    )
    register(
        "gaussian-avatars",
        "surfhead.plugins.formats.gaussian_avatars:GaussianAvatars",
        "GaussianAvatars' point_cloud.ply and flame_param.npz, for its viewers.",
    )
    register(
        "gltf",
        "surfhead.plugins.formats.gltf:Gltf",
        "glTF (.glb) with KHR_gaussian_splatting: splats of one pose.",
    )
    register(
        "html",
        "surfhead.plugins.formats.html.html:Html",
        "A web page that plays the avatar anywhere: one file, no server, no network.",
    )
    register(
        "motion",
        "surfhead.plugins.formats.motion:Motion",
        "Motion files (.npz, .npy): rig parameters over time.",
    )
    register(
        "surfhead",
        "surfhead.plugins.formats.surfhead_avatar:SurfheadAvatar",
        "Avatars: this project's own files; reads SurFhead's and GaussianAvatars' too.",
    )

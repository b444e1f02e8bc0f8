"""Catalogue of the built-in rigs: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_rigs(register: Any) -> None:
    """Register the built-in rigs."""
    register(
        "flame",
        "surfhead.plugins.rigs.flame.flame:Flame",
        "The FLAME head (2020, 2023, 2023 Open), with teeth.",
    )
    register(
        "ict", "surfhead.plugins.rigs.ict.ict:Ict", "The ICT-FaceKit head: open blendshapes made from scans."
    )
    register("none", "surfhead.plugins.rigs.none:NoRig", "No rig, for static scenes.")
    register(
        "procedural",
        "surfhead.plugins.rigs.procedural.procedural:Procedural",
        "The built-in head, made by code.",
    )

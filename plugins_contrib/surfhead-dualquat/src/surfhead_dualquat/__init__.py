"""The plugin's catalogue: a name, where its class is, and one line about it; imports no torch."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_deformers(register: Any) -> None:
    """Register the deformer ``dualquat``."""
    register(
        "dualquat",
        "surfhead_dualquat.deformer:DualQuaternion",
        "Rigid motions of neighbouring triangles blended as dual quaternions.",
    )

"""The whole plugin surface: one hook a kind. A plugin is a module with some of these functions.

The hook of kind ``deformer`` is ``register_deformers(register)``, and so on. It receives
``register(name, target, summary)`` or ``register(cls)``: ``target`` is either the class or a string
``"package.module:Class"``, which is imported only when the component is used.
"""

from __future__ import annotations

from typing import Any

import pluggy

PROJECT = "surfhead"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

# the kinds of component, in the order in which they are listed: what each does
KINDS = {
    "deformer": "(mesh, binding) -> affine field",
    "appearance": "(features, view directions, normals) -> colour",
    "regularizer": "(step) -> scalar",
    "rasterizer": "world surfels -> pictures",
    "rig": "identity and pose parameters -> mesh",
    "dataset": "a path -> scene",
    "densifier": "statistics -> plan",
    "format": "avatar and path -> files, and back",
    "observer": "a run's events",
}


def _hook(kind: str) -> Any:
    def register_components(register: Any) -> None: ...

    register_components.__name__ = f"register_{kind}s"
    register_components.__doc__ = f"Register components of kind {kind}: {KINDS[kind]}."
    return hookspec(register_components)


globals().update({f"register_{kind}s": _hook(kind) for kind in KINDS})

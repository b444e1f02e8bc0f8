"""The whole plugin surface: one hook a kind. A plugin is a module with some of these functions.

Each receives ``register(name, target, summary)`` or ``register(cls)``: ``target`` is either the class or a
string ``"package.module:Class"``, which is imported only when the component is used.
"""

from __future__ import annotations

from typing import Any

import pluggy

PROJECT = "surfhead"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_deformers(register: Any) -> None:
    """Register deformers: (mesh, binding) -> affine field."""


@hookspec
def register_appearances(register: Any) -> None:
    """Register appearance models: (features, view directions, normals) -> colour."""


@hookspec
def register_regularizers(register: Any) -> None:
    """Register loss terms: (step) -> scalar."""


@hookspec
def register_rasterizers(register: Any) -> None:
    """Register rasterizers: world surfels -> pictures."""


@hookspec
def register_rigs(register: Any) -> None:
    """Register rigs: identity and pose parameters -> mesh."""


@hookspec
def register_datasets(register: Any) -> None:
    """Register data set readers."""


@hookspec
def register_densifiers(register: Any) -> None:
    """Register densifiers: statistics -> plan."""


@hookspec
def register_formats(register: Any) -> None:
    """Register file formats."""


@hookspec
def register_observers(register: Any) -> None:
    """Register listeners to a run's events."""

"""Catalogue of the built-in observers: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_observers(register: Any) -> None:
    """Register the built-in observers."""
    register(
        "progress",
        "surfhead.plugins.observers.progress:Progress",
        "Live display in a terminal, plain lines elsewhere.",
    )
    register(
        "jsonl",
        "surfhead.plugins.observers.jsonl:Jsonl",
        "Losses and metrics, a JSON line each, in metrics.jsonl.",
    )
    register(
        "tensorboard",
        "surfhead.plugins.observers.tensorboard:Tensorboard",
        "Losses, metrics and opacities for TensorBoard, with GaussianAvatars' tags.",
    )
    register(
        "viewer",
        "surfhead.plugins.observers.viewer:Viewer",
        "A page in the browser that follows the run: `--viewer`.",
    )

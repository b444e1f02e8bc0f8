"""The plugin's catalogue: a name, where its class is, and one line about it; imports no torch."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_datasets(register: Any) -> None:
    """Register the data set ``video``."""
    register(
        "video",
        "surfhead_video.dataset:Video",
        "A clip of one person, tracked with open models at first use.",
    )

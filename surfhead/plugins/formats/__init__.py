"""Catalogue of the built-in formats: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_formats(register: Any) -> None:
    """Register the built-in formats."""

"""The viewer: what each open page sees, how its pictures are drawn in time, and the page itself.

Only ``page``, ``visitor`` and the ``*_panel`` modules know viser, which is an optional extra.
"""

from __future__ import annotations

from surfhead.viewing.pace import Pace
from surfhead.viewing.page import Page, missing
from surfhead.viewing.settings import check_settings
from surfhead.viewing.training import Curves, Training

__all__ = ["Curves", "Pace", "Page", "Training", "check_settings", "missing"]

"""What a page sends: bytes, never a name of a file here. Nothing of it is executed or opened by path."""

from __future__ import annotations

import io
from typing import Any

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError
from surfhead.core.registry import registry
from surfhead.core.scene import Motion
from surfhead.results.drivers import Driver
from surfhead.results.reenactment import reenact
from surfhead.viewing.puppet import Track


class Upload(io.BytesIO):
    """Bytes that came from a page, with the name they have there; the name is only ever shown."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__(content)
        self.name = name


LARGEST = 256 * 1024 * 1024  # bytes
MOTION = "motion"


def motion_track(avatar: Avatar, name: str, content: bytes) -> Track:
    """A motion file's bytes as a motion of an avatar.

    Args:
        avatar: whose rig it must fit.
        name: what the file is called there; only shown.
        content: an ``.npz`` of plain arrays, see ``surfhead show format motion``.

    Raises:
        DataError: it is too large, damaged, or of another rig.
    """
    if len(content) > LARGEST:
        raise DataError(
            f'"{name}" has {len(content)} bytes.', f"Expected at most {LARGEST}.", "Cut the motion in pieces."
        )
    reader: Any = registry().create("format", MOTION)
    found: Motion = reader.read(Upload(name, content))
    return driven(avatar, Driver(name, found.parameters, rate=found.rate))


def driven(avatar: Avatar, driver: Driver, **rules: Any) -> Track:
    """A driver's motion, carried over to an avatar by the rules of ``reenact``."""
    return Track(driver.name, reenact(avatar, driver, **rules), driver.rate)

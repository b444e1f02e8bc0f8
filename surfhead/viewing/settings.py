"""What a page is asked for: its address, size and quality."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from surfhead.core.errors import OptionError

if TYPE_CHECKING:
    pass


HOST, PORT = "127.0.0.1", 8080


SIZE, QUALITY = 2048, 80  # the size is the most; the window's own resolution otherwise


SIZES = (64, 4096)


LOSSLESS = 100


LOCAL = "localhost"


def check_settings(port: int, size: int, quality: int) -> None:
    """Raise OptionError for a port, size or quality out of range."""
    rows = (("port", port, 0, 65535), ("size", size, *SIZES), ("quality", quality, 1, LOSSLESS))
    for name, value, low, high in rows:
        if not low <= value <= high:
            raise OptionError(
                f'"{name}" of the viewer is {value}.',
                f"Expected {low} to {high}.",
                f"Choose a number in it with --{name}.",
            )


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == LOCAL

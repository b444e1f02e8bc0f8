"""Packs arrays for a web page: quantised, compressed, in base64 (``web/payload.js`` unpacks them)."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np

KINDS = {"u1": np.uint8, "i1": np.int8, "u2": np.uint16, "i2": np.int16, "u4": np.uint32, "f4": np.float32}
ALIGNMENT = 4  # bytes


def _steps_between(values: np.ndarray) -> tuple[np.ndarray, list[float], list[float]]:
    """Whole numbers to 65535, and scale and offset of each channel (the last axis)."""
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    low, high = (rows.min(axis=0), rows.max(axis=0)) if len(rows) else np.zeros((2, rows.shape[1]))
    scale = np.where(high > low, (high - low) / 0xFFFF, 1.0)
    return np.rint((rows - low) / scale), scale.tolist(), low.tolist()


class Numbers:
    """Named arrays on their way into a page.

    Attributes:
        entries: for each array its name, kind, place in bytes, length, and scale and offset by channel.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._data = bytearray()

    def add(self, name: str, values: np.ndarray, kind: str, **extra: Any) -> None:
        """Keep ``values`` as they are, in numbers of a kind."""
        raw = np.ascontiguousarray(values, dtype=np.dtype(KINDS[kind]).newbyteorder("<"))
        self._data.extend(b"\0" * (-len(self._data) % ALIGNMENT))
        entry = {"name": name, "kind": kind, "at": len(self._data), "length": int(raw.size), **extra}
        self.entries.append(entry)
        self._data.extend(raw.tobytes())

    def indices(self, name: str, values: np.ndarray) -> None:
        """Whole numbers >= 0 in 16 or 32 bits, as few as they need."""
        self.add(name, values, "u4" if values.size and int(values.max()) > 0xFFFF else "u2")

    def between(self, name: str, values: np.ndarray) -> None:
        """16 bits between the smallest and the largest number of each channel (the last axis)."""
        steps, scale, low = _steps_between(values)
        self.add(name, steps, "u2", scale=scale, offset=low)

    def over_time(self, name: str, values: np.ndarray) -> None:
        """As ``between``, for rows (T, ...) that change little: their differences, small ones in few bits."""
        steps, scale, low = _steps_between(values)
        rows = steps.reshape(len(values), -1).astype(np.int64)
        change = np.diff(rows, axis=0, prepend=0)
        change = (change + 0x8000) % 0x10000 - 0x8000  # sums are taken in 16 bits
        folded = ((change << 1) ^ (change >> 63)).reshape(-1)  # 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
        halves = np.concatenate([folded & 0xFF, folded >> 8])  # the upper bytes are nearly all zero
        self.add(name, halves, "u1", scale=scale, offset=low, rows=len(values))

    def about_zero(self, name: str, values: np.ndarray) -> None:
        """16 bits with one scale; zeros stay zeros."""
        scale = float(np.abs(values).max(initial=0.0)) / 0x7FFF or 1.0
        self.add(name, np.rint(values.astype(np.float64) / scale), "i2", scale=[scale], offset=[0.0])

    def text(self) -> str:
        """Everything, compressed, in base64."""
        return base64.b64encode(gzip.compress(bytes(self._data), 9, mtime=0)).decode("ascii")

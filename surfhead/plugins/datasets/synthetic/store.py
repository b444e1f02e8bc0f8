"""Rendered frames on disk: one compressed file a view, written atomically, made anew when damaged."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import ContractError, Frame
from surfhead.files import arrays

log = logging.getLogger("surfhead")

DEPTH_STEP = 5e-5
"""Depth is kept as multiples of this many metres, in 16 bits."""


def cache_key(description: Mapping[str, Any]) -> str:
    """A name for everything that decides what the pictures show."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class FrameStore:
    """Frames of one data set in one folder."""

    def __init__(self, folder: Path, height: int, width: int) -> None:
        self.folder = folder
        self.shape = (height, width)
        self._memory: dict[str, bytes] = {}  # what the folder could not take
        self._unkept: list[str] = []

    def path(self, name: str) -> Path:
        """Where the view called ``name`` is kept."""
        return self.folder / f"{name}.npz"

    def missing(self, names: list[str]) -> list[int]:
        """Positions of the names that have no file yet."""
        present = {p.name for p in self.folder.glob("*.npz")} if self.folder.is_dir() else set()
        present |= {f"{name}.npz" for name in self._memory}
        return [i for i, name in enumerate(names) if f"{name}.npz" not in present]

    def write(self, name: str, frame: Frame) -> None:
        """Keep a frame that has everything. Normals and depth are kept where there is a depth."""
        mask, normal, depth = frame.mask, frame.normal, frame.depth
        if mask is None or normal is None or depth is None:
            raise ContractError(
                f'Frame "{name}" lacks its mask, normals or depth.',
                "Expected a frame as the renderer makes it.",
                "Give all three.",
            )
        solid = depth > 0
        packed = io.BytesIO()
        np.savez_compressed(
            packed,
            image=frame.image,
            mask=mask,
            solid=np.packbits(solid),
            normal=normal[solid].astype(np.float16),
            depth=np.round(depth[solid] / DEPTH_STEP).clip(0, 65535).astype(np.uint16),
        )
        temporary = self.folder / f".{name}.{os.getpid()}.{threading.get_ident()}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(packed.getvalue())
            temporary.replace(self.path(name))
        except OSError as error:  # a cache that cannot be written costs time, nothing else
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._memory[name] = packed.getvalue()
            self._unkept.append(name)
            if self._unkept[0] is name:  # said once, though several threads draw
                log.warning(
                    'The built-in data cannot be kept in "%s" and will be drawn again next time: %s.',
                    self.folder,
                    error.strerror,
                )

    def read(self, name: str, geometry: bool = True) -> Frame | None:
        """The frame, or None where the file is missing, damaged or of another size.

        Without ``geometry`` neither normals nor depth are read, and are None.
        """
        try:
            kept = self._memory.get(name)
            source = self.path(name).open("rb") if kept is None else io.BytesIO(kept)
            with source as stream:
                file = arrays.Archive(stream)
                image, mask = file["image"], file["mask"]
                normal = depth = None
                if geometry:
                    normal, depth = self._geometry(file)
        except (OSError, ValueError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
            return None
        if image.shape != (*self.shape, 3) or mask.shape != self.shape:
            return None
        return Frame(image, mask, normal, depth)

    def _geometry(self, file: arrays.Archive) -> tuple[np.ndarray, np.ndarray]:
        """True normals (H, W, 3) and depth (H, W)."""
        bits = np.unpackbits(file["solid"], count=self.shape[0] * self.shape[1])
        solid = bits.reshape(self.shape).astype(bool)
        normal, depth = np.zeros((*self.shape, 3), np.float32), np.zeros(self.shape, np.float32)
        normal[solid] = file["normal"]
        depth[solid] = file["depth"].astype(np.float32) * np.float32(DEPTH_STEP)
        return normal, depth

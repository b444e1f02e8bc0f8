"""Keeps the sculpted head on disk: sculpting it takes seconds, reading it milliseconds.

The file's name holds a hash of the sources that made it, so a changed sculpture is never mistaken for an
old one; a damaged file is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from surfhead.core.api import cache_folder

log = logging.getLogger("surfhead")


def sources_hash() -> str:
    """A hash of the modules that sculpt the head."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cached_tensors(build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of ``build``, from disk where an earlier process left them there."""
    path = cache_folder() / f"procedural-{sources_hash()}.safetensors"
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError):
        made = {name: value.contiguous() for name, value in build().items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(made, temporary)
        temporary.replace(path)
    except (OSError, safetensors.SafetensorError) as error:  # a full or read-only cache costs time only
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        log.debug("the head is not cached: %s", error)
    return made

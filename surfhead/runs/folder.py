"""The folder of a run: its configuration, command, environment and log."""

from __future__ import annotations

import json
import logging
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from surfhead.core.config import RunConfig, dump
from surfhead.core.errors import DataError
from surfhead.files.bounds import read_json
from surfhead.files.writing import unwritable, write_text
from surfhead.runs import trust
from surfhead.runs.existing import CONFIG
from surfhead.runs.machine import commit, now, processor

log = logging.getLogger("surfhead")
PACKAGES = ("torch", "numpy", "kornia", "safetensors", "pluggy", "trimesh", "embreex")


@contextmanager
def run_folder(folder: Path, config: RunConfig) -> Iterator[None]:
    """Make the run folder with its record, and log into it."""
    try:
        for place in ("log", "checkpoints"):  # before the work, not at its first checkpoint
            (folder / place).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    trust.remember_loaded()
    if not (folder / CONFIG).exists():
        write_text(folder / "command.txt", shlex.join(sys.argv) + "\n")
        write_text(folder / "environment.json", json.dumps(environment(), indent=1))
        write_text(folder / CONFIG, dump(config))
    handler = _Log(folder / "log" / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    began = time.monotonic()
    try:
        yield
    finally:
        with suppress(DataError, OSError):  # a full disk keeps the run from nothing else
            _note_duration(folder, time.monotonic() - began)
        log.removeHandler(handler)
        handler.close()


def environment() -> dict[str, Any]:
    """Versions and machine, for the record of a run."""
    from surfhead import __version__

    versions = {"surfhead": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "processor": processor(),
        "date": now(),
        "commit": commit(),
    }


def _note_duration(folder: Path, seconds: float) -> None:
    """Add to the record how long the run was at work, also where it was stopped."""
    path = folder / "environment.json"
    try:
        record = read_json(path, 1 << 24)
        record["seconds"] = round(float(record.get("seconds", 0.0)) + seconds, 1)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return  # somebody changed it
    write_text(path, json.dumps(record, indent=1))


class _Log(logging.FileHandler):
    """A log that a full disk ends; training goes on without it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the library's name)
        """Say nothing: it would be said at every record."""

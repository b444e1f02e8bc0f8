"""The folder of a run: its configuration, command, environment and log."""

from __future__ import annotations

import json
import logging
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from surfhead.core.config import RunConfig, dump
from surfhead.runs import trust

log = logging.getLogger("surfhead")
CONFIG = "config.toml"
PACKAGES = ("torch", "numpy", "kornia", "safetensors", "pluggy", "trimesh", "embreex")


@contextmanager
def run_folder(folder: Path, config: RunConfig) -> Iterator[None]:
    """Make the run folder with its record, and log into it."""
    (folder / "log").mkdir(parents=True, exist_ok=True)
    trust.remember_loaded()
    if not (folder / CONFIG).exists():
        _write(folder / "command.txt", shlex.join(sys.argv) + "\n")
        _write(folder / "environment.json", json.dumps(environment(), indent=1))
        _write(folder / CONFIG, dump(config))
    handler = logging.FileHandler(folder / "log" / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
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
    }


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)

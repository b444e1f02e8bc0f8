"""Checkpoints: a folder with tensors (safetensors) and the rest (JSON), complete or absent.

A checkpoint is written under a temporary name, synced and renamed; a killed run leaves either the old
one or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from surfhead.core.errors import DataError

VERSION = 1
TENSORS = "state.safetensors"
META = "state.json"


def write(folder: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Path:
    """Write the checkpoint ``folder`` atomically; an older one of that name is replaced.

    Args:
        folder: ``.../checkpoints/00001000``.
        tensors: name -> tensor on any device.
        meta: JSON values.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.partial")
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    safetensors.torch.save_file(_unshared(plain), temporary / TENSORS)
    text = json.dumps({"version": VERSION, **meta}, indent=1)
    (temporary / META).write_text(text, encoding="utf-8")
    for name in (TENSORS, META):
        _sync(temporary / name)
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)
    _sync(folder.parent)
    return folder


def read(folder: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint. Raises DataError naming the file that is missing or damaged."""
    meta = read_meta(folder)
    try:
        tensors = safetensors.torch.load_file(folder / TENSORS, device=str(device))
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _damaged(folder, error) from error
    return tensors, meta


def read_meta(folder: Path) -> dict[str, Any]:
    """A checkpoint's JSON values alone. Raises DataError like ``read``."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, error) from error
    if not isinstance(meta, dict) or meta.get("version") != VERSION:
        version = meta.get("version") if isinstance(meta, dict) else None
        raise DataError(
            f'Checkpoint "{folder}" has format version {version}.',
            f"This version of surfhead reads version {VERSION}.",
            "Use the version of surfhead that wrote it (environment.json names it).",
        )
    return meta


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(
        f'Checkpoint "{folder}" is damaged or incomplete: {error}.',
        f"Expected {META} and {TENSORS} as written by `surfhead train`.",
        "Remove this folder; --resume then continues from the checkpoint before it.",
    )


@contextmanager
def intact(folder: Path) -> Iterator[None]:
    """While a checkpoint's values are looked at as data: what does not fit is said to be its damage.

    Components are made outside of it: what a plugin's code raises is not the file's damage.

    Raises:
        DataError: naming the checkpoint, where a value is missing or of another kind or shape.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except KeyError as error:
        raise _damaged(folder, ValueError(f"it has no {error}")) from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
        raise _damaged(folder, ValueError(str(error).partition("\n")[0])) from error


def latest(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    folders = [f for f in (run / "checkpoints").glob("[0-9]*") if f.is_dir() and f.name.isdigit()]
    return max(folders, key=lambda f: int(f.name), default=None)


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    seen: set[int] = set()
    made = {}
    for name, value in tensors.items():
        pointer = value.untyped_storage().data_ptr()
        made[name] = value.clone() if pointer in seen and pointer != 0 else value
        seen.add(pointer)
    return made


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

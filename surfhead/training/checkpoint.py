"""Checkpoints: a folder with tensors (safetensors) and the rest (JSON), complete or absent.

A checkpoint is written under a temporary name, synced and renamed. Where one of its name exists, that is
moved aside first; between the two renames both are whole, and ``latest`` finds the new one.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from surfhead.core.errors import DataError
from surfhead.files import bounds
from surfhead.files.writing import FAILURES, unwritable

log = logging.getLogger("surfhead")
VERSION = 1
TENSORS = "state.safetensors"
META = "state.json"
DIGITS = 18  # of an image count


def write(folder: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Path:
    """Write the checkpoint ``folder`` atomically; an older one of that name is replaced.

    Args:
        folder: ``.../checkpoints/00001000``.
        tensors: name -> tensor on any device.
        meta: JSON values.

    Raises:
        DataError: the disk is full or read-only; the older one is as it was.
    """
    try:
        return _write(folder, tensors, meta)
    except FAILURES as error:
        if not complete(_partial(folder)):  # else it is the only one between two renames
            shutil.rmtree(_partial(folder), ignore_errors=True)
        raise unwritable(folder, error) from error


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _write(folder: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = _partial(folder)
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    safetensors.torch.save_file(_unshared(plain), temporary / TENSORS)
    _sync(temporary / TENSORS)
    text = json.dumps({"version": VERSION, **meta}, indent=1)
    (temporary / META).write_text(text, encoding="utf-8")  # last: where it is whole, the tensors are
    _sync(temporary / META)
    old = folder.with_name(f".{folder.name}.old")
    if old.exists():
        shutil.rmtree(old)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
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
        bounds.regular(folder / TENSORS)
        meta = bounds.read_json(folder / META)
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
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise _damaged(folder, ValueError(f'"{name}" in {META}: {first["msg"]}')) from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
        raise _damaged(folder, ValueError(str(error).partition("\n")[0])) from error


def latest(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None.

    Where none is complete, the newest damaged one, so that its damage can be said. A complete one that was
    not renamed any more, ``.N.partial``, counts; see ``label``.
    """
    found = []
    for folder in (run / "checkpoints").glob("*"):
        name = label(folder)
        if name.isdecimal() and name.isascii() and len(name) <= DIGITS and folder.is_dir():
            found.append((int(name), folder.name == name, folder))
    for number, final, folder in sorted(found, reverse=True):
        if complete(folder):
            return folder
        if final:
            log.debug("Checkpoint %d of %s is incomplete and left out.", number, run)
    return max(((n, f) for n, final, f in found if final), default=(0, None))[1]


def label(folder: Path) -> str:
    """A checkpoint's name, such as ``00001000``, also of one that is still called ``.00001000.partial``."""
    return folder.name.removeprefix(".").removesuffix(".partial")


def complete(folder: Path) -> bool:
    """Whether a checkpoint's files are there to their ends; what is in them is not read."""
    try:
        with bounds.regular(folder / TENSORS).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = (folder / TENSORS).stat().st_size
            if length > size - 8:
                return False
            header = json.loads(file.read(length))
        rows = [row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"]
        whole = 8 + length + max(rows, default=0) == size
        with bounds.regular(folder / META).open("rb") as file:
            file.seek(max((folder / META).stat().st_size - 16, 0))
            return whole and file.read().rstrip().endswith(b"}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


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

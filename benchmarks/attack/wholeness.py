"""Whether what stands under its final name is whole."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image

from surfhead.training import checkpoint


def unfinished(path: Path) -> bool:
    """Whether a file, or a folder above it, still has a name that only writing uses."""
    return any((part.startswith(".") and ".partial" in part) or part.endswith(".tmp") for part in path.parts)


def damage(path: Path) -> str:
    """What is wrong with a file, read to its end as its kind says; empty where it is whole."""
    try:
        _read(path)
    except Exception as error:  # every kind of reader says it in its own way
        return f"{path.name}: {type(error).__name__}: {error}"[:120]
    return ""


def _read(path: Path) -> None:
    suffix = path.suffix
    if suffix in (".png", ".jpg"):
        with Image.open(path) as picture:
            picture.load()
    elif suffix == ".npz":
        with np.load(path) as archive:
            for name in archive.files:
                archive[name]
    elif suffix == ".json":
        json.loads(path.read_text("utf-8"))
    elif suffix == ".jsonl":  # a log grows: only its last line may be cut
        for line in path.read_text("utf-8").splitlines()[:-1]:
            json.loads(line)
    elif suffix == ".toml":
        tomllib.loads(path.read_text("utf-8"))
    elif suffix == ".ply":
        from plyfile import PlyData

        PlyData.read(path)
    elif suffix in (".glb", ".bin"):
        content = path.read_bytes()
        if suffix == ".glb" and int.from_bytes(content[8:12], "little") != len(content):
            raise ValueError(f"{len(content)} bytes")
    elif suffix == ".html":
        if not path.read_text("utf-8").rstrip().endswith("</html>"):
            raise ValueError("its end is missing")
    elif path.name == checkpoint.TENSORS and not checkpoint.complete(path.parent):
        raise ValueError("it is not complete")


def damaged(folder: Path) -> list[str]:
    """What is wrong with the files below a folder that stand under their final names."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [said for path in files if not unfinished(path.relative_to(folder)) and (said := damage(path))]


def contents(folder: Path, left_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Relative path -> SHA-256 of every finished file below a folder, but those of names that may grow."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not unfinished(path.relative_to(folder))
        and not set(path.relative_to(folder).parts) & set(left_out)
    }

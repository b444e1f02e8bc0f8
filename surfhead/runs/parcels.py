"""Folders and files as bytes, to send them to other machines; needs nothing but the standard library.

This module and ``ray_task`` go to the machines of a cluster by value: they may import nothing of surfhead.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

SMALL = 2**16  # bytes of a file that is compared whole
Listing = dict[str, tuple[int, int]]  # name below a folder -> bytes and time of the last change, ns


def listing(folder: Path) -> Listing:
    """What lies in a folder and below, without what is half written or a lock (names that begin with a dot).

    A file that vanishes meanwhile is left out.
    """
    found: Listing = {}
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            state = path.stat()
        except OSError:
            continue
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = (state.st_size, state.st_mtime_ns)
    return found


def changed(before: Mapping[str, tuple[int, int]], now: Mapping[str, tuple[int, int]]) -> list[str]:
    """Names that are new or have changed."""
    return [name for name, state in now.items() if before.get(name) != state]


def pack(folder: Path, names: Iterable[str], replace: Mapping[str, Mapping[str, str]] | None = None) -> bytes:
    """A tar archive of files of a folder.

    Args:
        folder: where they lie.
        names: of the files, below it; those that have vanished are left out.
        replace: name of a text file -> texts to put in the place of others (``exchange``).
    """
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in names:
            try:
                content = (folder / name).read_bytes()
            except OSError:
                continue
            for old, new in ((replace or {}).get(name) or {}).items():
                content = content.replace(old.encode(), new.encode())
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write an archive's files below a folder, each at once or not at all.

    Raises:
        ValueError: it holds something else than files below the folder.
    """
    root = folder.resolve()
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            target = (root / member.name).resolve()
            held = members.extractfile(member)
            if held is None or not target.is_relative_to(root):
                raise ValueError(f'the archive holds "{member.name}"')
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            beside.write_bytes(held.read())
            beside.replace(target)


def contents_digest(folder: Path, pattern: str = "*") -> str:
    """A hash of the names and contents of files in a folder and below."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:24]


def likeness(path: Path) -> str:
    """A hash by which a copy is told from something else: names, sizes, and what small files hold."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:24]
    digest = hashlib.sha256()
    for name, (size, _) in listing(path).items():
        digest.update(f"{name}\0{size}\n".encode())
        if size <= SMALL:
            digest.update((path / name).read_bytes())
    return digest.hexdigest()[:24]


def identity(path: Path) -> str:
    """A hash of where something lies on this machine, and of when its files last changed."""
    rows = listing(path) if path.is_dir() else {"": (path.stat().st_size, path.stat().st_mtime_ns)}
    text = "\n".join(f"{name}\0{size}\0{time}" for name, (size, time) in rows.items())
    return hashlib.sha256(f"{os.uname().nodename}\0{path}\n{text}".encode()).hexdigest()[:24]

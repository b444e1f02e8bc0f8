"""Checks of file formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError, SurfheadError
from surfhead.core.exchange import StoredAvatar
from surfhead.core.scene import Motion
from surfhead.testing import run
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import require_close, require_equal, require_unchanged, snapshot, tensors_in


def _writes(cls: Any) -> bool:
    return bool(cls.writes)


def _reads(cls: Any) -> bool:
    return bool(cls.reads)


def _round_trips(cls: Any) -> bool:
    return bool(cls.reads and cls.writes)


def _target(subject: Subject, made: Any, name: str = "avatar") -> Path:
    suffixes = type(made).suffixes
    return subject.folder / (name + (suffixes[0] if suffixes else ""))


def _learnt(avatar: Avatar) -> dict[str, Tensor]:
    return {**avatar.surfels.parameters, "triangle": avatar.surfels.triangle}


@promise("format")
def does_something(subject: Subject) -> None:
    """It reads or writes, and its suffixes start with a dot."""
    cls = type(subject.make())
    require(cls.reads or cls.writes, "It neither reads nor writes.")
    for suffix in cls.suffixes:
        require(suffix.startswith(".") and suffix == suffix.lower(), f'The suffix is "{suffix}".')


@promise("format", _writes)
def writes_files(subject: Subject) -> None:
    """``write`` leaves the avatar as it was, and gives the files it wrote, which are there and not empty."""
    made, drawn = subject.make(), run.avatar()
    before = snapshot(_learnt(drawn))
    files = made.write(drawn, _target(subject, made))
    require_unchanged(_learnt(drawn), before)
    require(bool(files), "It gave no files.")
    for file in files:
        require(file.is_file() and file.stat().st_size > 0, f'"{file.name}" is missing or empty.')


@promise("format", _writes)
def writes_the_same(subject: Subject) -> None:
    """The same avatar written twice gives the same bytes."""
    made = subject.make()
    path = _target(subject, made)  # the same path: a file may say its own name
    first, second = ([file.read_bytes() for file in made.write(run.avatar(), path)] for _ in range(2))
    require(first == second, "The bytes differ.")


@promise("format", _round_trips)
def reads_what_it_wrote(subject: Subject) -> None:
    """What was written can be read: an avatar comes back with its surfels, a motion twice the same."""
    made, drawn = subject.make(), run.avatar()
    path = _target(subject, made)
    made.write(drawn, path)
    back = made.read(path)
    kinds = (StoredAvatar, Motion)
    require(
        isinstance(back, kinds), f"It gave a {type(back).__name__}.", "Expected a StoredAvatar or a Motion."
    )
    if isinstance(back, StoredAvatar):
        theirs = {**back.parameters, "triangle": back.triangle}
        for name, value in _learnt(drawn).items():
            require(name in theirs, f'"{name}" got lost.')
            require_close(torch.as_tensor(theirs[name]), value, f'"{name}"', 1e-6, 1e-6)
        return
    require(any(True for _ in tensors_in(back)), "What was read holds no numbers.")
    require_equal(back, made.read(path), "Read again")


@promise("format", _reads)
def refuses_bad_files(subject: Subject) -> None:
    """Reading a missing, an empty or a meaningless file raises a declared error that names it."""
    made = subject.make()
    missing, empty, noise = (_target(subject, made, name) for name in ("missing", "empty", "noise"))
    empty.write_bytes(b"")
    values = torch.randint(256, (4096,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    noise.write_bytes(bytes(values.tolist()))
    for path in (missing, empty, noise):
        try:
            made.read(path)
        except SurfheadError as error:
            require(path.name in str(error), f'The error does not name "{path.name}": {error}')
            require(
                isinstance(error, DataError), f"It raised {type(error).__name__}.", "Expected a DataError."
            )
            continue
        require(False, f'"{path.name}" was read without complaint.')

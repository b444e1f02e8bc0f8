"""Who may write into a run folder: one process at a time.

A new run takes its folder by making it, before its data are opened, so that two that start together never
share one. While a run is written its folder is locked; the system frees the lock of a process that died.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from surfhead.core.errors import DataError
from surfhead.files.writing import unwritable
from surfhead.runs.existing import CONFIG
from surfhead.training import checkpoint

log = logging.getLogger("surfhead")
LOCK = ".lock"
MOST = 100_000  # runs of one name


@contextmanager
def claimed(folder: Path, *, resume: bool = False, numbered: bool = False) -> Iterator[Path]:
    """Hold a run folder while the block runs; one that was made here and stays empty is removed again.

    So are the folders round it that were made for it.

    Args:
        folder: which; with ``numbered``, the first part of its name, to which the first free number is added.
        resume: it holds a run already.
        numbered: take the next number where a folder exists.

    Raises:
        DataError: another process writes it, it holds a run that is not resumed, or it cannot be made.
    """
    try:
        absent = [parent for parent in folder.parents if not parent.exists()]
        path, made = _made(folder, numbered)
        lock = filelock.FileLock(path / LOCK, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise DataError(
                f'"{path}" is being written by another process.',
                "Expected a run that nobody trains at the moment.",
                "Wait for it or stop it, or choose another --out.",
            ) from error
        except NotImplementedError:
            log.warning('The disk of "%s" knows no locks: start only one process in it.', path)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        if not resume and (path / CONFIG).exists():
            raise holds_a_run(path)
        yield path
    finally:
        with contextlib.suppress(OSError):
            if made and {entry.name for entry in path.iterdir()} <= {LOCK}:
                (path / LOCK).unlink(missing_ok=True)
                path.rmdir()
                for parent in absent:  # innermost first; stays where another run has come to lie in it
                    parent.rmdir()
        lock.release()


def _made(folder: Path, numbered: bool) -> tuple[Path, bool]:
    """The folder, and whether it was made just now."""
    if not numbered:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            if not folder.is_dir():
                raise
            return folder, False
        return folder, True
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, MOST):
        path = folder.with_name(f"{folder.name}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()  # of several processes, one succeeds
            return path, True
    raise DataError(f'Every number of "{folder}" is taken.', "", "Choose another --out.")


def holds_a_run(folder: Path) -> DataError:
    """The error to raise where a new run would take the folder of another."""
    return DataError(
        f'"{folder}" already holds a run.',
        f"Its newest checkpoint is {checkpoint.latest(folder) or 'missing'}.",
        "Add --resume to continue it, or choose another --out.",
    )

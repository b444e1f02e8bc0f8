"""What MediaPipe's native libraries write to standard error at every start, and no one can act on, held back.

They write to file descriptor 2 itself, whatever ``sys.stderr`` is, and before their logging can be told to
be silent.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

STDERR = 2
CHATTER = re.compile(
    rb"(?:WARNING: (?:Logging before InitGoogle|All log messages before absl::InitializeLog)"
    rb"|INFO: Created TensorFlow Lite"
    rb"|[IW]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ [\w.]+:\d+\] )[^\n]*(?:\n|$)"
)  # information and warnings; errors (E) and what ends the process (F) are left


class _Held:
    """The redirection; one of the process for all threads, as there is one standard error."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._away: tuple[int, IO[bytes]] | None = None

    def begin(self) -> None:
        """Redirect standard error into a file, unless that is done; nothing where there is none."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._away = _redirected()

    def end(self) -> None:
        """After the last, put standard error back and pass on what is no chatter."""
        with self._lock:
            self._users -= 1
            if self._users or self._away is None:
                return
            saved, file = self._away
            self._away = None
            _flush()
            os.dup2(saved, STDERR)
            os.close(saved)
            with file:
                file.seek(0)
                words = CHATTER.sub(b"", file.read())
            with contextlib.suppress(OSError), open(STDERR, "wb", closefd=False) as stream:
                stream.write(words)


def _redirected() -> tuple[int, IO[bytes]] | None:
    """Where standard error went, and the file it goes to now; None where it cannot be redirected."""
    _flush()
    try:
        saved = os.dup(STDERR)
    except OSError:  # it is closed
        return None
    try:
        file: Any = tempfile.TemporaryFile()  # noqa: SIM115 - ``end`` closes it
        os.dup2(file.fileno(), STDERR)
    except OSError:
        os.close(saved)
        return None
    return saved, file


def _flush() -> None:
    with contextlib.suppress(Exception):  # there may be no stream, or one that cannot
        sys.stderr.flush()


_held = _Held()


@contextmanager
def chatter_held() -> Iterator[None]:
    """Within it standard error is held back; afterwards it appears without the native libraries' chatter."""
    _held.begin()
    try:
        yield
    finally:
        _held.end()

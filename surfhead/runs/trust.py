"""Whose code runs: plugin files that the user named, and those that a run or a configuration names.

A plugin file is a program. One that the user names (``--plugin``, ``$SURFHEAD_PLUGINS``, settings given from
Python) runs. One that only a file names, a run folder or a configuration that somebody may have sent, runs
where the user has said so before: by training a run with it, or by an answer at a terminal. What was said
is kept per SHA-256, so that a file that changed is asked about again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from surfhead.core.errors import DataError, OptionError, PluginLoadError, cause
from surfhead.core.registry import registry
from surfhead.files.bounds import regular
from surfhead.files.places import is_file
from surfhead.terminal.printable import one_line

log = logging.getLogger("surfhead")
LONGEST = 1 << 24  # bytes of a plugin file
TRUSTED = "trusted-plugins.txt"


def configuration_folder() -> Path:
    """``surfhead`` in the user's configuration folder; it need not exist yet."""
    if sys.platform == "win32":
        root = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        root = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return root / "surfhead"


def trusted() -> set[str]:
    """SHA-256 of the plugin files that the user trusts."""
    try:
        text = (configuration_folder() / TRUSTED).read_text(encoding="utf-8", errors="replace")
    except (OSError, RuntimeError):  # RuntimeError: nobody's home is known
        return set()
    return {line.split(" ", 1)[0] for line in text.splitlines()}


def remember(digest: str, path: str) -> None:
    """Trust a plugin file from now on; where that cannot be written down, it is asked about again."""
    if digest in trusted():
        return
    line = f"{digest} {' '.join(path.splitlines())}\n".encode("utf-8", "replace")
    try:
        file = configuration_folder() / TRUSTED
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:  # one write a line, so that two processes do not mix theirs
            stream.write(line)
    except (OSError, RuntimeError) as error:
        log.warning("That you trust %s could not be written down: %s.", path, error)


def remember_loaded() -> None:
    """Trust the plugin files that run in this process: a run that was made with them opens again."""
    for source in {row.source for row in registry().registrations()}:
        if source.origin == "file":
            remember(source.sha256, source.file)


def loaded(digest: str) -> bool:
    """Whether a plugin file of this SHA-256 runs already."""
    return bool(digest) and any(row.source.sha256 == digest for row in registry().registrations())


def load_named(files: Iterable[Path]) -> None:
    """Load the plugin files that the user named."""
    for file in files:
        registry().load_file(file)


def load_foreign(path: Path, where: Path) -> None:
    """Load a plugin file that only a file names.

    Args:
        path: of the plugin; relative to the folder that ``where`` is in.
        where: the file that names it.

    Raises:
        DataError: it is not there. PluginLoadError: the user has not said that it may run.
    """
    try:
        path = (where.parent / path.expanduser()).resolve()
        digest = file_digest(path)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a home of nobody, links in a circle
        raise DataError(
            f'Plugin file "{path}", which "{where}" names, cannot be read: {cause(error)}.',
            "Expected a Python file with `@hookimpl` functions.",
            "Give its present place: --plugin FILE, if you trust it.",
        ) from error
    if not (loaded(digest) or digest in trusted()):
        if not _agreed(path, digest, where):
            raise PluginLoadError(
                f'Plugin file "{path}" (SHA-256 {digest[:16]}…) is named by "{where}", not by you.',
                "A plugin is a program: it runs only where you named it or said that you trust it.",
                f"Read it; then add --plugin {path}, or set $SURFHEAD_PLUGINS to it.",
            )
        remember(digest, str(path))
    if not loaded(digest):
        registry().load_file(path, digest)


def file_digest(path: Path) -> str:
    """SHA-256 of a plugin file. Raises OSError or ValueError where it is none."""
    return hashlib.sha256(regular(path, LONGEST).read_bytes()).hexdigest()


def plugin_files(tables: Mapping[str, Any]) -> list[Path]:
    """The plugin files that tables name. Raises OptionError where they are no list of paths."""
    files = tables.get("plugins", ())
    if not isinstance(files, (list, tuple)) or not all(isinstance(file, str) for file in files):
        raise OptionError(
            f'Setting "plugins" is {files!r}.',
            "Expected a list of paths.",
            'For example: plugins = ["mine.py"]',
        )
    return [Path(file) for file in files]


def load_of_run(files: Iterable[Path], meta: Mapping[str, Any], where: Path) -> None:
    """Load the plugin files of a run's configuration; one that runs already from elsewhere is enough.

    Args:
        files: that the configuration names.
        meta: of the run's newest checkpoint, which knows their hashes; may be empty.
        where: the configuration file.
    """
    rows = meta.get("components", [])
    hashes = {Path(row["file"]): row["sha256"] for row in rows if row.get("sha256")}
    for file in files:
        path = where.parent / file
        if is_file(path) or not loaded(hashes.get(path, "")):
            load_foreign(path, where)


def _agreed(path: Path, digest: str, where: Path) -> bool:
    """The user's answer at a terminal; no where there is none."""
    with contextlib.suppress(AttributeError, ValueError, EOFError, OSError):  # closed or replaced streams
        if sys.stdin.isatty() and sys.stderr.isatty():
            by, named = one_line(str(where)), one_line(str(path))  # nothing in a name writes over the rest
            print(f'"{by}" names the plugin file\n  {named}\n  SHA-256 {digest}', file=sys.stderr)
            print(
                "It is a program and can do whatever you can. Trust this file? [y/N] ",
                end="",
                file=sys.stderr,
            )
            sys.stderr.flush()
            return input().strip().lower() in ("y", "yes")
    return False

"""Public names that have another name now: the old ones work on, say so, and say until when.

The policy is in docs/reference/compatibility.md; a test holds every row of the tables to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple


class Renamed(NamedTuple):
    """What an old name is called now, and the version that the old name is gone with, such as ``0.4``."""

    new: str
    gone: str


# old name -> what it is called now, of `surfhead` and of `surfhead.core.api`
OF_PACKAGE: dict[str, Renamed] = {}
OF_PLUGINS: dict[str, Renamed] = {}
# command -> the same of its options
OF_OPTIONS: dict[str, dict[str, Renamed]] = {}


def sentence(old: str, row: Renamed, place: str = "") -> str:
    """What a user of an old name is told; ``place`` stands before both names."""
    return f'"{place}{old}" is called "{place}{row.new}" now; the old name is gone with version {row.gone}.'


def present(module: str, name: str, table: Mapping[str, Renamed], up: int = 2) -> str:
    """What a name of a module is called now; warns with a ``DeprecationWarning`` where that is another one.

    Args:
        up: calls between this one and the user of the name, such as the module's ``__getattr__``.
    """
    row = table.get(name)
    if row is None:
        return name
    warnings.warn(sentence(name, row, f"{module}."), DeprecationWarning, stacklevel=up + 1)
    return row.new


def attribute(module: str, name: str, table: Mapping[str, Renamed], known: Mapping[str, Any]) -> Any:
    """What a module's ``__getattr__`` gives for a name, old or not.

    Raises:
        AttributeError: it is not ``known`` by this name.
    """
    try:
        return known[present(module, name, table, 3)]
    except KeyError:
        raise AttributeError(f"module {module!r} has no attribute {name!r}") from None

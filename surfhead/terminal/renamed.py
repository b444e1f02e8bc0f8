"""Public names that have another name now: the old ones work on, say so, and say until when.

The policy is in docs/reference/compatibility.md; a test holds every row of the tables to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple


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


def present(module: str, name: str, table: Mapping[str, Renamed]) -> str:
    """What a name of a module is called now; warns with a ``DeprecationWarning`` where that is another one.

    For the module's ``__getattr__``, whose caller the warning is shown at.
    """
    row = table.get(name)
    if row is None:
        return name
    warnings.warn(sentence(name, row, f"{module}."), DeprecationWarning, stacklevel=3)
    return row.new

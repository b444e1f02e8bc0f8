"""Docstrings on the reference pages: names that share a line of Args, Attributes or Raises get a row each."""

from __future__ import annotations

import re
from typing import Any

import griffe

SHARED = re.compile(r"^(    )(\w+(?:, \w+)+): (.*(?:\n {8,}\S.*)*)", re.MULTILINE)


def with_a_row_each(text: str) -> str:
    """A docstring whose ``a, b: what`` is ``a: what`` and ``b: what``, each with its type and default."""
    return SHARED.sub(lambda row: "\n".join(f"{row[1]}{name}: {row[3]}" for name in row[2].split(", ")), text)


class SplitNames(griffe.Extension):
    """What mkdocstrings calls for every object whose docstring it shows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring."""
        if obj.docstring is not None:
            obj.docstring.value = with_a_row_each(obj.docstring.value)

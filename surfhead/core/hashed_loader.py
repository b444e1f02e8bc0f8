"""Runs the code of a file as it was when it was hashed."""

from __future__ import annotations

import importlib.machinery
from typing import Any


class HashedLoader(importlib.machinery.SourceFileLoader):
    """Runs the very bytes that were hashed: no cached bytecode beside them, no file that changed since."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self.content = content

    def get_code(self, fullname: str) -> Any:
        """The code object of the bytes."""
        return self.source_to_code(self.content, self.path)

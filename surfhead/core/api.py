"""Everything a plugin may import. Importing this module imports no torch.

What needs PyTorch is listed in ``surfhead.core.interfaces`` and imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surfhead.core.cache import cache_folder
from surfhead.core.errors import (
    ContractError,
    DataError,
    OptionError,
    PluginLoadError,
    ShapeError,
    SurfheadError,
    UnavailableError,
    UnknownNameError,
    cause,
    unknown_name,
)
from surfhead.core.hookspecs import hookimpl
from surfhead.core.registry import create

if TYPE_CHECKING:
    from surfhead.core.interfaces import *

_LIGHT = {name for name in globals() if not name.startswith("_")} - {"annotations", "Any", "TYPE_CHECKING"}


def __dir__() -> list[str]:
    from surfhead.core import interfaces

    return sorted(_LIGHT.union(name for name in vars(interfaces) if not name.startswith("_")))


if not TYPE_CHECKING:  # a type checker would take every name for known

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return __dir__()
        if not name.startswith("_"):
            from surfhead.core import interfaces
            from surfhead.terminal.renamed import OF_PLUGINS, attribute

            return attribute(__name__, name, OF_PLUGINS, vars(interfaces))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The one door to the native kernels: which are available here and, if not, why.

``cpu`` is a shared library that is built when the package is installed; ``cuda`` is compiled at first use.
Components reach either only through this package; importing it loads none of them. Each is a module with
``unavailable() -> None or a sentence``, ``report() -> lines for `surfhead doctor` `` and ``rasterize``.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("cpu", "cuda")


def __getattr__(name: str) -> ModuleType:
    if name in NAMES:
        return importlib.import_module(f"surfhead.kernels.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def serves(tensor: Tensor) -> bool:
    """Whether the fused operations of ``cuda`` can stand in for PyTorch's on this tensor, wherever it lies.

    On a CPU the native library runs their sources (``cpu_rows``), those of a rig excepted.
    """
    if tensor.is_cuda:
        return bool(__getattr__("cuda").serves(tensor))
    from surfhead.kernels import cpu_rows

    return cpu_rows.serves(tensor)


def unavailable(name: str) -> str | None:
    """None when the kernels called ``name`` can run here, else the reason they cannot, in one sentence."""
    try:
        reason: str | None = __getattr__(name).unavailable()
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return reason


def report() -> dict[str, str]:
    """Lines for `surfhead doctor`: what runs, where it is from, or why it does not run."""
    found: dict[str, str] = {}
    for name in NAMES:
        try:
            found.update(__getattr__(name).report())
        except (ImportError, OSError) as error:
            found[f"{name} kernels"] = f"not available: {type(error).__name__}: {error}"
    return found

"""The one door to the native kernels: which are available here and, if not, why.

``cpu`` is a shared library that is built when the package is installed; ``cuda`` is compiled at first use.
Components reach either only through this package; importing it loads none of them.
"""

from __future__ import annotations

import importlib

NAMES = ("cpu", "cuda")


def unavailable(name: str) -> str | None:
    """None when the kernels called ``name`` can run here, else the reason they cannot, in one sentence."""
    if name not in NAMES:
        return f'there are no kernels called "{name}", only {", ".join(NAMES)}'
    try:
        module = importlib.import_module(f"surfhead.core.kernels.{name}")
        reason: str | None = module.unavailable()
    except (ImportError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return reason


def report() -> dict[str, str]:
    """Name -> a sentence for `surfhead doctor`: what runs, or why it does not."""
    found = {}
    for name in NAMES:
        reason = unavailable(name)
        if reason is None:
            module = importlib.import_module(f"surfhead.core.kernels.{name}")
            found[name] = str(module.describe())
        else:
            found[name] = f"not available: {reason}"
    return found

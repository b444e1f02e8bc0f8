"""Which plugin an exception came from that is no error of surfhead's own."""

from __future__ import annotations

import traceback
from pathlib import Path

from surfhead.core.errors import ContractError
from surfhead.core.registry import Source, registry


def of_plugin(error: Exception) -> ContractError | None:
    """The error that names the plugin in whose code an exception arose; None where it was in no plugin's."""
    for row in registry().registrations() if isinstance(error, TypeError) else ():
        called = f"{getattr(row.target, '__qualname__', '')}."
        if row.source.origin != "built-in" and len(called) > 1 and str(error).startswith(called):
            return ContractError(  # the call was refused before any of the plugin's code ran
                f'{row.kind.capitalize()} "{row.name}" of plugin "{row.source.label}" failed: {error}.',
                f"Expected the arguments of surfhead.core.api.{row.kind.capitalize()}.",
                f"Mend it; `surfhead show {row.kind} NAME` tells where others of its kind are.",
            )
    sources = {row.source for row in registry().registrations() if row.source.origin != "built-in"}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for source in sources:
            if _within(frame.filename, source):
                what = f"{type(error).__name__}: {error}".removesuffix(".")
                return ContractError(
                    f'Plugin "{source.label}" failed: {what}.',
                    f"This is line {frame.lineno} of {frame.filename}, in {frame.name}.",
                    "Mend it. --debug shows the traceback; `surfhead check KIND NAME` tries a part alone.",
                )
    return None


def _within(file: str, source: Source) -> bool:
    """Whether a file of code is the plugin's, or lies in its package."""
    module = Path(source.file)
    return file == source.file or (module.name == "__init__.py" and Path(file).is_relative_to(module.parent))

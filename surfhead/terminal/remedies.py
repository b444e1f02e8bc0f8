"""What to do next where a package is missing: the command that installs it, found in what was said of it."""

from __future__ import annotations

import importlib.util
import re

COMMAND = "pip install "
SENTENCE = re.compile(r"[.!?]\s+(?=[A-Z`])")
LISTED = "`surfhead list` shows every plugin that is broken."
BESIDE = {  # components of the packages in plugins_contrib, by kind and name
    ("dataset", "video"): "surfhead-video[tracking]",
    ("deformer", "dualquat"): "surfhead-dualquat",
    ("rasterizer", "gsplat"): "surfhead-gsplat",
}


def elsewhere(kind: str, name: str) -> str:
    """How to install the package beside this one that has a component; empty where none of them has it."""
    package = BESIDE.get((kind, name))
    return f'In the source tree: {COMMAND}"./plugins_contrib/{package}"' if package else ""


def parted(reason: str) -> tuple[str, str]:
    """What is wrong, and how to install what is missing; the latter empty where nothing says how.

    Args:
        reason: such as ``gsplat is missing: pip install gsplat``, the same in brackets, or with the
            command in a last sentence of its own.
    """
    at = reason.find(COMMAND)
    if at < 0:
        return reason, ""
    ends = [found.end() for found in SENTENCE.finditer(reason, 0, at)]
    if ends:
        return reason[: ends[-1]].rstrip(), reason[ends[-1] :]
    what, command = reason[:at].rstrip(" :;,(`"), reason[at:].rstrip(". ")
    if "(" in reason[len(what) : at]:
        command = command.removesuffix(")")
    return f"{what}.", f"Run: {command.replace('`', '')}"


def mending(cause: BaseException | None, reason: str = "") -> str:
    """What to do about a plugin that ``cause`` kept from loading: install a module's package, or mend it.

    Args:
        cause: what was raised.
        reason: what is said of it, with ``(module:Class)`` where that is the plugin's own class.
    """
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            module = cause.name.partition(".")[0]
            own = re.search(rf"\({re.escape(module)}[.:]", reason)
            if _absent(module) and not own:
                how = f'Install the package that has the module "{module}", often: {COMMAND}{module}'
                return f"{how}; or uninstall the plugin. {LISTED}"
        cause = cause.__cause__
    return f"Mend or uninstall it; {LISTED}"


def _absent(module: str) -> bool:
    """Whether there is no such module at all, rather than a part of one that is missing."""
    try:
        return importlib.util.find_spec(module) is None
    except (ImportError, ValueError):
        return True

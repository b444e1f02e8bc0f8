"""Public names that have another name now: the old ones work on, say so, and say until when.

The policy is in docs/reference/compatibility.md; a test holds every row of the tables to it. Plugins
add names of their own with ``rename``.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO


class Renamed(NamedTuple):
    """What an old name is called now, and the version that the old name is gone with, such as ``0.4``."""

    new: str
    gone: str


class RenamedWarning(DeprecationWarning):
    """A name, an option or a setting has another name now. The command line shows it as a note."""


# old name -> what it is called now, of `surfhead` and of `surfhead.core.api`
OF_PACKAGE: dict[str, Renamed] = {}
OF_PLUGINS: dict[str, Renamed] = {}
# command -> the same of its options
OF_OPTIONS: dict[str, dict[str, Renamed]] = {}
# the kinds of component, which surfhead.core.hookspecs explains; a test holds them to each other
KINDS = (
    *("deformer", "appearance", "regularizer", "rasterizer", "rig"),
    *("dataset", "densifier", "format", "observer"),
)
# kind -> the same of its components; (kind, component) -> of that one's options
OF_COMPONENTS: dict[str, dict[str, Renamed]] = {}
OF_COMPONENT_OPTIONS: dict[tuple[str, str], dict[str, Renamed]] = {}
OF_PRESETS: dict[str, Renamed] = {}
# a run's own settings as --set has them, such as ``evaluate.every``, and of a rate's group, ``rate.position``
OF_SETTINGS: dict[str, Renamed] = {}


def rename(kind: str, old: str, new: str, gone: str, *, of: str = "") -> None:
    """Let a plugin's component, or an option of it, be called by its old name, too.

    Users of the old name get the new one and are told; configurations of older runs open. A name that
    somebody has registered is never taken for an old one.

    Args:
        kind: such as ``deformer``.
        old, new: the component's names, or the option's.
        gone: the version that the old name is gone with, and whose, such as ``2.0 of surfhead-mine``.
        of: the component whose option it is, by its new name; empty: a component.

    Raises:
        ValueError: there is no such kind; the error of the plugin that could not be loaded says it.
    """
    if kind not in KINDS:
        raise ValueError(f'rename: there is no kind "{kind}", only {", ".join(KINDS)}')
    table = OF_COMPONENT_OPTIONS.setdefault((kind, of), {}) if of else OF_COMPONENTS.setdefault(kind, {})
    table[old] = Renamed(new, gone)


def sentence(old: str, row: Renamed, place: str = "", noun: str = "", of: str = "") -> str:
    """What a user of an old name is told: ``noun`` "``place`` old" of ``of`` is called "``place`` new"."""
    said = f'{noun} "{place}{old}"'.lstrip() + (f" of {of}" if of else "")
    return f'{said} is called "{place}{row.new}" now; the old name is gone with version {row.gone}.'


def tell(text: str) -> None:
    """Warn of an old name with a ``RenamedWarning``, at the place outside of the package that used it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("surfhead."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, RenamedWarning, stacklevel=level)


@contextmanager
def noted(stream: TextIO | None = None) -> Iterator[None]:
    """Within it, each old name is a note on standard error, once, instead of a warning; none with --quiet."""
    from surfhead.terminal.console import is_quiet  # Rich, which importing this package need not wait for

    usual, said = warnings.showwarning, set()

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, RenamedWarning):
            usual(message, category, *place, **more)
        elif str(message) not in said and not is_quiet():
            said.add(str(message))
            print(f"note: {message}", file=stream or sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", RenamedWarning)
        warnings.showwarning = show
        yield


def component(kind: str, name: str, registered: Collection[str] = ()) -> str:
    """What a component is called now; a registered name is its own. Tells whoever used another."""
    return _now(OF_COMPONENTS.get(kind, {}), str(name), registered, kind)


def options(kind: str, name: str, given: Mapping[str, Any], declared: Collection[str] = ()) -> dict[str, Any]:
    """A component's options by what they are called now.

    Args:
        name: the component's present one.
        declared: the options it has, whose names are their own.
    """
    table = OF_COMPONENT_OPTIONS.get((kind, name), {})
    return by_present_names(given, lambda key: _now(table, key, declared, "option", f'{kind} "{name}"'))


def by_present_names(given: Mapping[str, Any], present: Callable[[str], str]) -> dict[str, Any]:
    """A table by what its keys are called now. Where an old and a new name are given, the new one counts."""
    names = {key: present(key) for key in given}
    new = {names[key]: value for key, value in given.items()}
    return {**new, **{key: value for key, value in given.items() if names[key] == key}}


def preset(name: str) -> str:
    """What a preset is called now."""
    return _now(OF_PRESETS, str(name), (), "preset")


def _now(table: Mapping[str, Renamed], name: str, known: Collection[str], noun: str, of: str = "") -> str:
    """What an old name is called now, through all the names it had; one that is known is its own."""
    row, passed = None, [name]
    while passed[-1] in table and passed[-1] not in known:
        new, gone = table[passed[-1]]
        if new in passed:  # it is called itself in the end
            return name
        row = Renamed(new, row.gone if row else gone)  # it is gone when it said
        passed.append(new)
    if row is None:
        return name
    tell(sentence(name, row, noun=noun, of=of))
    return row.new


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

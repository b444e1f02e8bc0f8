"""The errors a user can meet, and the one place that words "did you mean".

Every error says three things on three lines: what failed, what exists, what to do next. The command
line prints exactly these lines and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from surfhead.terminal.printable import one_line


class SurfheadError(Exception):
    """Base of all declared errors.

    Args:
        what: what failed, with the offending name in quotes.
        exists: what would have been valid; empty when there is nothing to list.
        remedy: what to do next.
    """

    def __init__(self, what: str, exists: str = "", remedy: str = "") -> None:
        self.what, self.exists, self.remedy = map(one_line, (what, exists, remedy))
        super().__init__("\n".join(line for line in (self.what, self.exists, self.remedy) if line))


class UnknownNameError(SurfheadError):
    """A component, key, split, region or metric was asked for by a name nobody registered."""


class OptionError(SurfheadError):
    """An option has an unknown key, a wrong type or a value out of range."""


class ShapeError(SurfheadError):
    """A tensor has the wrong shape, dtype or device, or holds NaN or infinity."""


class DataError(SurfheadError):
    """A file or folder is missing, damaged or not what its format promises."""

    @classmethod
    def of(
        cls, noun: str, path: object, what: str, expected: str, remedy: str, *, field: str = ""
    ) -> DataError:
        """``NOUN "PATH" WHAT.``, or ``NOUN "PATH": field "FIELD" WHAT.``; ``Expected EXPECTED.``; the remedy.

        Who reads one kind of file says the rest once: ``wrong = partial(DataError.of, noun, remedy=...)``.
        """
        place = f'{noun} "{path}"'.lstrip() + (f': field "{field}"' if field else "")
        return cls(f"{place} {what}.", f"Expected {expected}.", remedy)


class PluginLoadError(SurfheadError):
    """A plugin could not be imported, registered twice, or misspelt a hook."""


class ContractError(SurfheadError):
    """A component broke the contract of its kind."""


class UnavailableError(SurfheadError):
    """A component exists but cannot run on this machine (no compiler, no GPU, a package missing)."""


def cause(error: BaseException) -> str:
    """Why something could not be read or written, as the system or the library says."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate a user most likely meant by ``name``, or None."""
    names = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.5)
    return names[found[0]] if found else None


def unknown_name(
    kind: str,
    name: str,
    candidates: Iterable[str],
    remedy: str = "",
    error: type[SurfheadError] = UnknownNameError,
) -> SurfheadError:
    """Build the error for a name that is not among ``candidates``, with a suggestion.

    Args:
        kind: the noun the user knows, such as ``deformer`` or ``option of deformer "jbs"``.
        name: what was asked for.
        candidates: the valid names.
        remedy: what to do next; by default, how to list what exists.
        error: the class to build.
    """
    names = sorted(candidates)
    guess = nearest(str(name), names)
    hint = f' Did you mean "{guess}"?' if guess else ""
    exists = f"Known: {', '.join(names)}." if names else "None is registered."
    return error(
        f'Unknown {kind} "{name}".{hint}',
        exists,
        remedy or "See `surfhead list` for everything that is registered.",
    )

"""What callers of public functions give, looked at before anything is done with it."""

from __future__ import annotations

import operator
from typing import TypeVar

from surfhead.core.errors import ContractError, OptionError, SurfheadError

Kind = TypeVar("Kind")


def instance_of(
    given: object,
    kind: type[Kind],
    noun: str,
    expected: str,
    remedy: str,
    error: type[SurfheadError] = OptionError,
) -> Kind:
    """``given``, which is of this kind.

    Args:
        noun: what it should have been, in the user's words, such as ``an avatar``.
        expected: the second line's, without "Expected".
        error: the class to raise for anything else.
    """
    if isinstance(given, kind):
        return given
    what = type(given).__name__
    article = "An" if what[0] in "AEIOUaeiou" else "A"
    raise error(f"{article} {what} is not {noun}.", f"Expected {expected}.", remedy)


def whole_number(name: str, given: object, least: int, remedy: str) -> int:
    """A whole number of at least ``least``, numpy's too. Raises OptionError for anything else."""
    try:
        found = operator.index(given)  # type: ignore[arg-type]
        if isinstance(given, bool) or found < least:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise OptionError(
            f'"{name}" is {given!s:.200}.', f"Expected a whole number, at least {least}.", remedy
        ) from error
    return found


def made_by(kind: str, name: str, made: object, wanted: type[Kind]) -> Kind:
    """What a component gave, which is of this type. Raises ContractError naming the component."""
    if isinstance(made, wanted):
        return made
    raise ContractError(
        f'{kind.capitalize()} "{name}" gave a {type(made).__name__}.',
        f"Expected a {wanted.__name__}.",
        f"Mend it; `surfhead check {kind} {name}` tries it alone.",
    )


def misfit(kind: str, name: str, error: SurfheadError) -> ContractError:
    """The error to raise where what a component gave has another shape or type than the rest of a step."""
    what = f'What {kind} "{name}" gave does not fit: {error.what}'
    return ContractError(what, error.exists, f"Mend it; `surfhead check {kind} {name}` tries it alone.")

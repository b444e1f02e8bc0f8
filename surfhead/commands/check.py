"""`surfhead check`: does a component keep the contract of its kind?"""

from __future__ import annotations

from typing import Annotated

import typer

from surfhead.commands.command import completion, kinds, names_of_kind
from surfhead.commands.parameters import Debug, Plugins
from surfhead.core.errors import ContractError, UnavailableError
from surfhead.terminal.console import console
from surfhead.terminal.remedies import parted

FAILED = 1


def check(
    kind: Annotated[str, typer.Argument(help="Kind of component.", autocompletion=completion(kinds))],
    name: Annotated[str, typer.Argument(help="Registered name.", autocompletion=names_of_kind)],
    plugin: Plugins = None,
    debug: Debug = -1,
) -> None:
    """Run the conformance checks on a component; the exit code is 1 when one fails."""
    import traceback

    from surfhead.core.registry import registry
    from surfhead.testing import check as run_checks

    cls = registry().get(kind, name)
    reason = cls.available()
    if reason is not None:
        what, remedy = parted(reason)
        raise UnavailableError(
            f'{kind} "{name}" cannot run here: {what}', "", remedy or "Check it on a machine where it can."
        )
    results = run_checks(cls)
    if not results:
        raise ContractError(f"There are no checks for a {kind}.")
    out = console()
    for result in results:
        out.print(f"{'pass' if result.passed else 'FAIL'}  {result.name}: {result.promise}", soft_wrap=True)
        if result.error is not None:
            out.print(f"      {type(result.error).__name__}: {result.error}", soft_wrap=True)
            if debug >= 0:
                traceback.print_exception(result.error)
    failed = sum(not result.passed for result in results)
    out.print(f"{len(results) - failed} of {len(results)} promises kept by {kind} {name}.")
    if failed:
        raise typer.Exit(FAILED)

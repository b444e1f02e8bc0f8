"""A standing campaign against the package: kills, mutated files, bombs, full and read-only disks, clients.

    python -m benchmarks.attack [--kills N] [--full N] [--few N] [--mutants N] [--only NAME]

Prints one table: what was tried, how often, what was lost or undeclared. Disks are small tmpfs mounts where
this user may mount; elsewhere those rows say so.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.attack.bombs import bombs
from benchmarks.attack.clients import clients
from benchmarks.attack.disks import disks
from benchmarks.attack.kills import kills
from benchmarks.attack.mutants import mutants
from benchmarks.attack.rows import Row

KINDS = ("clients", "bombs", "mutants", "disks", "kills")


def campaign(given: argparse.Namespace) -> list[Row]:
    """Every attack, or one; each row is said on standard error as soon as it is known."""
    chance = random.Random(given.seed)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="surfhead-attack-") as name:
        folder = Path(name)
        for kind in KINDS:
            (folder / kind).mkdir()
        attacks: dict[str, Callable[[], Iterable[Row]]] = {
            "clients": clients,
            "bombs": lambda: bombs(folder / "bombs"),
            "mutants": lambda: mutants(given.mutants, folder / "mutants", chance),
            "disks": lambda: disks(folder / "disks"),
            "kills": lambda: kills(given.kills, given.full, given.few, folder / "kills", chance),
        }
        for kind in KINDS:
            if given.only in ("", kind):
                for row in attacks[kind]():
                    print(row, file=sys.stderr, flush=True)
                    rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| attack | tried | lost or undeclared | note |", "|---|---|---|---|"]
    return "\n".join([*lines, *map(str, rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="of training")
    parser.add_argument("--full", type=int, default=2, help="of training at the default size")
    parser.add_argument("--few", type=int, default=5, help="of each other command")
    parser.add_argument("--mutants", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", choices=["", *KINDS])
    found = campaign(parser.parse_args())
    print(table(found))
    sys.exit(any(row.bad for row in found))

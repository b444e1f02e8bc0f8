"""The table of familiar flags names only what is there."""

from __future__ import annotations

import dataclasses

import pytest
import typer

from surfhead import cli
from surfhead.avatars.surfels import merge_specs
from surfhead.commands.flag_table import ANY, DATA, TABLE, Flag
from surfhead.core import config
from surfhead.core.config import TRAINER_KEYS, Rate, RunConfig
from surfhead.core.registry import registry

SECTIONS = {
    "evaluate": config.Occasions,
    "checkpoint": config.Occasions,
    "export": config.Exports,
    "freeze": config.Freeze,
}
KINDS = {name: name for name in ("deformer", "appearance", "rasterizer", "rig", "densifier")} | {
    "data": "dataset"
}
MANY = {"regularizers": "regularizer", "observers": "observer"}


def fields(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def options(kind: str) -> set[str]:
    """The options of all components of a kind."""
    return {name for c in registry().names(kind) for name in fields(registry().get(kind, c).Options)}


def groups() -> set[str]:
    """The groups of learning rates of all components."""
    found = {"network"}
    for kind in ("deformer", "appearance"):
        for name in registry().names(kind):
            specs = registry().create(kind, name).parameters()
            found |= {spec.group or parameter for parameter, spec in specs.items()}
    found |= {spec.group or parameter for parameter, spec in merge_specs().items()}
    return found | {f"rig.{parameter}" for parameter in registry().create("rig", "flame").parameters()}


def missing(key: str, value: object) -> str:
    """What is not there of a setting that a row names; empty where all is."""
    table, _, rest = key.partition(".")
    if not rest:
        return "" if table in fields(RunConfig) else f"setting {key}"
    if table in SECTIONS:
        return "" if rest in fields(SECTIONS[table]) else f"option {key}"
    if table == "rate":
        group, _, option = rest.rpartition(".")
        return "" if group in groups() and option in fields(Rate) else f"rate {key}"
    if table in MANY:
        name, _, option = rest.partition(".")
        if name not in registry().names(MANY[table]):
            return f"{MANY[table]} {name}"
        known = fields(registry().get(MANY[table], name).Options)
        known |= set(TRAINER_KEYS) if table == "regularizers" else set()
        return "" if option in known else f"option {key}"
    kind = KINDS[table]
    if rest == "name":
        return "" if callable(value) or value in registry().names(kind) else f"{kind} {value}"
    return "" if (key == "rig.train" or rest in options(kind)) else f"option {key}"


def stale(row: Flag) -> list[str]:
    """What is wrong with a row."""
    train = typer.main.get_command(cli.app).commands["train"]  # type: ignore[attr-defined]
    own = {option for parameter in train.params for option in parameter.opts}
    found = [what for key, value in row.sets.items() if (what := missing(key, value))]
    option = row.option.partition(" ")[0].partition("=")[0]
    found += [f"own option {option}"] if option not in {"", DATA, *own} else []
    names = {name for other in TABLE for name in other.names}
    found += [f"flag {name}" for name in row.yields_to if name not in names]
    if row.needs is not None:
        kind, name = row.needs
        found += [] if name in registry().names(kind) else [f"{kind} {name}"]
    said = row.sets or row.option or row.advice or row.idle == (ANY,) or row.takes == "nothing"
    return found + ([] if said and row.sentence.endswith(".") else ["an answer"])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.names[0])
def test_every_row_names_what_is_there(row: Flag) -> None:
    assert stale(row) == []


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (Flag(("--x",), "", "X.", {"appearance.degre": str}), "option appearance.degre"),
        (Flag(("--x",), "", "X.", {"regularizers.nromal.weight": str}), "regularizer nromal"),
        (Flag(("--x",), "", "X.", {"regularizers.normal.limit": str}), "option regularizers.normal.limit"),
        (Flag(("--x",), "", "X.", {"rate.colour.initial": str}), "rate rate.colour.initial"),
        (Flag(("--x",), "", "X.", {"deformer.name": "jbz"}), "deformer jbz"),
        (Flag(("--x",), "", "X.", {"freeze.nose": True}), "option freeze.nose"),
        (Flag(("--x",), "", "X.", {"iteration": str}), "setting iteration"),
        (Flag(("--x",), "", "X.", option="--output"), "own option --output"),
        (Flag(("--x",), "", "X."), "an answer"),
    ],
)
def test_a_stale_row_is_found(row: Flag, what: str) -> None:
    assert stale(row) == [what]


def test_no_flag_stands_in_two_rows() -> None:
    names = [name.replace("_", "-") for row in TABLE for name in row.names]
    assert len(names) == len(set(names))

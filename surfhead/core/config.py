"""What a run is made of, one frozen RunConfig, from the tables of a TOML file and back.

A table a component; its ``name`` picks it, the other keys are its options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomli_w

from surfhead.core.errors import OptionError, unknown_name
from surfhead.core.options import build, check_options, option
from surfhead.core.sections import Choice as Choice
from surfhead.core.sections import Exports as Exports
from surfhead.core.sections import Freeze as Freeze
from surfhead.core.sections import Occasions as Occasions
from surfhead.core.sections import Rate as Rate
from surfhead.core.sections import Term as Term

COMPONENTS = ("data", "deformer", "appearance", "rasterizer", "rig", "densifier")
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "grey": (0.5, 0.5, 0.5)}
TRAINER_KEYS = ("weight", "start", "ramp", "optional")
RIG_KEYS = ("train", "train_identity")  # of the table [rig], not the rig's own
AUTO = Choice("auto")  # the registry's best, or what data name; ``surfhead.runs.layers`` has the usual ones
THE_RUN = "the run"  # as errors call what is no component's option


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run.

    Attributes:
        preset: the preset it came from, for the record.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        hold_out: keep val and test out of training; None: as the data set demands.
        background: RGB in [0, 1]; None: the data set's.
        scale_rates: multiply rates by the square root of the batch size.
        scale_momenta: raise Adam's decays to the power of the batch size, to average over as many images.
        graphs: on a GPU, replay training steps as CUDA graphs where every part of them allows it.
        train_rig: refine the rig's per-timestep parameters; written ``rig.train`` in files.
        train_identity: then the identity learns too, where the rig lets it; ``rig.train_identity``.
        rate: overrides by group; the rig's parameters, and its identity's, are ``rate.rig.NAME``.
        baseline: at the end, also measure one mean colour a triangle on the bare mesh.
        initial_colours: ``declared`` starts as the appearance model says (mid-grey); ``mean`` from the mean
            colour of each triangle's training pixels, which saves a thousand images.
        tie_unseen: at the end, tie what no training view constrains to what is known; the regularizer
            ``unseen`` does so while training, and better.
        debug: check every step from this image on; -1: never.
        plugins: plugin files to load.
    """

    data: Choice = AUTO
    deformer: Choice = AUTO
    appearance: Choice = AUTO
    rasterizer: Choice = AUTO
    rig: Choice = AUTO
    densifier: Choice = AUTO
    regularizers: Mapping[str, Term] = field(default_factory=dict)
    observers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rate: Mapping[str, Rate] = field(default_factory=dict)
    freeze: Freeze = Freeze()
    train_rig: bool = True
    train_identity: bool = False
    evaluate: Occasions = Occasions()
    checkpoint: Occasions = Occasions(every=1000)
    export: Exports = Exports()
    preset: str = ""
    path: str = ""
    iterations: int = option(30000, "Training images in all; a step of B views counts B.", low=0, high=10**9)
    batch_size: int = option(1, "Views a step.", low=1, high=4096)
    seed: int = option(0, "Of the data's order, initial values and the densifier.", low=0, high=2**62)
    device: str = "auto"
    hold_out: bool | None = None
    background: tuple[float, float, float] | None = None
    cache: Literal["auto", "gpu", "ram", "disk"] = option("auto", "Where decoded images live.")
    scale_rates: bool = True
    scale_momenta: bool = True
    graphs: bool = True
    surfels_per_triangle: int = option(1, "Surfels a triangle at the start.", low=1, high=256)
    max_initial_surfels: int = option(0, "But at most so many (or one each); 0: no limit.", low=0, high=10**8)
    initial_surfels: int = option(0, "Or about so many in all, by area; 0: not.", low=0, high=10**8)
    baseline: bool = False
    initial_colours: Literal["declared", "mean"] = "declared"
    tie_unseen: bool = False
    debug: int = -1
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_options(self, THE_RUN)


def resolve(tables: Mapping[str, Any]) -> RunConfig:
    """Merged tables into a RunConfig; unknown keys and wrong types are OptionErrors with suggestions."""
    made: dict[str, Any] = {}
    names = {f.name for f in dataclasses.fields(RunConfig)}
    for key, value in tables.items():
        if key not in names:
            raise unknown_name("setting", key, names, "See `surfhead show preset fast`.", OptionError)
        if key == "rig" and isinstance(value, Mapping):
            made |= {{"train": "train_rig"}.get(k, k): value[k] for k in RIG_KEYS if k in value}
            value = {k: v for k, v in value.items() if k not in RIG_KEYS}
        made[key] = _convert(key, value)
    simple = {k: v for k, v in made.items() if not _structured(k)}
    shaped = {k: v for k, v in made.items() if _structured(k)}
    checked: RunConfig = build(RunConfig, simple, THE_RUN)
    return dataclasses.replace(checked, **shaped)


_SECTIONS: dict[str, type[Any]] = {
    "freeze": Freeze,
    "evaluate": Occasions,
    "checkpoint": Occasions,
    "export": Exports,
}


def _structured(key: str) -> bool:
    return key in COMPONENTS or key in _SECTIONS or key in ("regularizers", "observers", "rate")


def _convert(key: str, value: Any) -> Any:
    if key == "background" and isinstance(value, str):
        if value not in BACKGROUNDS:
            raise unknown_name("background", value, BACKGROUNDS, "Or give three numbers.", OptionError)
        return BACKGROUNDS[value]
    if not _structured(key):
        return value
    if key in COMPONENTS:
        table = {"name": value} if isinstance(value, str) else _table(key, value)
        name = table.pop("name", None) or getattr(RunConfig, key).name
        return Choice(str(name), table)
    table = _table(key, value)
    if key in _SECTIONS:
        return build(_SECTIONS[key], table, f"[{key}]")
    if key == "rate":
        rig: Any = table.pop("rig", {})
        table |= {f"rig.{name}": row for name, row in _table("rate.rig", rig).items()}
        return {
            group: build(
                Rate,
                {"initial": row} if isinstance(row, (int, float)) else _table(f"rate.{group}", row),
                f"[rate.{group}]",
            )
            for group, row in table.items()
        }
    if key == "observers":
        return {name: _table(f"observers.{name}", row) for name, row in table.items()}
    terms = {}
    for name, row in table.items():
        row = {"weight": row} if isinstance(row, (int, float)) else _table(f"regularizers.{name}", row)
        own = {k: row.pop(k) for k in TRAINER_KEYS if k in row}
        term = build(Term, own, f'regularizer "{name}"')
        terms[name] = dataclasses.replace(term, options=row)
    return terms


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(
            f'Setting "{key}" is {value!r}.', "Expected a table.", f"Write {key}.OPTION=VALUE instead."
        )
    return dict(value)


def dump(config: RunConfig) -> str:
    """A RunConfig as TOML, from which ``resolve`` makes the same RunConfig again."""
    return tomli_w.dumps(as_tables(config))


def as_tables(config: RunConfig) -> dict[str, Any]:
    """A RunConfig as nested tables without None."""
    tables: dict[str, Any] = {}
    for item in dataclasses.fields(RunConfig):
        value = getattr(config, item.name)
        if isinstance(value, Choice):
            tables[item.name] = {"name": value.name, **value.options}
        elif item.name == "regularizers":
            tables[item.name] = {
                name: {
                    **{k: getattr(t, k) for k in TRAINER_KEYS if getattr(t, k) is not None},
                    **t.options,
                }
                for name, t in value.items()
            }
        elif item.name == "rate":
            rates: dict[str, Any] = tables.setdefault(item.name, {})
            for group, rate in value.items():
                above, _, name = group.rpartition(".")  # those of the rig: rig.NAME
                table = rates.setdefault(above, {}) if above else rates
                table[name] = _without_none(dataclasses.asdict(rate))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            tables[item.name] = _without_none(dataclasses.asdict(value))
        elif value is not None and item.name not in ("train_rig", "train_identity"):
            tables[item.name] = value
    tables["rig"] |= {"train": config.train_rig, "train_identity": config.train_identity}
    plain: dict[str, Any] = _plain(tables)
    # TOML wants plain values before tables
    return dict(sorted(plain.items(), key=lambda kv: isinstance(kv[1], dict)))


def _without_none(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value

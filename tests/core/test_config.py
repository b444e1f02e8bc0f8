"""Layers of configuration, what they resolve to, and what is refused."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from surfhead.core.config import Choice, Occasions, Rate, RunConfig, Term, as_tables, dump, resolve
from surfhead.core.errors import DataError, OptionError, UnknownNameError
from surfhead.core.registry import registry
from surfhead.runs.layers import (
    configured,
    merge,
    nested,
    preset,
    preset_description,
    preset_names,
    read_file,
)


def test_a_data_sets_own_rig_is_no_component_of_the_run() -> None:
    low = {"data": {"name": "synthetic", "rig": "procedural"}, "rig": "flame"}
    found = merge(low, {"data": {"rig": "ict"}, "rig": "ict"})
    assert found == {"data": {"name": "synthetic", "rig": "ict"}, "rig": {"name": "ict"}}


def test_later_layers_win_key_by_key() -> None:
    low = {
        "iterations": 10,
        "deformer": {"name": "jbs", "rotation_blend": "paper"},
        "freeze": {"eyeballs": True},
    }
    high = {"iterations": 20, "freeze": {"boundary": True}}
    merged = resolve(merge(low, high))
    assert merged.iterations == 20
    assert merged.deformer == Choice("jbs", {"rotation_blend": "paper"})
    assert (merged.freeze.eyeballs, merged.freeze.boundary) == (True, True)


def test_naming_another_component_drops_the_earlier_ones_options() -> None:
    low = {"deformer": {"name": "jbs", "rotation_blend": "paper"}}
    assert resolve(merge(low, {"deformer": {"name": "lbs"}})).deformer == Choice("lbs")
    assert resolve(merge(low, {"deformer": "lbs"})).deformer == Choice("lbs")


def test_naming_the_same_component_keeps_them() -> None:
    low = {"deformer": {"name": "jbs", "rotation_blend": "paper"}}
    kept = Choice("jbs", {"rotation_blend": "paper"})
    assert resolve(merge(low, {"deformer": {"name": "jbs"}})).deformer == kept
    assert resolve(merge(low, {"deformer": "jbs"})).deformer == kept


def test_an_option_for_a_component_named_in_short_keeps_the_name() -> None:
    merged = resolve(merge({"deformer": "lbs"}, {"deformer": {"rig_gradients": False}}))
    assert merged.deformer == Choice("lbs", {"rig_gradients": False})


@pytest.mark.parametrize("low", [0.05, {"weight": 0.05}])
def test_a_terms_start_and_weight_come_from_different_layers(low: Any) -> None:
    merged = resolve(merge({"regularizers": {"normal": low}}, {"regularizers": {"normal": {"start": 100}}}))
    assert merged.regularizers["normal"] == Term(weight=0.05, start=100)
    again = merge(as_tables(merged), {"regularizers": {"normal": 0.1}})
    assert resolve(again).regularizers["normal"] == Term(weight=0.1, start=100)


def test_merging_changes_neither_layer() -> None:
    low: dict[str, Any] = {"regularizers": {"l1": {"weight": 0.8}}}
    high: dict[str, Any] = {"regularizers": {"dssim": {"weight": 0.2}}}
    merged = merge(low, high)
    merged["regularizers"]["l1"]["weight"] = 5
    assert set(merged["regularizers"]) == {"l1", "dssim"}
    assert high == {"regularizers": {"dssim": {"weight": 0.2}}}
    assert set(low["regularizers"]) == {"l1"}


def test_dotted_keys_become_tables() -> None:
    rows = [("a.b.c", 1), ("a.b.d", 2), ("e", 3), ("f", {"x": 1}), ("f", {"y": 2})]
    assert nested(rows) == {"a": {"b": {"c": 1, "d": 2}}, "e": 3, "f": {"x": 1, "y": 2}}
    with pytest.raises(OptionError, match='"a.b" needs a table at "a"'):
        nested([("a", 1), ("a.b", 2)])


FULL = {
    "iterations": 500,
    "batch_size": 4,
    "background": "black",
    "hold_out": True,
    "data": {"name": "synthetic", "width": 64},
    "deformer": "jbs",
    "rig": {"train": False},
    "regularizers": {"l1": 0.8, "normal": {"start": 10, "ramp": 5, "depth_ratio": 1.0}},
    "observers": {"jsonl": {"every": 50}},
    "rate": {"offset": 1e-3, "opacity": {"initial": 0.1, "final": 0.01}, "rig": {"expression": 2e-3}},
    "evaluate": {"at": [0, 100], "every": 200},
    "checkpoint": {"every": 50},
}


def test_what_nothing_is_said_of_is_the_usual() -> None:
    config = configured({"deformer": {"rotation_blend": "paper"}, "data": {"width": 64}, "appearance": "sh"})
    assert config.deformer == Choice("jbs", {"rotation_blend": "paper"})
    assert config.data == Choice("synthetic", {"width": 64})
    assert (config.appearance, config.densifier) == (Choice("sh"), Choice("adaptive"))
    assert (config.rig.name, config.rasterizer.name, config.export.format) == ("auto", "auto", "surfhead")
    assert resolve({}).deformer.name == "auto"


def test_everything_resolves_to_typed_values() -> None:
    config = resolve(FULL)
    assert config.background == (0.0, 0.0, 0.0)
    assert config.data == Choice("synthetic", {"width": 64})
    assert config.train_rig is False
    assert config.rig.name == "auto"
    assert config.regularizers == {
        "l1": Term(weight=0.8),
        "normal": Term(start=10, ramp=5, options={"depth_ratio": 1.0}),
    }
    assert config.rate == {
        "offset": Rate(initial=1e-3),
        "opacity": Rate(initial=0.1, final=0.01),
        "rig.expression": Rate(initial=2e-3),
    }
    assert config.evaluate == Occasions(every=200, at=(0, 100))
    assert config.observers == {"jsonl": {"every": 50}}


@pytest.mark.parametrize("tables", [{}, FULL, *map(preset, preset_names())])
def test_what_is_saved_resolves_to_the_same_run(tables: dict[str, Any]) -> None:
    config = resolve(tables)
    assert resolve(tomllib.loads(dump(config))) == config


@pytest.mark.parametrize(
    ("tables", "error", "says"),
    [
        ({"iteratons": 3}, OptionError, 'Did you mean "iterations"'),
        ({"iterations": "many"}, OptionError, '"iterations" of the run'),
        ({"iterations": -1}, OptionError, "Expected 0 to 1e"),
        ({"batch_size": 0}, OptionError, "Expected 1 to 4096"),
        ({"cache": "rom"}, OptionError, 'Did you mean "ram"'),
        ({"background": "blak"}, OptionError, 'Did you mean "black"'),
        ({"background": [0, 0]}, OptionError, "background"),
        ({"deformer": 3}, OptionError, "Expected a table"),
        ({"regularizers": {"l1": "much"}}, OptionError, "regularizers.l1"),
        ({"regularizers": {"l1": {"weight": "much"}}}, OptionError, '"weight" of regularizer "l1"'),
        ({"freeze": {"eyebals": True}}, OptionError, 'Did you mean "eyeballs"'),
        ({"rate": {"offset": {"inital": 1.0}}}, OptionError, 'Did you mean "initial"'),
        ({"evaluate": {"every": "often"}}, OptionError, "[evaluate]"),
        ({"evaluate": {"every": -1}}, OptionError, "--set evaluate.every"),
        ({"checkpoint": {"limit": 10**13}}, OptionError, 'Option "limit" of [checkpoint] is 10000000000000.'),
        ({"export": {"final": -1}}, OptionError, "Expected 0 to 1e+12"),
        ({"regularizers": {"l1": -0.5}}, OptionError, 'Option "weight" of regularizer "l1" is -0.5.'),
        ({"regularizers": {"l1": {"ramp": -1}}}, OptionError, "--set regularizers.l1.ramp"),
        ({"regularizers": {"l1": {"start": math.nan}}}, OptionError, "(NaN)"),
        ({"rate": {"offset": {"delay": math.inf}}}, OptionError, "--set rate.offset.delay"),
        ({"rate": {"rig": {"jaw": -1.0}}}, OptionError, '"initial" of [rate.rig.jaw] is -1.0.'),
    ],
)
def test_what_cannot_be_meant_is_refused(tables: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        resolve(tables)
    assert says in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("iterations = = 3")
    with pytest.raises(DataError, match="line 1"):
        read_file(file)
    with pytest.raises(DataError, match=r"missing\.toml"):
        read_file(tmp_path / "missing.toml")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        read_file(file)
    file.write_text("iterations = 3")
    assert read_file(file) == {"iterations": 3}


def test_the_presets_of_the_method_are_there_and_name_what_exists() -> None:
    wanted = {
        "tiny",
        "fast",
        "paper",
        "static",
        "monocular",
        "vanilla",
        "+jacobian",
        "+jbs",
        "-eyeballs",
        "+lasg",
    }
    assert wanted <= set(preset_names())
    found = registry()
    for name in sorted(wanted):
        assert preset_description(name), name
        config = configured(preset(name))
        for kind, choice in (("deformer", config.deformer), ("appearance", config.appearance)):
            found.create(kind, choice.name, choice.options, length=config.iterations)
        found.create("densifier", config.densifier.name, config.densifier.options, length=config.iterations)
        for term, row in config.regularizers.items():
            found.create("regularizer", term, row.options)
        assert any(row.weight != 0 for row in config.regularizers.values()), name
    with pytest.raises(UnknownNameError, match='Did you mean "paper"'):
        preset("papr")


def test_the_ablation_presets_are_the_published_ones() -> None:
    def chosen(name: str) -> tuple[str, str]:
        config = configured(preset(name))
        return config.deformer.name, config.appearance.name

    assert chosen("vanilla") == ("similarity", "asg")
    assert chosen("+jacobian") == ("jacobian", "asg")
    assert chosen("+jbs") == ("jbs", "asg")
    assert chosen("-eyeballs") == ("jbs", "sh")
    assert chosen("+lasg") == ("jbs", "lasg")
    assert "eye_opacity" in resolve(preset("vanilla")).regularizers
    off = resolve(preset("-eyeballs")).regularizers.get("eye_opacity")
    assert off is None or off.weight == 0
    final, paper = as_tables(configured(preset("+lasg"))), as_tables(configured(preset("paper")))
    assert {k for k in paper if paper[k] != final.get(k)} <= {"hold_out"}


@pytest.mark.parametrize(
    ("occasions", "span", "due"),
    [
        (Occasions(every=10), (9, 10), True),
        (Occasions(every=10), (10, 19), False),
        (Occasions(every=10), (8, 32), True),
        (Occasions(at=(5,)), (4, 5), True),
        (Occasions(at=(5,)), (5, 6), False),
        (Occasions(), (0, 10**6), False),
    ],
)
def test_occasions_are_due_once_however_large_the_steps(
    occasions: Occasions, span: tuple[int, int], due: bool
) -> None:
    assert occasions.due(*span) is due


def test_a_run_is_frozen() -> None:
    with pytest.raises(AttributeError):
        RunConfig().iterations = 3  # type: ignore[misc]

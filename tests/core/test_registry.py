"""Discovery, lookup and creation; duplicate, broken, misspelt and missing plugins are told apart."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from surfhead.core.api import Regularizer, Step, hookimpl
from surfhead.core.errors import OptionError, PluginLoadError, UnavailableError, UnknownNameError
from surfhead.core.hookspecs import KINDS
from surfhead.core.registry import Registry, Source

HERE = Source("file", "mine.py", "/plugins/mine.py")
THERE = Source("file", "yours.py", "/plugins/yours.py")


class Mine(Regularizer):
    """A loss term."""

    name = "mine"
    summary = "Mine."

    def __call__(self, step: Step) -> torch.Tensor:
        return step.output.alpha.sum()


def plugin(*registered: Any, hook: str = "register_regularizers") -> ModuleType:
    """A module with one hook that registers these arguments."""
    module = ModuleType("plugin")

    def register_all(register: Any) -> None:
        for arguments in registered:
            register(*arguments) if isinstance(arguments, tuple) else register(arguments)

    setattr(module, hook, hookimpl(register_all))
    return module


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="module")
def discovered() -> Registry:
    return Registry().discover()


def test_the_built_ins_are_found_by_walking_the_package(discovered: Registry) -> None:
    assert {"jbs", "jacobian", "lbs", "similarity", "static"} <= set(discovered.names("deformer"))
    assert {row.kind for row in discovered.registrations()} <= set(KINDS)
    (row,) = [r for r in discovered.registrations("deformer") if r.name == "jbs"]
    assert row.source.origin == "built-in"
    assert row.source.package == "surfhead"
    assert isinstance(row.target, str)


def test_a_class_may_be_registered_as_it_is(registry: Registry) -> None:
    registry.add(plugin(Mine), HERE)
    row = registry.registration("regularizer", "mine")
    assert (row.name, row.summary, row.target, row.source) == ("mine", "Mine.", Mine, HERE)
    assert isinstance(registry.create("regularizer", "mine"), Mine)


def test_a_string_is_resolved_only_when_asked_for(registry: Registry) -> None:
    registry.add(plugin(("mine", "no_such_module:Mine", "Mine.")), HERE)
    assert registry.names("regularizer") == ["mine"]
    with pytest.raises(PluginLoadError) as caught:
        registry.get("regularizer", "mine")
    assert "ModuleNotFoundError" in caught.value.what
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_two_plugins_with_one_name_are_both_named_when_it_is_asked_for(registry: Registry) -> None:
    registry.add(plugin(Mine), HERE)
    registry.add(plugin(("mine", "elsewhere:Mine", "Yours.")), THERE)
    assert registry.names("regularizer") == ["mine"]
    with pytest.raises(PluginLoadError) as caught:
        registry.get("regularizer", "mine")
    assert HERE.file in str(caught.value)
    assert THERE.file in str(caught.value)


def test_a_misspelt_hook_blames_its_plugin_and_leaves_nothing_behind(registry: Registry) -> None:
    registry.add(plugin(Mine), HERE)
    with pytest.raises(PluginLoadError, match=r'Plugin "yours\.py" does not fit') as caught:
        registry.add(plugin(Mine, hook="register_regularizer"), THERE)
    assert "register_regularizers" in caught.value.exists
    registry.add(plugin(("other", "x:Y", "")), Source("file", "third.py", "/plugins/third.py"))
    assert registry.names("regularizer") == ["mine", "other"]


def test_a_plugin_that_raises_half_way_registers_nothing(registry: Registry) -> None:
    with pytest.raises(PluginLoadError, match="without a name"):
        registry.add(plugin(Mine, (3,)), HERE)
    assert registry.names("regularizer") == []


@pytest.mark.parametrize("thing", [3, ("", "module:Class"), (None, "module:Class"), ("name", 4)])
def test_what_has_no_name_or_is_no_class_is_refused(registry: Registry, thing: Any) -> None:
    with pytest.raises(PluginLoadError, match="without a name"):
        registry.add(plugin(thing), HERE)


def test_a_plugin_that_registers_nothing_says_so(registry: Registry) -> None:
    with pytest.raises(PluginLoadError, match="registers nothing"):
        registry.add(plugin(), HERE)
    with pytest.raises(PluginLoadError, match="registers nothing"):
        registry.add(ModuleType("empty"), THERE)


def test_a_component_of_another_kind_is_refused(registry: Registry) -> None:
    registry.add(plugin(Mine, hook="register_deformers"), HERE)
    with pytest.raises(PluginLoadError, match="is not a Deformer"):
        registry.get("deformer", "mine")


def test_a_class_that_calls_itself_otherwise_is_refused(registry: Registry) -> None:
    registry.add(plugin(("other", f"{__name__}:Mine", "")), HERE)
    with pytest.raises(PluginLoadError, match='calls itself "mine"'):
        registry.get("regularizer", "other")


def test_unknown_names_and_kinds_get_suggestions(discovered: Registry) -> None:
    with pytest.raises(UnknownNameError, match='Did you mean "jbs"'):
        discovered.get("deformer", "jbss")
    with pytest.raises(UnknownNameError, match='Did you mean "deformer"'):
        list(discovered.registrations("deformr"))


def test_options_are_checked_on_creation(discovered: Registry) -> None:
    made = discovered.create("deformer", "jbs", {"rotation_blend": "paper", "rig_gradients": "false"})
    assert (made.options.rotation_blend, made.options.rig_gradients) == ("paper", False)
    with pytest.raises(OptionError, match='Did you mean "rotation_blend"'):
        discovered.create("deformer", "jbs", {"rotation_blnd": "paper"})


def test_auto_is_the_available_one_of_highest_priority(registry: Registry) -> None:
    def term(label: str, rank: int, reason: str | None = None) -> type[Mine]:
        class Term(Mine):
            name = label
            priority = rank

            @classmethod
            def available(cls) -> str | None:
                return reason

        return Term

    lacking = term("lacking", 8, "no oar: pip install oar")
    terms = (term("low", 1), term("high", 2), term("best", 9, "no GPU"), term("never", -1), lacking)
    registry.add(plugin(*terms), HERE)
    assert registry.usable("regularizer") == ["high", "low"]
    assert registry.create("regularizer", "auto").name == "high"
    assert registry.create("regularizer", "never").name == "never"
    with pytest.raises(UnavailableError, match="cannot run here: no GPU") as caught:
        registry.create("regularizer", "best")
    assert caught.value.exists == "Available: high, low."
    assert caught.value.remedy == "Choose one of these, or see `surfhead doctor`."
    with pytest.raises(UnavailableError, match=r"cannot run here: no oar\.") as caught:
        registry.create("regularizer", "lacking")
    assert (caught.value.exists, caught.value.remedy) == ("Available: high, low.", "Run: pip install oar")
    with pytest.raises(UnknownNameError, match="No deformer can run"):
        registry.best("deformer")


FILE = """
from surfhead.core.api import Regularizer, hookimpl

class Mine(Regularizer):
    name = "from-file"
    summary = "From a file."

    def __call__(self, step):
        return step.output.alpha.sum()

@hookimpl
def register_regularizers(register):
    register(Mine)
"""


def test_a_plugin_file_is_loaded_once_and_remembered_with_its_hash(
    registry: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    registry.load_file(file)
    registry.load_file(file)
    row = registry.registration("regularizer", "from-file")
    assert row.source.origin == "file"
    assert row.source.file == str(file)
    assert len(row.source.sha256) == 64
    made = registry.create("regularizer", "from-file")
    assert sys.modules[type(made).__module__].__file__ == str(file)


def test_missing_and_broken_files_are_told_apart(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(PluginLoadError, match="There is no plugin file"):
        registry.load_file(tmp_path / "nowhere.py")
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module")
    before = set(sys.modules)
    with pytest.raises(PluginLoadError, match="ModuleNotFoundError"):
        registry.load_file(broken)
    assert not [name for name in set(sys.modules) - before if "broken" in name]
    broken.write_text("def f(:")
    with pytest.raises(PluginLoadError, match="SyntaxError"):
        registry.load_file(broken)
    other = tmp_path / "plugin.txt"
    other.write_text(FILE)
    with pytest.raises(PluginLoadError, match="not a Python file"):
        registry.load_file(other)


def test_files_of_the_environment_are_found_and_broken_ones_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(FILE)
    bad.write_text("1 / 0")
    monkeypatch.setenv("SURFHEAD_PLUGINS", os.pathsep.join([str(good), str(bad), ""]))
    found = Registry().discover()
    assert "from-file" in found.names("regularizer")
    (problem,) = [p for p in found.problems if p.source.origin == "file"]
    assert "ZeroDivisionError" in problem.reason
    with pytest.raises(PluginLoadError, match="ZeroDivisionError"):
        found.get("regularizer", "bad")
    with pytest.raises(UnknownNameError, match="Broken plugins that may hold it"):
        found.get("regularizer", "what-bad-held")


def test_entry_points_are_found_and_broken_ones_do_not_break_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def point(name: str, loaded: Any) -> Any:
        def load() -> Any:
            if isinstance(loaded, Exception):
                raise loaded
            return loaded

        distribution = SimpleNamespace(name=f"surfhead-{name}", version="1.2")
        return SimpleNamespace(name=name, value=f"{name}_module", dist=distribution, load=load)

    points = [
        point("good", plugin(Mine)),
        point("crash", RuntimeError("out of cheese")),
        point("typo", plugin(Mine, hook="register_regularisers")),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    found = Registry().discover()
    source = found.registration("regularizer", "mine").source
    assert (source.origin, source.package, source.version) == ("entry point", "surfhead-good", "1.2")
    reasons = {problem.source.label: problem.reason for problem in found.problems}
    assert "out of cheese" in reasons["surfhead-crash"]
    assert "register_regularisers" in reasons["surfhead-typo"]
    assert "jbs" in found.names("deformer")
    with pytest.raises(PluginLoadError, match="out of cheese"):
        found.get("deformer", "surfhead-crash")


def test_a_plugin_that_exits_on_import_does_not_take_the_process_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = tmp_path / "leaving.py"
    leaving.write_text("import sys\nsys.exit(3)\n")
    monkeypatch.setenv("SURFHEAD_PLUGINS", str(leaving))
    found = Registry().discover()
    assert "jbs" in found.names("deformer")
    assert ["SystemExit: 3" in problem.reason for problem in found.problems] == [True]

"""Old names of components, options, presets and settings: they work on, say so, and give way to new ones."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from surfhead import open_run
from surfhead.core import registry as registry_module
from surfhead.core.api import create
from surfhead.core.errors import OptionError, UnknownNameError
from surfhead.data.feed import cameras_of
from surfhead.runs.configuration import configure
from surfhead.runs.layers import configured, preset
from surfhead.runs.new_names import with_new_names
from surfhead.runs.train import train
from surfhead.terminal import renamed
from surfhead.terminal.renamed import Renamed, RenamedWarning, rename
from tests.commands.conftest import surfhead
from tests.runs.test_restoration import EXPECTED, old_run

__all__ = ["old_run", "surfhead"]

PLUGIN = '''
from surfhead.core.api import create, hookimpl, option
from surfhead.terminal.renamed import rename
from dataclasses import dataclass

Jacobian = type(create("deformer", "jacobian"))

rename("deformer", "stiff", "rigid", gone="2.0 of surfhead-mine")
rename("deformer", "softness", "blend", gone="2.0 of surfhead-mine", of="rigid")


class Rigid(Jacobian):
    """It."""

    name = "rigid"
    summary = "It."

    @dataclass(frozen=True)
    class Options:
        """Its."""

        blend: float = option(0.5, "How much.", low=0, high=1)


@hookimpl
def register_deformers(register):
    register(Rigid)
'''


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of this test alone."""
    for table in ("OF_COMPONENTS", "OF_COMPONENT_OPTIONS", "OF_PRESETS", "OF_SETTINGS"):
        monkeypatch.setattr(renamed, table, {})


def test_an_old_component_is_the_new_one_and_says_so() -> None:
    rename("deformer", "blended", "jbs", "0.4")
    words = '^deformer "blended" is called "jbs" now; the old name is gone with version 0.4.$'
    with pytest.warns(RenamedWarning, match=words) as heard:
        assert create("deformer", "blended").name == "jbs"
    assert [row.filename for row in heard] == [__file__]  # where it is used
    with pytest.raises(UnknownNameError, match="blendet"):
        create("deformer", "blendet")


def test_an_old_option_is_the_new_one_and_says_so() -> None:
    rename("appearance", "order", "degree", "0.4", of="sh")
    words = 'option "order" of appearance "sh" is called "degree" now; the old name is gone with version 0.4.'
    with pytest.warns(RenamedWarning, match=words):
        assert create("appearance", "sh", {"order": 1}).options.degree == 1
    with pytest.warns(RenamedWarning):
        assert create("appearance", "sh", {"order": 1, "degree": 2}).options.degree == 2  # the new one counts
    with pytest.raises(OptionError, match="order"):
        create("appearance", "lasg", {"order": 1})  # it is an option of one component


def test_a_name_that_is_registered_is_never_an_old_one() -> None:
    rename("deformer", "jbs", "lbs", "0.4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert create("deformer", "jbs").name == "jbs"
        assert configure(settings={"deformer": "jbs"}).deformer.name == "jbs"


def test_names_that_changed_twice_lead_to_the_present_one() -> None:
    """The first name is told with the version that it is gone with, once."""
    for old, new, gone in (("a", "b", "0.4"), ("b", "jbs", "0.5")):
        rename("deformer", old, new, gone)
    for old, new, gone in (("o", "order", "0.4"), ("order", "degree", "0.5")):
        rename("appearance", old, new, gone, of="sh")
    with pytest.warns(RenamedWarning, match='"a" is called "jbs" now; .* version 0.4') as heard:
        assert create("deformer", "a").name == "jbs"
    assert len(heard) == 1
    with pytest.warns(RenamedWarning, match='"o" of appearance "sh" is called "degree" now; .* version 0.4'):
        assert create("appearance", "sh", {"o": 1}).options.degree == 1


def test_names_in_a_circle_are_no_names() -> None:
    for old, new in (("a", "b"), ("b", "a"), ("own", "own")):
        rename("deformer", old, new, "0.4")
        rename("appearance", old, new, "0.4", of="sh")
    for name in ("a", "own"):
        with pytest.raises(UnknownNameError, match=f'deformer "{name}"'):
            create("deformer", name)
        with pytest.raises(UnknownNameError, match=f'deformer "{name}"'):
            configure(settings={"deformer": name})
        with pytest.raises(OptionError, match=f'"sh" "{name}"'):
            create("appearance", "sh", {name: 1})


def test_an_option_that_is_there_is_never_an_old_one() -> None:
    """A plugin that wants to rename an option and left it declared: its value must not vanish."""
    rename("appearance", "degree", "interval", "0.4", of="sh")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert create("appearance", "sh", {"degree": 1}).options.degree == 1
        config = configure(settings={"appearance": {"name": "sh", "degree": 1}})
    assert config.appearance.options == {"degree": 1}


@pytest.mark.parametrize("names", [("l1", "mean_error"), ("mean_error", "l1")])
def test_of_an_old_and_a_new_name_of_a_term_the_new_one_counts(names: tuple[str, str]) -> None:
    rename("regularizer", "mean_error", "l1", "0.4")
    weights = {"l1": 0.5, "mean_error": 0.3}
    with pytest.warns(RenamedWarning):
        config = configure(settings={"regularizers": {name: weights[name] for name in names}})
    assert config.regularizers["l1"].weight == 0.5


@pytest.mark.parametrize(
    ("old", "new", "given", "found"),
    [
        ("measure.often", "evaluate.every", {"measure": {"often": 3}}, {"evaluate": {"every": 3}}),
        (
            "blend",
            "deformer.rotation_blend",
            {"deformer": "lbs", "blend": 3},
            {"deformer": {"name": "lbs", "rotation_blend": 3}},
        ),
        ("images", "iterations", {"images": None}, {"iterations": None}),
        ("images", "evaluate.every", {"images": 3, "evaluate": [1]}, {"evaluate": [1]}),
    ],
)
def test_a_setting_moves_with_nothing_left_and_nothing_lost(
    old: str, new: str, given: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty table would be an unknown setting; another component's name must stay."""
    monkeypatch.setitem(renamed.OF_SETTINGS, old, Renamed(new, "0.4"))
    with pytest.warns(RenamedWarning):
        assert with_new_names(given, {}) == found


def test_what_installed_plugins_renamed_is_known_before_anything_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "rigid.py"
    plugin.write_text(PLUGIN)
    monkeypatch.setenv("SURFHEAD_PLUGINS", str(plugin))
    monkeypatch.setattr(registry_module, "_current", None)
    with pytest.warns(RenamedWarning):
        config = configure(settings={"deformer": {"name": "stiff", "softness": 0.3}})
    assert (config.deformer.name, config.deformer.options) == ("rigid", {"blend": 0.3})


@pytest.mark.parametrize("table", [{"name": "harmonics", "order": 1}, "harmonics"])
def test_tables_get_the_present_names(table: Any) -> None:
    rename("appearance", "harmonics", "sh", "0.4")
    rename("appearance", "order", "degree", "0.4", of="sh")
    with pytest.warns(RenamedWarning):
        config = configure(settings={"appearance": table})
    assert config.appearance.name == "sh"
    assert config.appearance.options == ({} if isinstance(table, str) else {"degree": 1})


def test_an_option_without_its_component_belongs_to_the_layer_belows(tmp_path: Path) -> None:
    rename("appearance", "order", "degree", "0.4", of="sh")
    file = tmp_path / "mine.toml"
    file.write_text('[appearance]\nname = "sh"\ndegree = 2\n')
    with pytest.warns(RenamedWarning):
        config = configure(file=file, settings={"appearance": {"order": 1}})
    assert config.appearance.options == {"degree": 1}  # the higher layer, whatever it calls it


def test_terms_observers_and_formats_have_old_names_too() -> None:
    for kind, old, new in (
        ("regularizer", "mean_error", "l1"),
        ("observer", "board", "tensorboard"),
        ("format", "own", "surfhead"),
        ("dataset", "made", "synthetic"),
    ):
        rename(kind, old, new, "0.4")
    rename("dataset", "wide", "width", "0.4", of="synthetic")
    with pytest.warns(RenamedWarning) as heard:
        config = configure(
            settings={
                "regularizers": {"mean_error": {"weight": 0.3}},
                "observers": {"board": {}},
                "export": {"format": "own"},
                "data": {"name": "made", "wide": 32},
            }
        )
    assert len(heard) == 5
    assert config.regularizers["l1"].weight == 0.3
    assert list(config.observers) == ["progress", "jsonl", "tensorboard"]
    assert config.export.format == "surfhead"
    assert (config.data.name, config.data.options["width"]) == ("synthetic", 32)


def test_old_settings_and_presets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(renamed.OF_SETTINGS, "images", Renamed("iterations", "0.4"))
    monkeypatch.setitem(renamed.OF_SETTINGS, "evaluate.often", Renamed("evaluate.every", "0.4"))
    monkeypatch.setitem(renamed.OF_SETTINGS, "measure_mesh", Renamed("baseline", "0.4"))
    monkeypatch.setitem(renamed.OF_PRESETS, "published", Renamed("paper", "0.4"))
    with pytest.warns(RenamedWarning) as heard:
        config = configure(
            preset="published",
            settings={"images": 7, "evaluate": {"often": 3}, "measure_mesh": True, "iterations": 9},
        )
    assert [str(row.message).partition(" is called")[0] for row in heard] == [
        'preset "published"',
        'setting "images"',
        'setting "evaluate.often"',
        'setting "measure_mesh"',
    ]
    assert (config.iterations, config.evaluate.every, config.baseline, config.preset) == (9, 3, True, "paper")
    assert config.deformer == configured(preset("paper")).deformer


def test_a_run_with_old_names_opens_draws_and_goes_on(old_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, old, new in (
        ("deformer", "blended", "jbs"),
        ("appearance", "harmonics", "sh"),
        ("rig", "own", "procedural"),
    ):
        rename(kind, old, new, "0.4")
    rename("appearance", "order", "degree", "0.4", of="sh")
    monkeypatch.setitem(renamed.OF_SETTINGS, "mean_colours", Renamed("baseline", "0.4"))
    config = old_run / "config.toml"
    text = config.read_text().replace('"jbs"', '"blended"').replace('"sh"', '"harmonics"')
    config.write_text(text.replace("degree =", "order =").replace("baseline =", "mean_colours ="))
    state = old_run / "checkpoints" / "00000004" / "state.json"
    said = state.read_text().replace('"jbs"', '"blended"').replace('"sh"', '"harmonics"')
    state.write_text(said.replace('"procedural"', '"own"'))
    with pytest.warns(RenamedWarning):
        run = open_run(old_run)
    with pytest.warns(RenamedWarning):  # its checkpoint has old names, too
        avatar = run.avatar("cpu", rasterizer="torch")
    cameras = cameras_of(run.scene, [0, 1], torch.device("cpu")).to("cpu", torch.float32)
    drawn = avatar.render(cameras, int(run.scene.views.timestep[0])).output.rgb
    torch.testing.assert_close(drawn, safetensors.torch.load_file(EXPECTED)["rgb"], atol=1e-4, rtol=0)
    with pytest.warns(RenamedWarning):
        train(out=old_run, resume=True, quiet=True)
    meta = json.loads((old_run / "checkpoints" / "00000006" / "state.json").read_text())
    assert {"jbs", "sh", "procedural"} <= {row["name"] for row in meta["components"]}


def test_the_command_line_notes_each_old_name_once(surfhead: Any, tmp_path: Path) -> None:
    plugin = tmp_path / "rigid.py"
    plugin.write_text(PLUGIN)
    said = surfhead("show", "deformer", "blended")
    assert said.code == 2
    rename("deformer", "blended", "jbs", "0.4")
    said = surfhead("show", "deformer", "blended")
    assert said.code == 0
    assert said.out.startswith("deformer jbs: ")
    assert said.err.count('note: deformer "blended" is called "jbs" now') == 1
    said = surfhead(
        *(
            "train",
            "--plugin",
            str(plugin),
            "--preset",
            "tiny",
            "--deformer",
            "stiff",
            "--set",
            "deformer.softness=2",
        ),
        *("--out", "run"),
    )
    assert said.code == 2  # what is wrong with it is said of the present name
    assert 'Option "blend" of deformer "rigid"' in said.err
    note = '"stiff" is called "rigid" now; the old name is gone with version 2.0 of surfhead-mine.\n'
    assert said.err.count(note) == 1
    assert said.err.count("note:") == 2
    assert not Path("run").exists()


def test_quiet_commands_say_nothing_of_old_names(surfhead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rename("deformer", "blended", "jbs", "0.4")
    monkeypatch.setitem(renamed.OF_OPTIONS, "train", {"--images": Renamed("--iterations", "0.4")})
    said = surfhead("train", "nowhere", "--quiet", "--images", "4", "--deformer", "blended")
    assert said.code == 2
    assert "nowhere" in said.err
    assert "note:" not in said.err

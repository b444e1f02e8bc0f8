"""Every preset with every component that may be chosen beside it: nothing of a preset stops a choice."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.api import create
from surfhead.core.config import RunConfig, dump
from surfhead.core.errors import OptionError, UnknownNameError
from surfhead.core.registry import registry
from surfhead.core.types import Batch, Step
from surfhead.runs.configuration import configure
from surfhead.runs.layers import preset_names
from surfhead.testing import tiny
from surfhead.training.optimiser import Optimiser
from surfhead.training.weighted_term import make_terms, weighted_sum
from tests.runs.tiny_run import tiny_avatar

SIDE = 6
CHOICES = [
    (kind, name)
    for kind in ("deformer", "appearance", "rasterizer", "densifier")
    for name in registry().names(kind)
]


def build(config: RunConfig) -> Optimiser:
    """All that a run makes of its configuration, and the loss of its first and last step."""
    avatar = tiny_avatar(config.deformer.name, config.appearance.name)
    registry().create("densifier", config.densifier.name, config.densifier.options, length=config.iterations)
    optimiser = Optimiser(avatar, config, extent=1.0)
    terms = [term for term in make_terms(config) if term.weight > 0]
    cameras = tiny.cameras(2, SIDE, SIDE)
    rendering = avatar.render(cameras, {"translation": torch.zeros(2, 3)})
    picture = (2, SIDE, SIDE)
    places = torch.arange(2) if avatar.deformer.rig_bound else torch.zeros(2, dtype=torch.int64)
    batch = Batch(
        cameras, places, places, torch.rand(*picture, 3), torch.ones(2, 3),
        mask=torch.full(picture, 255, dtype=torch.uint8),
    )  # fmt: skip
    for images in (0, config.iterations):
        step = Step(
            images, batch, rendering.output, rendering.surfels, avatar.surfels.binding(), rendering.field,
            rendering.mesh, 1.0, rendering.rig_parameters,
        )  # fmt: skip
        assert bool(weighted_sum(terms, step).total.isfinite())
    return optimiser


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize(("kind", "name"), CHOICES)
def test_a_choice_goes_with_a_preset(preset: str, kind: str, name: str) -> None:
    build(configure(preset=preset, settings={kind: {"name": name}}))


@pytest.mark.parametrize("settings", [3, "jbs", [1], {3: 4}, {"deformer": {3: 4}}])
def test_settings_from_python_are_tables_of_names(settings: Any) -> None:
    with pytest.raises(OptionError, match=r"(?s)settings.*Expected a table whose keys are names"):
        configure(settings=settings)


@pytest.mark.parametrize("name", [3, ["tiny"]])
def test_what_is_no_name_is_unknown(name: Any) -> None:
    with pytest.raises(UnknownNameError, match="Unknown preset"):
        configure(preset=name)
    with pytest.raises(UnknownNameError, match="Unknown deformer"):
        create("deformer", name)


def test_a_configuration_file_may_be_named_by_a_string(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("iterations = 7\n")
    assert configure(file=str(tmp_path / "mine.toml")).iterations == 7


@pytest.mark.parametrize("name", registry().names("regularizer"))
def test_a_term_goes_with_a_preset(name: str) -> None:
    for preset in preset_names():
        config = configure(preset=preset, settings={"regularizers": {name: 0.5}})
        assert name in [term.name for term in make_terms(config)]


PLAIN = """
import torch
from surfhead.core.api import Appearance, Colour, ParameterSpec, Schedule, hookimpl


class Plain(Appearance):
    name = "plain"
    summary = "A colour for each surfel, in a group of its own."

    def parameters(self):
        return {"shade": ParameterSpec((3,), 0.5, Schedule(1e-3))}

    def __call__(self, binding, directions, normals, rotation, parts=False, surface=None):
        return Colour(binding.parameters["shade"].expand(len(directions), -1, -1), {})


@hookimpl
def register_appearances(register):
    register(Plain)
"""


def test_a_presets_rate_is_let_go_where_no_component_has_such_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a user is an error; so it is after the configuration was written and read."""
    from surfhead.core import registry as module

    monkeypatch.setattr(module, "_current", None)
    file = tmp_path / "plain.py"
    file.write_text(PLAIN)
    chosen = {"appearance": {"name": "plain"}, "plugins": [str(file)]}
    config = configure(preset="fast", settings=chosen)
    assert config.rate["sh"].optional
    assert "sh" not in Optimiser(tiny_avatar("jbs", "plain"), config, 1.0).groups
    (tmp_path / "run.toml").write_text(dump(config))
    again = configure(preset=None, file=tmp_path / "run.toml", settings={"plugins": [str(file)]})
    assert again.rate == config.rate
    for rate in (0.01, {"initial": 0.01}):
        typed = configure(preset="fast", settings={**chosen, "rate": {"sh": rate}})
        assert dataclasses.replace(typed.rate["sh"], optional=True) == config.rate["sh"]
        with pytest.raises(UnknownNameError, match='Unknown rate "sh"'):
            Optimiser(tiny_avatar("jbs", "plain"), typed, 1.0)
    typed = configure(preset="fast", settings={**chosen, "rate": {"rig": {"tranlation": 0.01}}})
    with pytest.raises(UnknownNameError, match='Unknown rate "rig.tranlation"'):
        Optimiser(tiny_avatar("jbs", "plain"), typed, 1.0)

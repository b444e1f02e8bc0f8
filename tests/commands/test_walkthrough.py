"""The options, presets and words of the program that docs/monocular.md names are there."""

from __future__ import annotations

import re
from pathlib import Path

from surfhead.core.scene import Scene
from surfhead.data import data_check
from surfhead.plugins.datasets.vhap.vhap import Vhap
from surfhead.runs import layers
from tests.commands.conftest import Surfhead

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "monocular.md").read_text(encoding="utf-8")


def test_every_option_in_its_text_exists(surfhead: Surfhead) -> None:
    ours = re.findall(r"`(--[a-z]+)[^`]*`", PAGE[PAGE.index("## 4") :])
    helped = surfhead("train", "--help").out + surfhead("reenact", "--help").out
    foreign = {"--exp", "--model"}  # options of the tracker
    assert len(ours) > 5
    assert [word for word in ours if word not in helped and word not in foreign] == []


def test_what_data_check_says_is_what_the_page_shows(tmp_path: Path) -> None:
    shown = re.search(r"^```\n(views .*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert shown is not None
    labels = [line.split("  ")[0] for line in shown[1].splitlines() if "   " in line]
    scene: Scene = Vhap.example(tmp_path).open(tmp_path)
    facts = data_check.check_scene(scene, None, 1).facts
    assert set(facts) <= {*labels, *re.findall(r"^(rig parameters|initial points) ", PAGE, re.MULTILINE)}
    assert "Nothing is wrong with it." in shown[1]
    assert "monocular" in layers.preset_names()

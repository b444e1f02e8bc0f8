"""The example scripts run, with a few images of a small head."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from surfhead.core import registry
from tests.commands.conftest import Surfhead
from tests.commands.test_readme import SMALL_DATA

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TINY: dict[str, Any] = {
    "iterations": 2,
    "device": "cpu",
    "data": SMALL_DATA,
    "evaluate": {"limit": 1, "final": 1, "at": [], "every": 0},
    "baseline": False,
    "observers": {"jsonl": {}},
}


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An example as a module, which dataclasses look up by name."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def tiles(path: Path) -> list[bytes]:
    """The square pictures that stand side by side in a file."""
    with Image.open(path) as picture:
        side = picture.height
        count = picture.width // side
        return [picture.crop((side * i, 0, side * i + side, side)).tobytes() for i in range(count)]


@pytest.fixture(autouse=True)
def _a_registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_current", None)


def test_train_and_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load("train_and_look", monkeypatch).main(tmp_path, size=24, **TINY)
    assert {"val", "test"} == found.keys()
    for name, width in (("around", 8), ("normals", 8), ("poses", 4)):
        assert len(tiles(tmp_path / f"{name}.png")) == width
    assert len(set(tiles(tmp_path / "poses.png"))) == 4, "a pose shows nothing"


def test_write_a_plugin(surfhead: Surfhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(EXAMPLES / "write_a_plugin.py")
    for words in (("deformer", "stretched"), ("regularizer", "charbonnier")):
        said = surfhead("check", *words, "--plugin", file)
        assert said.code == 0, said.out + said.err
    found = load("write_a_plugin", monkeypatch).main(tmp_path, **TINY)
    assert found.keys() == {"mine", "built-in"}
    assert found["mine"] != found["built-in"]


def test_relight_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("relight_and_export", monkeypatch)
    files = module.main(tmp_path, size=24, **TINY)
    assert {file.suffix for file in files} == {".html", ".ply"}
    assert all(file.stat().st_size > 1000 for file in files)
    shown = tiles(tmp_path / "lights.png")
    assert len(shown) == 3 + len(module.LIGHTS)
    assert len(set(shown[3:])) == len(module.LIGHTS), "two lights look alike"


def test_every_example_is_in_the_list_and_tested() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    listed = set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    assert listed == scripts
    here = Path(__file__).read_text(encoding="utf-8")
    assert all(f"test_{Path(name).stem}(" in here for name in scripts)

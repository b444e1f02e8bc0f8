"""`surfhead doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surfhead import __version__
from surfhead.core.registry import registry
from tests.commands.conftest import Surfhead

SICK = """
from surfhead.core.api import Rasterizer, hookimpl

class Sick(Rasterizer):
    name = "sick"
    summary = "Cannot even say why."

    @classmethod
    def available(cls):
        raise RuntimeError("no pulse")

    def __call__(self, surfels, colour, cameras, pose_of_view, background):
        return None

class Far(Sick):
    name = "far"

    @classmethod
    def available(cls):
        return "it is at sea"

@hookimpl
def register_rasterizers(register):
    register(Sick)
    register(Far)
"""

NEEDY = """
from surfhead.core.api import Dataset, hookimpl

class Needy(Dataset):
    name = "needy"
    summary = "Needs a file."

    @classmethod
    def available(cls):
        return WHY

    @classmethod
    def report(cls):
        return {"model": "not found: model.bin", "engine": "1.2"}

    def open(self, path):
        return None

class Talker(Needy):
    name = "talker"

    @classmethod
    def report(cls):
        raise RuntimeError("lost for words")

@hookimpl
def register_datasets(register):
    register(Needy)
    register(Talker)
"""


def rows(out: str) -> dict[str, str]:
    """Label -> value, from lines whose label is followed by two spaces or more."""
    split = [line.split("  ", maxsplit=1) for line in out.splitlines() if "  " in line]
    return {label.strip(): value.strip() for label, value in split}


def test_versions_devices_and_rasterizers(
    surfhead: Surfhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURFHEAD_CACHE", str(tmp_path / "cache"))
    said = surfhead("doctor")
    assert said.code == 0, said.err
    found = rows(said.out)
    assert found["surfhead"] == __version__
    assert found["torch"] == torch.__version__
    assert ("GPU" in found) == (not torch.cuda.is_available())
    assert found["rasterizer torch"].startswith("available on cpu")
    for name in registry().names("rasterizer"):
        assert found[f"rasterizer {name}"]
    # a line may end at a blank of the path
    assert " ".join(str(tmp_path / "cache").split()) in " ".join(said.out.split())
    assert said.out.splitlines()[-1] == "Every plugin could be loaded."


def test_what_cannot_run_is_told_with_its_reason(surfhead: Surfhead, tmp_path: Path) -> None:
    file = tmp_path / "sick.py"
    file.write_text(SICK)
    found = rows(surfhead("doctor", "--plugin", str(file)).out)
    assert found["rasterizer sick"] == "RuntimeError: no pulse"
    assert found["rasterizer far"] == "it is at sea"


def test_broken_plugins_are_told(surfhead: Surfhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import no_such_module\n")
    monkeypatch.setenv("SURFHEAD_PLUGINS", str(file))
    said = surfhead("doctor")
    assert said.code == 0
    problem = said.out.splitlines()[-2]
    assert problem.startswith(f'Broken plugin "{file}": ')
    assert "No module named 'no_such_module'" in problem


def test_what_to_install_keeps_its_brackets(surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch) -> None:
    from surfhead import kernels

    remedy = 'missing: Install them: pip install "surfhead[cuda13]"'
    monkeypatch.setattr(kernels, "report", lambda: {"nvrtc": remedy})
    assert rows(surfhead("doctor").out)["nvrtc"] == remedy


@pytest.mark.parametrize(("why", "state"), [("None", "available"), ("'no engine'", "no engine")])
def test_any_plugin_says_what_it_needs_and_where_that_is(
    surfhead: Surfhead, tmp_path: Path, why: str, state: str
) -> None:
    file = tmp_path / "needy.py"
    file.write_text(NEEDY.replace("WHY", why))
    said = surfhead("doctor", "--plugin", str(file))
    found = rows(said.out)
    assert said.code == 0
    assert found["plugin needy.py"] == "dataset needy, dataset talker"
    assert found["dataset needy"] == state
    assert found["needy: model"] == "not found: model.bin"
    assert found["needy: engine"] == "1.2"
    assert found["dataset talker"] == "RuntimeError: lost for words"


def test_what_is_built_in_and_can_run_is_not_listed(surfhead: Surfhead) -> None:
    found = rows(surfhead("doctor").out)
    assert [label for label in found if label.startswith(("rig ", "format ", "deformer "))] == []


def test_a_component_that_cannot_run_is_told_whatever_it_is(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    from surfhead.plugins.observers.tensorboard import Tensorboard

    monkeypatch.setattr(Tensorboard, "available", classmethod(lambda cls: "it is not there"))
    assert rows(surfhead("doctor").out)["observer tensorboard"] == "it is not there"


def test_the_reader_of_films_is_told_where_it_is_missing(
    surfhead: Surfhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from surfhead.core.registry import Problem, Source

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: ())
    found = rows(surfhead("doctor").out)
    assert found["plugin surfhead-video"].startswith("not installed; it reads films.")
    assert "pip install" in found["plugin surfhead-video"]
    # one that is installed and broken is told as such, not as missing
    registry().problems.append(Problem(Source("entry point", "surfhead-video"), "no scipy"))
    said = surfhead("doctor").out
    assert "plugin surfhead-video" not in said
    assert 'Broken plugin "surfhead-video": no scipy' in said
    file = tmp_path / "films.py"
    file.write_text(NEEDY.replace("WHY", "None").replace('"needy"', '"video"'))
    assert "plugin surfhead-video" not in rows(surfhead("doctor", "--plugin", str(file)).out)

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

"""Runs the command line in this process, with a registry of its own and in an empty folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from surfhead import cli
from surfhead.core import registry
from surfhead.measuring.perceptual import load_lpips

TINY = Path(__file__).with_name("tiny_plugin.py")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


Surfhead = Callable[..., Said]


@pytest.fixture(scope="session", autouse=True)
def _said_once() -> None:
    """Hear the notice about missing LPIPS weights, which a process gives once, before any test listens."""
    load_lpips("alex")


@pytest.fixture
def surfhead(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Surfhead:
    """``surfhead("train", "--iterations", "3")`` gives exit code, standard output and standard error."""
    monkeypatch.setattr(registry, "_current", None)
    monkeypatch.delenv("SURFHEAD_PLUGINS", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


TRAIN = (
    *("train", "--plugin", str(TINY), "--set", "data.name=tiny", "--preset", "static"),
    *("--iterations", "3", "--device", "cpu", "--rasterizer", "torch", "--out", "run"),
)


@pytest.fixture
def train_tiny(surfhead: Surfhead) -> Surfhead:
    """``train_tiny(...)`` trains three images of the tiny static scene in folder ``run``."""
    return lambda *arguments: surfhead(*TRAIN, *arguments)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the tiny static scene; read only."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_current", None)
        patch.delenv("SURFHEAD_PLUGINS", raising=False)
        patch.chdir(folder)
        assert cli.main([*TRAIN, "--quiet"]) == 0
    return folder / "run"


@pytest.fixture
def trained(surfhead: Surfhead, tiny_run: Path) -> Surfhead:
    """The command line, where ``run`` holds a run on the tiny static scene."""
    shutil.copytree(tiny_run, "run")
    return surfhead

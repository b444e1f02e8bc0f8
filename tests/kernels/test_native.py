"""The door to the native kernels: what it says when they are missing, foreign or of another version."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from surfhead import kernels
from surfhead.core.errors import UnavailableError, UnknownNameError
from surfhead.core.registry import registry
from surfhead.kernels import build, sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that is the only place where the library is looked for."""
    monkeypatch.setattr(kernels.cpu, "native_folders", lambda: iter([tmp_path]))
    kernels.cpu._load.cache_clear()
    yield tmp_path
    kernels.cpu._load.cache_clear()


def test_sources_are_found() -> None:
    """The shared header is where the loader looks."""
    assert (sources.kernel_sources() / "surfel.h").is_file()


def test_missing_sources_are_declared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error lists the places."""
    monkeypatch.setattr(sources, "package_folders", lambda: iter([tmp_path / "surfhead"]))
    with pytest.raises(UnavailableError, match="kernel sources") as caught:
        sources.kernel_sources()
    assert str(tmp_path) in caught.value.exists


def test_sources_of_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a tree around the package, its own folder `_cuda_kernels` is used."""
    package = tmp_path / "surfhead"
    (package / "_cuda_kernels").mkdir(parents=True)
    (package / "_cuda_kernels" / "surfel.h").touch()
    monkeypatch.setattr(sources, "package_folders", lambda: iter([package]))
    assert sources.kernel_sources() == package / "_cuda_kernels"
    assert list(sources.native_folders()) == [package / "_native"]


def test_no_library(folder: Path) -> None:
    """`auto` falls to the reference, and the door says what to do."""
    assert "was not built" in str(kernels.unavailable("cpu"))
    assert kernels.report()["cpu kernels"].startswith("not available: ")
    assert "cpu" not in registry().usable("rasterizer")
    assert registry().create("rasterizer", "auto").name == "torch"
    with pytest.raises(UnavailableError, match='rasterizer "cpu" cannot run here'):
        registry().create("rasterizer", "cpu")


def test_the_reason_of_the_build_is_told(folder: Path) -> None:
    """What the installation recorded reaches the user, on one line."""
    (folder / sources.NOTE).write_text("The C++ compiler was\n  missing.\n")
    assert kernels.unavailable("cpu") == "The C++ compiler was missing."


def test_a_damaged_library(folder: Path) -> None:
    """A file that is no library is a reason, not a crash."""
    (folder / sources.LIBRARY).write_bytes(b"no library")
    assert "could not be loaded" in str(kernels.unavailable("cpu"))


@pytest.mark.skipif(kernels.unavailable("cpu") is not None, reason="the CPU kernels are not built")
def test_another_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library with another interface is refused before it is called."""
    built = next(f for f in sources.native_folders() if (f / sources.LIBRARY).is_file())
    shutil.copy(built / sources.LIBRARY, folder)
    monkeypatch.setattr(kernels.cpu, "INTERFACE", -1)
    assert "another version" in str(kernels.unavailable("cpu"))


@pytest.mark.skipif(kernels.unavailable("cpu") is not None, reason="the CPU kernels are not built")
def test_unknown_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The override must name one that this processor has."""
    monkeypatch.setenv(kernels.cpu.ENVIRONMENT, "avx3")
    with pytest.raises(UnknownNameError, match='instruction set "avx3"'):
        kernels.cpu.report()


def test_building_needs_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package cannot be rebuilt in place."""
    monkeypatch.setattr(build, "tree", lambda: None)
    with pytest.raises(UnavailableError, match="source tree"):
        build.build()


def test_where_a_compiler_is_the_kernels_are_built() -> None:
    """Otherwise every test of theirs would be skipped and nobody would notice."""
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    reason = kernels.unavailable("cpu")
    assert compiler is None or reason is None, f"{reason} Run `python -m surfhead.kernels.build`."

"""The built library serves other machines than the one that built it."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import pytest

from surfhead import kernels
from surfhead.kernels import build, sources

GLIBC = (2, 28)  # of manylinux_2_28, the images that PyTorch's wheels and this project's are made in


@pytest.mark.skipif(kernels.unavailable("cpu") is not None, reason="the CPU kernels are not built")
@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="glibc of x86-64 Linux")
def test_the_library_asks_for_no_newer_system_than_its_wheel_says() -> None:
    """The versions of glibc's symbols that it names, whatever system it was built on."""
    folder = next(f for f in sources.native_folders() if (f / sources.LIBRARY).is_file())
    named = re.findall(rb"GLIBC_(\d+)\.(\d+)", (folder / sources.LIBRARY).read_bytes())
    asked = {(int(major), int(minor)) for major, minor in named}
    assert asked, "a library of glibc names at least one version"
    assert max(asked) <= GLIBC, "Run `python -m surfhead.kernels.build`."


@pytest.mark.parametrize("moved", [False, True])
def test_a_tree_that_was_moved_is_configured_anew(tmp_path: Path, moved: bool) -> None:
    """CMake refuses a folder whose cache is of another place; of the same place it builds on."""
    target, code = tmp_path / "build", tmp_path / "cuda_kernels"
    (target / "CMakeFiles").mkdir(parents=True)
    home = tmp_path / "before" if moved else tmp_path
    (target / "CMakeCache.txt").write_text(
        f"CMAKE_CACHEFILE_DIR:INTERNAL={home / 'build'}\n"
        f"CMAKE_HOME_DIRECTORY:INTERNAL={home / 'cuda_kernels'}\n"
    )
    build._forget_another_place(target, code)
    assert (target / "CMakeCache.txt").exists() is not moved
    assert (target / "CMakeFiles").exists() is not moved

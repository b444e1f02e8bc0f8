"""The plugin packages of plugins_contrib/ are installed beside surfhead, and work from an empty directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent.name for path in (ROOT / "plugins_contrib").glob("*/pyproject.toml"))


def python(*arguments: str, cwd: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_an_example_package() -> None:
    assert "surfhead-dualquat" in PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_it_is_installed_and_passes_its_own_tests_in_an_empty_directory(package: str, tmp_path: Path) -> None:
    source, installed, empty = (tmp_path / name for name in ("source", "installed", "empty"))
    empty.mkdir()
    # building writes into the source folder
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "plugins_contrib" / package, source, ignore=leave)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    python(
        "-m",
        "pip",
        "install",
        *offline,
        "--target",
        str(installed),
        str(source),
        cwd=empty,
        environment=environment,
    )
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(installed), str(ROOT), os.environ.get("PYTHONPATH", "")))
    )
    shutil.copytree(source / "tests", empty / "tests")
    report = python(
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "tests",
        cwd=empty,
        environment=environment,
    )
    assert " passed" in report
    listed = python("-m", "surfhead.cli", "list", "--json", cwd=empty, environment=environment)
    assert f'"{package}"' in json.dumps(json.loads(listed))

"""The plugin packages of plugins_contrib/ are installed beside surfhead, and work from an empty directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.parent.name for path in (ROOT / "plugins_contrib").glob("*/pyproject.toml"))
LONG = {
    "surfhead-video": (
        *("test_clip.py", "test_detection.py", "test_head_fit.py", "test_kept_refinement.py"),
        *("test_kept_tracking.py", "test_refinement.py", "test_texture_fit.py", "test_tracking.py"),
    )
}
"""Most of a minute; `.ci/run` installs the package by itself and runs all of its tests."""


def python(*arguments: str, cwd: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_an_example_package() -> None:
    assert "surfhead-dualquat" in PACKAGES


def test_what_is_left_out_here_runs_by_itself() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for package, files in LONG.items():
        assert f" plugins_contrib/{package}/tests " in script
        assert all((ROOT / "plugins_contrib" / package / "tests" / file).is_file() for file in files)


def test_they_are_installed_and_pass_their_own_tests_in_an_empty_directory(tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    # building writes into the source folder
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    for package in PACKAGES:
        source = shutil.copytree(
            ROOT / "plugins_contrib" / package, tmp_path / "source" / package, ignore=leave
        )
        left = shutil.ignore_patterns(*LONG.get(package, ()))
        shutil.copytree(source / "tests", empty / package / "tests", ignore=left)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(installed))
    sources = [str(tmp_path / "source" / package) for package in PACKAGES]
    python("-m", "pip", "install", *offline, *sources, cwd=empty, environment=environment)
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(installed), str(ROOT), os.environ.get("PYTHONPATH", "")))
    )
    words = ("-q", "-rA", "-W", "error", "-p", "no:cacheprovider", "--import-mode", "importlib")
    report = python("-m", "pytest", *words, *PACKAGES, cwd=empty, environment=environment)
    listed = json.dumps(
        json.loads(python("-m", "surfhead.cli", "list", "--json", cwd=empty, environment=environment))
    )
    for package in PACKAGES:
        assert f"PASSED {package}/tests/" in report
        assert f'"{package}"' in listed

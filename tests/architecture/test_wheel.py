"""What is installed: the kernel sources, the presets, the templates and the web page are in the wheel."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import surfhead
from documentation.package_page import package_page

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from scikit_build_core.build import build_wheel
build_wheel(sys.argv[1], {"build-dir": sys.argv[2]})
"""


def make_wheel(out: Path, **environment: str) -> Path:
    """Build the wheel of this tree without the network."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(out), str(out / "build")],
        cwd=ROOT,
        env={**os.environ, "PATH": paths, **environment},
        check=True,
        capture_output=True,
    )
    (made,) = out.glob("surfhead-*.whl")
    return made


@pytest.fixture(scope="module")
def bare_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it is made where the compiler fails."""
    pytest.importorskip("scikit_build_core")
    return make_wheel(tmp_path_factory.mktemp("wheel"), CXX="/bin/false")


def test_the_wheel_holds_everything_that_is_no_python(bare_wheel: Path) -> None:
    with zipfile.ZipFile(bare_wheel) as archive:
        held = set(archive.namelist())
    kernels = {
        f"surfhead/_cuda_kernels/{path.relative_to(ROOT / 'cuda_kernels')}"
        for path in (ROOT / "cuda_kernels").rglob("*")
        if path.is_file()
    }
    assert len(kernels) > 10
    presets = {f"surfhead/presets/{p.name}" for p in (ROOT / "surfhead" / "presets").glob("*.toml")}
    templates = {f"surfhead/templates/{p.name}" for p in (ROOT / "surfhead" / "templates").iterdir()}
    assert len(templates) > 0
    folder = ROOT / "surfhead" / "plugins" / "formats" / "html" / "web"
    web = {f"surfhead/plugins/formats/html/web/{p.name}" for p in folder.iterdir()}
    assert len(web) > 10
    typed = {"surfhead/py.typed", "surfhead/__init__.pyi", "surfhead/core/api.pyi"}
    assert kernels | presets | templates | web | typed <= held
    assert bare_wheel.name.startswith(f"surfhead-{surfhead.__version__}-py3-none-")
    assert any(name.endswith(".dist-info/entry_points.txt") for name in held)
    assert any("LICENSE" in name for name in held)
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", "plugins_contrib/"))]


def test_the_page_of_a_package_index_is_whole(bare_wheel: Path) -> None:
    """Nothing on it is relative to a folder that an index does not have, and the metadata are complete."""
    with zipfile.ZipFile(bare_wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        said = email.message_from_string(wheel.read(name).decode())
    text = str(said.get_payload())
    assert said["Description-Content-Type"] == "text/markdown"
    assert re.findall(r"\]\((?!https?://)", text) == []
    assert "![" not in text
    assert "pip install surfhead && surfhead train" in text
    sections = (
        "# surfhead",
        "## Composing by name",
        "## A plugin in 20 lines",
        "## Where to go",
        "## Licence",
    )
    assert all(f"\n{section}\n" in f"\n{text}" for section in sections)
    assert said["License-Expression"] == "Apache-2.0"
    assert said.get_all("License-File") == ["LICENSE"]
    assert said.get_all("Project-URL")
    assert "Typing :: Typed" in (said.get_all("Classifier") or [])


def test_with_an_address_links_and_pictures_lead_there() -> None:
    text = "![It](docs/a.png)\n*What.*\n\n[a](docs/b.md), [c](https://example.org/d), [e](#f)\n"
    there = "![It](https://x.org/docs/a.png)\n*What.*\n\n[a](https://x.org/docs/b.md), "
    assert package_page(text, "https://x.org/") == f"{there}[c](https://example.org/d), [e](#f)\n"
    assert package_page(text, "") == "\n\na, [c](https://example.org/d), [e](#f)\n"


def test_a_broken_compiler_does_not_fail_the_wheel(bare_wheel: Path) -> None:
    """The wheel is made without the library, and says why there is none."""
    with zipfile.ZipFile(bare_wheel) as wheel:
        assert "surfhead/_native/libsurfhead_cpu.so" not in wheel.namelist()
        note = wheel.read("surfhead/_native/cpu.txt").decode()
    assert "compiler was missing or failed" in note


@pytest.mark.slow
def test_the_wheel_holds_the_library(tmp_path: Path) -> None:
    """With a compiler, the wheel holds the library, and is tied to no version of Python."""
    made = make_wheel(tmp_path)
    assert "-py3-none-" in made.name
    with zipfile.ZipFile(made) as wheel:
        names = wheel.namelist()
    assert "surfhead/_native/libsurfhead_cpu.so" in names

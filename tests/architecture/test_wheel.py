"""What is installed: the kernel sources, the presets, the templates and the web page are in the wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import surfhead

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_wheel_holds_everything_that_is_no_python(tmp_path: Path) -> None:
    command = [
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "--config-settings=cmake.define.SURFHEAD_REQUIRE_NATIVE=ON",
        "--wheel-dir",
        str(tmp_path),
    ]
    subprocess.run([sys.executable, *command, str(ROOT)], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("surfhead-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    sources = [p for p in (ROOT / "cuda_kernels").rglob("*") if p.suffix in {".h", ".cpp", ".cu"}]
    assert len(sources) > 5
    kernels = {f"surfhead/_cuda_kernels/{p.relative_to(ROOT / 'cuda_kernels')}" for p in sources}
    presets = {f"surfhead/presets/{p.name}" for p in (ROOT / "surfhead" / "presets").glob("*.toml")}
    templates = {f"surfhead/templates/{p.name}" for p in (ROOT / "surfhead" / "templates").iterdir()}
    assert len(templates) > 0
    folder = ROOT / "surfhead" / "plugins" / "formats" / "html" / "web"
    web = {f"surfhead/plugins/formats/html/web/{p.name}" for p in folder.iterdir()}
    assert len(web) > 10
    typed = {"surfhead/py.typed", "surfhead/__init__.pyi"}
    native = {"surfhead/_native/libsurfhead_cpu.so", "surfhead/_native/cpu.txt"}
    assert kernels | presets | templates | web | typed | native <= held
    assert wheel.name.startswith(f"surfhead-{surfhead.__version__}-py3-none-")
    assert any(name.endswith(".dist-info/entry_points.txt") for name in held)
    assert any("LICENSE" in name for name in held)
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", "plugins_contrib/"))]

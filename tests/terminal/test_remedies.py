"""What a person is told to do where a package is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from surfhead.terminal.remedies import BESIDE, elsewhere, mending, parted

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("reason", "what", "remedy"),
    [
        ("it needs the sea", "it needs the sea", ""),
        ("gsplat is missing: pip install gsplat", "gsplat is missing.", "Run: pip install gsplat"),
        ('no viser (pip install "surfhead[viewer]").', "no viser.", 'Run: pip install "surfhead[viewer]"'),
        ("x fails (No module 'x'): `pip install x`", "x fails (No module 'x').", "Run: pip install x"),
        ("it does not run: pip install x.", "it does not run.", "Run: pip install x"),
        ('Too old. Install them: pip install "a[b]"', "Too old.", 'Install them: pip install "a[b]"'),
        (
            "x fails (v. 2). To have it: `pip install x`, or `pip install .` in the source tree.",
            "x fails (v. 2).",
            "To have it: `pip install x`, or `pip install .` in the source tree.",
        ),
    ],
)
def test_a_reason_is_parted_from_the_command_that_helps(reason: str, what: str, remedy: str) -> None:
    assert parted(reason) == (what, remedy)


def test_a_plugin_that_misses_a_package_says_which() -> None:
    missing = ModuleNotFoundError("No module named 'no_such.part'", name="no_such.part")
    assert "often: pip install no_such; or uninstall the plugin." in mending(missing)
    wrapped = RuntimeError("could not be loaded")
    wrapped.__cause__ = missing
    assert mending(wrapped) == mending(missing)
    # what is there, but lacks a part, is not mended by installing it
    part = ModuleNotFoundError("No module named 'surfhead.gone'", name="surfhead.gone")
    own = ModuleNotFoundError("No module named 'no_such'", name="no_such")
    assert mending(own, 'deformer "mine" (no_such:Mine)').startswith("Mend or uninstall it")
    for other in (part, RuntimeError("out of cheese"), None):
        assert mending(other) == "Mend or uninstall it; `surfhead list` shows every plugin that is broken."


def test_every_package_beside_this_one_is_named_for_what_it_registers() -> None:
    named = {}
    for project in sorted((ROOT / "plugins_contrib").glob("*/pyproject.toml")):
        table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        (module,) = table["entry-points"]["surfhead"].values()
        catalogue = (project.parent / "src" / module / "__init__.py").read_text(encoding="utf-8")
        (kind,) = re.findall(r"def register_(\w+)s\(", catalogue)
        (name,) = re.findall(r'register\(\s*"([^"]+)"', catalogue)
        extras = table.get("optional-dependencies", {}).keys() - {"test"}
        named[kind, name] = table["name"] + "".join(f"[{extra}]" for extra in extras)
    assert named == BESIDE
    for (kind, name), package in BESIDE.items():
        assert elsewhere(kind, name).endswith(f'pip install "./plugins_contrib/{package}"')
    assert elsewhere("dataset", "gsplat") == ""

"""Who may import whom."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted((ROOT / "surfhead" / "plugins").glob("*/*.py"))


def imported(source: str) -> Iterator[str]:
    """The modules a Python source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def beyond_the_api(source: str, kind: str) -> list[str]:
    """What a plugin of a kind imports of surfhead besides the API and its own kind's modules."""
    own = f"surfhead.plugins.{kind}"
    return [
        name
        for name in imported(source)
        if name.startswith((".", "surfhead")) and name != "surfhead.core.api" and not name.startswith(own)
    ]


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_plugins_import_the_api_only(path: Path) -> None:
    assert beyond_the_api(path.read_text(encoding="utf-8"), path.parent.name) == []


def test_a_plugin_that_reaches_elsewhere_is_found() -> None:
    source = "from surfhead.core.api import option\nfrom surfhead.plugins.rigs.skinning import x\n"
    source += "def f():\n    import surfhead.core.types\n    from . import y\n"
    assert beyond_the_api(source, "rigs") == ["surfhead.core.types", "."]
    assert beyond_the_api(source, "deformers") == [
        "surfhead.plugins.rigs.skinning",
        "surfhead.core.types",
        ".",
    ]


def test_the_import_contracts_hold() -> None:
    # in a process of its own: import-linter switches the loggers of the process it runs in off
    call = f"from importlinter.cli import lint_imports; import sys; sys.path.insert(0, {str(ROOT)!r}); "
    call += "sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", call], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("list",), ("list", "--json"), ("list", "rig"), ("train", "--help"), ("flags",)],
)
def test_listing_and_help_import_no_torch(arguments: tuple[str, ...]) -> None:
    code = f"""
import sys
from surfhead.cli import main
sys.argv = ["surfhead", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = [name for name in ("torch", "numpy", "kornia", "trimesh", "scipy") if name in sys.modules]
print("imported:", heavy)
"""
    assert "imported: []" in python(code)


@pytest.mark.parametrize("module", ["surfhead", "surfhead.core.api", "surfhead.core.registry"])
def test_importing_the_public_modules_imports_no_torch(module: str) -> None:
    assert python(f"import sys, {module}; print('torch' in sys.modules)").strip() == "False"


def test_every_name_of_the_api_is_there() -> None:
    from surfhead.core import api

    missing = []
    for name in api.__all__:
        try:
            getattr(api, name)
        except (AttributeError, ImportError) as error:
            missing.append(f"{name}: {error}")
    assert missing == []
    typed = set(imported_names((ROOT / "surfhead" / "core" / "api.py").read_text(encoding="utf-8")))
    lazy = {name for name in api.__all__ if api._HOME[name]}
    assert lazy <= typed <= set(api.__all__), "the names for type checkers and the lazy names differ"


def imported_names(source: str) -> Iterator[str]:
    """The names a source re-exports under ``if TYPE_CHECKING``."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.If):
            for line in node.body:
                if isinstance(line, ast.ImportFrom):
                    yield from (alias.asname or alias.name for alias in line.names)

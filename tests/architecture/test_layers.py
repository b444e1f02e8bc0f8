"""Who may import whom."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from surfhead.core.hookspecs import KINDS
from surfhead.core.registry import registry

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted((ROOT / "surfhead" / "plugins").glob("*/**/*.py"))
# what plugins may import besides the API and their own kind's modules
OPEN = ("surfhead.maths", "surfhead.kernels.ops", "surfhead.meshes", "surfhead.files", "surfhead.terminal")
OPENED = {
    "formats": ("surfhead.avatars.surface", "surfhead.avatars.surfels", "surfhead.drawing"),
    "observers": ("surfhead.viewing",),
    "rasterizers": ("surfhead.kernels",),
}
LARGEST_CORE = 2999  # lines


def imported(source: str) -> Iterator[str]:
    """The modules a Python source imports, wherever in it; of doors, what is behind them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in ("surfhead", "surfhead.kernels"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def within(name: str, rooms: Iterable[str]) -> bool:
    """Whether a module is one of these or in one of them."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def beyond_the_api(source: str, kind: str) -> list[str]:
    """What a plugin of a kind imports of surfhead besides what is open to it."""
    allowed = ("surfhead.core.api", f"surfhead.plugins.{kind}", *OPEN, *OPENED.get(kind, ()))
    return [
        name for name in imported(source) if name.startswith((".", "surfhead")) and not within(name, allowed)
    ]


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def name_in_plugins(path: Path) -> str:
    return str(path.relative_to(ROOT / "surfhead" / "plugins"))


@pytest.mark.parametrize("path", PLUGINS, ids=name_in_plugins)
def test_plugins_import_what_is_open_to_them(path: Path) -> None:
    kind = path.relative_to(ROOT / "surfhead" / "plugins").parts[0]
    assert beyond_the_api(path.read_text(encoding="utf-8"), kind) == []


def test_a_plugin_that_reaches_elsewhere_is_found() -> None:
    source = "from surfhead.core.api import option\nfrom surfhead.plugins.rigs.skinning import x\n"
    source += "def f():\n    import surfhead.core.types\n    from . import y\n"
    source += "from surfhead.maths import planes\nfrom surfhead.kernels import ops\n"
    assert beyond_the_api(source, "rigs") == ["surfhead.core.types", "."]
    assert beyond_the_api(source, "deformers") == [
        "surfhead.plugins.rigs.skinning",
        "surfhead.core.types",
        ".",
    ]
    by_hand = "from surfhead.kernels import cuda, ops\nfrom surfhead.kernels.ops.lobes import shapes\n"
    assert beyond_the_api(by_hand, "appearances") == ["surfhead.kernels.cuda"]
    assert beyond_the_api(by_hand, "rasterizers") == []
    reaching = "from surfhead import viewing\nfrom surfhead.avatars.surfels import apply_field\n"
    assert beyond_the_api(reaching, "rigs") == ["surfhead.viewing", "surfhead.avatars.surfels"]
    assert beyond_the_api(reaching, "formats") == ["surfhead.viewing"]
    assert beyond_the_api(reaching, "observers") == ["surfhead.avatars.surfels"]


def test_the_import_contracts_hold() -> None:
    # in a process of its own: import-linter switches the loggers of the process it runs in off
    call = f"from importlinter.cli import lint_imports; import sys; sys.path.insert(0, {str(ROOT)!r}); "
    call += "sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", call], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_the_core_is_small() -> None:
    lines = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "surfhead" / "core").rglob("*.py")
    }
    assert len(lines) > 10
    assert sum(lines.values()) <= LARGEST_CORE


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Which of these modules each of them imports, also in functions and for type checkers only."""
    found: dict[str, set[str]] = {}
    for module, source in sources.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    names.add(inner if inner in sources else node.module)
        found[module] = (names & sources.keys()) - {module}
    return found


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """The modules of some circle, in its order; none where there is no circle."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_the_core_names_no_plugin() -> None:
    """Nor a built-in component, but for words that mean something else there."""
    words = {"surfhead", "cpu", "none", "normal", "similarity"}  # the project, a device, no rig, geometry
    names = {row.name for row in registry().registrations() if row.source.origin == "built-in"}
    assert len(names) > 40
    found = {
        (path.name, node.value)
        for path in (ROOT / "surfhead" / "core").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names - words
    }
    assert found == set()


def test_no_circle_of_files_exists() -> None:
    sources = {}
    for path in (ROOT / "surfhead").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        sources[module] = path.read_text(encoding="utf-8")
    edges = graph(sources)
    assert sum(map(len, edges.values())) > 500
    assert circle(edges) == []


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p.a import x",
        "from p import a",
        "def f():\n    from p.a import x",
        "if TYPE_CHECKING:\n    from p.a import X",
    ],
)
def test_a_circle_is_found(back: str) -> None:
    sources = {"p": "", "p.a": "from p import b", "p.b": "import p.c", "p.c": back}
    assert set(circle(graph(sources))) == {"p.a", "p.b", "p.c"}
    assert circle(graph({**sources, "p.c": "import os"})) == []


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


@pytest.mark.parametrize(("arguments", "own"), [(("list",), {"list"}), (("list", "--json"), {"list"})])
def test_a_command_is_made_without_the_others(arguments: tuple[str, ...], own: set[str]) -> None:
    """`list` answers at once as long as it reads its own file, what all commands share, and catalogues."""
    code = f"""
import sys
from surfhead.cli import main
assert not main({arguments!r})
print("imported:", *sys.modules)
"""
    loaded = set(python(code).partition("imported:")[2].split())
    assert {name.split(".")[2] for name in loaded if name.startswith("surfhead.commands.")} == {
        "command",
        "on_demand",
        "parameters",
        *own,
    }
    rooms = {name.split(".")[1] for name in loaded if name.startswith("surfhead.")}
    assert rooms == {"cli", "commands", "core", "plugins", "terminal"}
    catalogues = {f"surfhead.plugins.{kind}s" for kind in KINDS}
    assert {name for name in loaded if name.startswith("surfhead.plugins.")} == catalogues
    core = {name.split(".")[2] for name in loaded if name.startswith("surfhead.core.")}
    assert core == {"api", "cache", "errors", "hookspecs", "registry"}
    assert "rich.live" not in loaded  # of bars, which `list` has none of


@pytest.mark.parametrize("module", ["surfhead", "surfhead.core.api", "surfhead.core.registry"])
def test_importing_the_public_modules_imports_no_torch(module: str) -> None:
    assert python(f"import sys, {module}; print('torch' in sys.modules)").strip() == "False"


def test_every_name_of_the_api_is_there() -> None:
    from surfhead.core import api

    assert {"Deformer", "option", "hookimpl", "create", "geometry", "DataError"} <= set(api.__all__)
    assert "annotations" not in api.__all__
    assert [name for name in api.__all__ if not hasattr(api, name)] == []
    with pytest.raises(AttributeError, match="'Deform'"):
        api.Deform  # noqa: B018 - an attribute that is not there


def test_the_api_lists_each_name_once() -> None:
    from surfhead.core import api

    folder = ROOT / "surfhead" / "core"
    lines = [
        line
        for name in ("api.py", "interfaces.py")
        for line in ast.walk(ast.parse((folder / name).read_text(encoding="utf-8")))
        if isinstance(line, ast.ImportFrom) and (line.module or "").startswith("surfhead.")
    ]
    listed = sorted(alias.name for line in lines for alias in line.names if line.col_offset == 0)
    assert listed == sorted(api.__all__)

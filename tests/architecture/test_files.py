"""One noun one file: lengths, names, docstrings, and a test for every component."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from surfhead.core import hookspecs
from surfhead.core.registry import Registration, registry

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 399  # lines
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
FOLDERS = ("surfhead", "cuda_kernels", "tests", "benchmarks", "plugins_contrib", "documentation", "examples")
SUFFIXES = {".py", ".h", ".cpp", ".cu", ".toml", ".js", ".glsl", ".css", ".html"}
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SUFFIXES and not {"build", "__pycache__"} & set(path.parts)
)
PACKAGE = [path for path in SOURCES if path.suffix == ".py" and path.is_relative_to(ROOT / "surfhead")]
BUILT_IN = [row for row in registry().registrations() if row.source.origin == "built-in"]


def test_there_are_sources() -> None:
    assert len(SOURCES) > 100


def test_every_file_is_under_400_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    over = {str(path): count for path, count in lengths.items() if count > LONGEST}
    assert over == {}


def test_no_file_or_folder_has_a_vague_name() -> None:
    named = [path for path in SOURCES if VAGUE & {part.removesuffix(path.suffix) for part in path.parts}]
    assert [path for path in named if VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)] == []


def marking_up(source: str) -> list[int]:
    """Lines that make a Rich console which takes brackets in what it prints for markup."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    consoles = [
        call for call in calls if getattr(call.func, "id", getattr(call.func, "attr", "")) == "Console"
    ]
    return [
        call.lineno
        for call in consoles
        if not {"markup", "emoji"}
        <= {word.arg for word in call.keywords if not getattr(word.value, "value", 1)}
    ]


def test_consoles_print_text_as_it_is() -> None:
    assert marking_up("Console(markup=False)\nConsole(markup=False, emoji=False)\nrich.Console()") == [1, 3]
    found = {str(path): marking_up(path.read_text(encoding="utf-8")) for path in PACKAGE}
    assert {path: lines for path, lines in found.items() if lines} == {}


def undocumented(source: str) -> list[str]:
    """The public modules, classes and functions without a docstring; nested functions are not public."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) or not tree.body else ["module"]
    nodes: list[ast.AST] = [tree]
    while nodes:
        for node in ast.iter_child_nodes(nodes.pop()):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if node.name.startswith("_"):
                    continue
                overload = any(getattr(d, "id", "") == "overload" for d in node.decorator_list)
                if not ast.get_docstring(node) and not overload:
                    found.append(node.name)
                if isinstance(node, ast.ClassDef):
                    nodes.append(node)
    return found


def test_everything_public_has_a_docstring() -> None:
    lacking = {str(path): undocumented(path.read_text(encoding="utf-8")) for path in PACKAGE}
    assert {path: names for path, names in lacking.items() if names} == {}


def test_a_missing_docstring_is_found() -> None:
    source = '"""M."""\nclass A:\n    def f(self): ...\n    def _g(self): ...\n'
    source += 'def h():\n    """H."""\n    def i(): ...\n'
    assert undocumented(source) == ["A", "f"]
    assert undocumented("x = 1") == ["module"]


def test_nothing_is_left_to_do() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "X" * 3, "raise NotImplemented" + "Error")
    found = {
        str(path): mark
        for path in SOURCES
        if path.is_relative_to(ROOT / "surfhead") or path.is_relative_to(ROOT / "cuda_kernels")
        for mark in marks
        if mark in path.read_text(encoding="utf-8")
    }
    assert found == {}


@pytest.mark.parametrize("row", BUILT_IN, ids=lambda row: f"{row.kind}-{row.name}")
def test_every_component_has_a_test(row: Registration) -> None:
    module = str(row.target).partition(":")[0].rpartition(".")[2]
    files = [
        *(ROOT / "tests" / "plugins" / f"{row.kind}s").glob("test_*.py"),
        *(ROOT / "tests" / "gpu").glob("test_*.py"),
    ]
    own = [path for path in files if path.stem in (f"test_{row.name}", f"test_{module}")]
    # what several components share may be tested for all of them in one file, which names each
    named = re.compile(rf'"{re.escape(row.name)}"|\b{str(row.target).partition(":")[2]}\b')
    shared = [path for path in files if named.search(path.read_text(encoding="utf-8"))]
    assert own or shared, f"expected tests/plugins/{row.kind}s/test_{row.name}.py"


def test_every_hook_is_named_in_the_documentation() -> None:
    page = (ROOT / "docs" / "plugins" / "index.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    assert len(hooks) == 9
    assert [name for name in hooks if name not in page] == []


def test_plugins_live_where_their_kind_does() -> None:
    for row in BUILT_IN:
        module, _, attribute = str(row.target).partition(":")
        assert module.startswith(f"surfhead.plugins.{row.kind}s."), row
        assert attribute.isidentifier(), row

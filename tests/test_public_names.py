"""What `import surfhead` offers: the same names to Python, to type checkers and in the wheel's metadata."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest

import surfhead
from surfhead.core import api
from surfhead.core.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
STUB = ast.parse((ROOT / "surfhead" / "__init__.pyi").read_text(encoding="utf-8"))


def test_type_checkers_and_python_see_the_same_names_from_the_same_places() -> None:
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in STUB.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: f"surfhead.{home}" for name, home in surfhead._HOME.items()}  # type: ignore[attr-defined]
    (exported,) = (node.value for node in STUB.body if isinstance(node, ast.Assign))
    assert set(ast.literal_eval(exported)) == set(surfhead.__all__)
    assert set(surfhead.__all__) <= set(dir(surfhead))
    with pytest.raises(AttributeError, match="opn_run"):
        _ = surfhead.opn_run  # type: ignore[attr-defined]


def test_type_checkers_see_the_plugin_interface() -> None:
    """Each name as `name as name`: what is not, is private to a plugin's type checker."""
    stub = ast.parse((ROOT / "surfhead" / "core" / "api.pyi").read_text(encoding="utf-8"))
    seen = {}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name
                seen[alias.name] = node.module or ""
    assert seen.keys() == set(api.__all__)
    for name, home in seen.items():
        module = importlib.import_module(home)
        found = getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{home}.{name}")
        assert found is getattr(api, name), name


@pytest.mark.parametrize("name", sorted(set(surfhead.__all__) - {"__version__"}))
def test_every_public_name_is_documented_and_typed(name: str) -> None:
    found = getattr(surfhead, name)
    text = inspect.getdoc(found) or ""
    assert len(text) > 20
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        assert signature.return_annotation is not inspect.Signature.empty
        lacking = [p for p in signature.parameters.values() if p.annotation is p.empty]
        assert lacking == []
        assert "Raises:" in text


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "surfhead" / "py.typed").is_file()


def test_the_version_has_one_place() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in settings["project"]["dynamic"]
    assert "version" not in settings["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changes, re.MULTILINE)
    assert newest is not None
    assert newest[1] == surfhead.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {surfhead.__version__}\n" in citation


def test_a_run_is_opened_and_measured(trained_run: Path, tmp_path: Path) -> None:
    run = surfhead.open_run(trained_run)
    assert run.config.deformer.name == "jbs"
    assert len(run.avatar("cpu").surfels) > 100
    found = surfhead.evaluate(run, splits="val", limit=1, device="cpu", out=tmp_path)
    assert found.keys() == {"val"}
    assert repr(run) == f'Run("{trained_run}")'
    for wrong in ({"limit": -1}, {"splits": ()}, {"splits": "vall"}):
        with pytest.raises(surfhead.SurfheadError, match=r"limit|No split was named|vall"):
            surfhead.evaluate(run, device="cpu", out=tmp_path, **wrong)  # type: ignore[arg-type]
    assert found["val"].means["psnr"] > 10.0
    assert json.loads((tmp_path / "val.json").read_text())["views"] == 1


def test_a_folder_that_is_no_run_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a run"):
        surfhead.open_run(tmp_path)


def test_places_may_be_texts_or_paths(trained_run: Path, tmp_path: Path) -> None:
    settings = {"iterations": 1, "device": "cpu"}
    for kind in (str, Path):
        with pytest.raises(DataError, match="lost"):
            surfhead.train(kind(tmp_path / "lost"), settings=settings)
        with pytest.raises(DataError, match="lost"):
            surfhead.train(file=kind(tmp_path / "lost.toml"), settings=settings)
        with pytest.raises(DataError, match="lost"):
            surfhead.evaluate(kind(trained_run), data=kind(tmp_path / "lost"), device="cpu")

"""Texts and names from strangers: refused before they take memory, or with a declared error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surfhead import cli
from surfhead.core.api import create
from surfhead.core.errors import DataError, SurfheadError
from surfhead.core.registry import registry
from surfhead.data.opening import data_choice
from surfhead.files import bounds
from surfhead.files.places import found_in, is_dir, is_file, place, resolved
from surfhead.results.drivers import read_driver
from surfhead.runs.run import Run
from surfhead.runs.train import train


@pytest.mark.parametrize("unit", ["[],", "{},", '{"":0},', '{"a":{"b":[]}},'])
def test_json_that_would_take_far_more_than_its_text_is_refused(unit: str, tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    path.write_text("[" + unit * ((12 << 20) // len(unit)) + "0]", encoding="utf-8")
    with pytest.raises(ValueError, match="in memory"):
        bounds.read_json(path)
    path.write_text("[" + unit * 10 + "0]", encoding="utf-8")
    assert len(bounds.read_json(path)) == 11


def test_a_large_table_of_cameras_is_no_bomb() -> None:
    frame = {"file_path": "images/00000.png", "transform_matrix": [[0.123456789] * 4] * 4}
    text = json.dumps({"frames": [frame] * 20_000}).encode()
    assert len(text) > 4 << 20
    assert len(bounds.decoded(text)["frames"]) == 20_000


def test_records_leave_out_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"a": 1}\n{"a": \n' + b"[" * 100_000 + b"\n" + b"[]," * 1_000_000 + b'\n{"a": 2}\n{"a"'
    )
    assert [row for _, row in bounds.read_records(path)] == [{"a": 1}, {"a": 2}]


LOOKED_UP: dict[str, Callable[[str], Any]] = {
    "run": lambda name: Run(name).config,
    "driver": lambda name: read_driver(Path(name)),
    "training": lambda name: train(name, preset="tiny", quiet=True),
    "run folder": lambda name: train(preset="tiny", out=name, quiet=True),
    **{
        name: lambda path, name=name: create("dataset", name).open(Path(path))  # type: ignore[misc]
        for name in ("vhap", "transforms", "blender", "colmap", "facetalk")
    },
    **{
        name: lambda path, name=name: create("rig", name, {"path": path}).prepare({})  # type: ignore[misc]
        for name in ("flame", "ict")
    },
}


@pytest.mark.skipif(sys.platform == "win32", reason="names are bounded otherwise")
@pytest.mark.parametrize("who", LOOKED_UP)
@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "x/" * 3000, "~nobody-at-all/x"], ids=len)
def test_a_name_that_no_file_can_have_is_a_declared_error(who: str, name: str) -> None:
    with pytest.raises(SurfheadError) as caught:
        LOOKED_UP[who](name)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) < 400


def names_without_a_file(folder: Path) -> list[Path]:
    """Overlong, impossible, below a file, below a folder that is a link to itself."""
    (folder / "file").write_text("{}")
    (folder / "ring").symlink_to(folder / "ring")
    names = ["x" * 300, "x/" * 3000, "nul\0", "file/below", "ring/below", "\udcff", "file/\n\x1b[2J"]
    return [*(folder / name for name in names), *(folder / f"{name}.json" for name in names)]


@pytest.mark.parametrize("name", sorted(registry().names("dataset")))
def test_no_reader_recognises_what_cannot_be_there(name: str, tmp_path: Path) -> None:
    cls: Any = registry().get("dataset", name)
    for path in names_without_a_file(tmp_path):
        assert cls.recognises(path) is False
        assert cls.declines(path) == ""


def test_a_reader_of_strangers_that_fails_over_a_path_does_not_recognise_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls: Any = registry().get("dataset", "vhap")

    def fails(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cls, "recognises", fails)
    monkeypatch.setattr(cls, "declines", fails)
    (tmp_path / "one.txt").touch()
    with pytest.raises(DataError, match='"vhap" cannot look at it.*Permission denied'):
        data_choice(str(tmp_path))


def test_a_place_behind_a_closed_folder_is_a_declared_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path, **_: Any) -> None:  # root may enter every folder
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(DataError, match="Permission denied"):
        place("closed/data")
    assert not is_file(Path("closed/data"))
    assert not is_dir(Path("closed/data"))
    assert found_in(Path("closed/data"), "*") == []


@pytest.mark.parametrize(
    "words", [("compare", "{}", "{}"), ("train-all", "{}"), ("view", "{}"), ("mesh", "{}")]
)
def test_links_that_lead_round_are_declared_errors(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ring = tmp_path / "ring"
    ring.symlink_to(ring)
    for path in (ring, ring / "below"):
        with pytest.raises(DataError, match="cannot be a path"):
            resolved(path)
        assert cli.main([word.format(path) for word in words]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_an_empty_name_is_no_place() -> None:
    """It would be the folder we are in: a run was written among whatever lay there."""
    with pytest.raises(DataError, match="it is empty"):
        place("")
    assert place(Path()) == Path()


def test_a_place_is_looked_up_not_made(tmp_path: Path) -> None:
    assert place(tmp_path / "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    assert place(os.fsdecode(b"\xff")).name == "\udcff"
    assert not is_file(tmp_path / ("x" * 300))

"""Files are whole or absent, on disks that are full and in folders that are read-only.

Both are simulated: a full disk by a write that fails half way, a read-only folder by a file in its place, as
root may write anywhere.
"""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surfhead import cli
from surfhead.core.errors import DataError
from surfhead.files.writing import beside, open_text, try_place, write_text


@pytest.mark.parametrize("before", [None, "old"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "deep" / "table.csv"
    if before is not None:
        write_text(path, before)

    def write() -> None:
        with beside(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError) as caught:
        write()
    assert str(path) in caught.value.what
    assert "No space left" in caught.value.what
    assert len(str(caught.value).splitlines()) == 3
    assert [entry.name for entry in path.parent.iterdir()] == ([] if before is None else ["table.csv"])
    if before is not None:
        assert path.read_text("utf-8") == before


@pytest.mark.parametrize("text", [os.fsdecode(b"\xff"), "\ud800", "ü²"])
def test_every_text_can_be_written(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / "a.txt", text)
    with open_text(tmp_path / "a.csv") as file:
        csv.writer(file).writerow([text])
    assert (tmp_path / "a.txt").read_bytes() == {"\ud800": rb"\ud800", "ü²": "ü²".encode()}.get(text, b"\xff")
    assert (tmp_path / "a.csv").read_text("utf-8").strip() in (text, r"\udcff", r"\ud800")


def test_no_device_or_pipe_is_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for act in (try_place, lambda path: write_text(path, "x")):
        with pytest.raises(DataError, match="it is no regular file"):
            act(pipe)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_place_is_tried_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert try_place(tmp_path / "new" / "folder" / "picture.png").name == "picture.png"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]  # nothing is made
    with pytest.raises(DataError, match="cannot be written"):
        try_place(tmp_path / "file" / "picture.png")
    with pytest.raises(DataError, match="cannot be written"):
        try_place(tmp_path / ("long" * 100) / "picture.png" / ("nul\0"))


def test_why_a_file_may_not_be_replaced_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DataError, match="it may not be replaced"):
        try_place(path)

    def read_only(**_: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("surfhead.files.writing.tempfile.TemporaryFile", read_only)
    with pytest.raises(DataError, match="Read-only file system"):
        try_place(path)


def test_a_picture_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from surfhead.drawing.pictures import save

    def full(self: Image.Image, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"\x89PNG")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match="No space left"):
        save(np.zeros((4, 4, 3), np.uint8), tmp_path / "00000.png")
    assert list(tmp_path.iterdir()) == []


def test_what_the_machine_refuses_is_said_in_three_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (PermissionError(13, "Permission denied", "somewhere/x.npz"), MemoryError()):

        def refused(*_: Any, error: BaseException = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr("typer.main.get_command", refused)
        assert cli.main(["list"]) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert len(said.splitlines()) >= 2

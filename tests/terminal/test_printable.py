"""Names and texts of strangers cannot steer the terminal they are printed on."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest

from surfhead import cli
from surfhead.core.errors import DataError
from surfhead.terminal.bars import shortened
from surfhead.terminal.console import console, say
from surfhead.terminal.figure_table import FigureTable
from surfhead.terminal.listing import Listing
from surfhead.terminal.printable import one_line, printable

CLEARS = "a\x1b[2Jb\x07\x9b1A\r\u202ec"


def test_what_steers_is_shown_as_a_code_and_letters_stay() -> None:
    assert printable(CLEARS) == r"a\x1b[2Jb\x07\x9b1A\x0d\x202ec"
    for text in ("plain", "zwei\nZeilen\tmit ü ² …", "\u0915\u094d\u200d\u0937 😀", "\udcff"):
        assert printable(text) == text
    assert one_line("a\nb\u2028c\x1bd") == r"a b c\x1bd"


def test_nothing_that_is_printed_steers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = DataError(f'"{CLEARS}"\nin two lines', CLEARS, CLEARS)
    assert len(str(error).splitlines()) == 3
    say(CLEARS)
    out = console()
    out.print(Listing(["name", ""], [(CLEARS, CLEARS)]))
    out.print(FigureTable(CLEARS, [""], ["dB"], rows=[[CLEARS, CLEARS]]))
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    cli._StandardError().emit(logging.LogRecord("surfhead", logging.WARNING, "", 0, CLEARS, None, None))
    said = capsys.readouterr().out + stream.getvalue() + str(error) + shortened(CLEARS, 80)
    assert said.count(r"\x1b[2J") == 11
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(said)


def test_names_from_a_configuration_do_not_steer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text('"\\u001b[2Jx" = 1\n', encoding="utf-8")
    assert cli.main(["eval", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert r"\x1b[2Jx" in said
    assert "\x1b" not in said

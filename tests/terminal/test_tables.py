"""Tables and lines at the widths people have: no word is broken, nothing is left out."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from surfhead.terminal.console import console as console_of_commands
from surfhead.terminal.console import wrapped
from surfhead.terminal.figure_names import FIGURES, figure_name
from surfhead.terminal.figure_table import FigureTable
from surfhead.terminal.listing import Listing
from surfhead.terminal.sizes import clock, duration, size_text

WIDTHS = [60, 80, 100, 140]
RULES = re.compile("[─━]+")


def printed(table: Any, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), markup=False, emoji=False)
    with console.capture() as said:
        console.print(table)
    return said.get()


def figures() -> FigureTable:
    names = list(FIGURES.values())[:10]
    rows = [[f"view-{number:05d}", *(name.text(12.34567) for name in names)] for number in range(3)]
    about = ["PSNR: decibels over the whole picture, colours clipped, at most one hundred of them."]
    return FigureTable("test: 3 views", ["view"], [name.stacked for name in names], rows, caption=about)


def words(text: str) -> set[str]:
    return set(RULES.sub(" ", text).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_of_figures_is_cut_between_columns(width: int) -> None:
    said = printed(figures(), width)
    assert words(said) == words(printed(figures(), 1000))
    assert max(map(len, said.splitlines())) <= width
    blocks = len(figures().blocks(width - 1))
    assert said.count("view-00001") == blocks
    assert blocks == {60: 3, 80: 2, 100: 2, 140: 1}[width]


def test_the_best_stand_out() -> None:
    table = FigureTable("t", ["run"], ["a", "b"], [["x", "1", "2"], ["y", "3", "4"]], best={(1, 0)})
    console = Console(
        width=60, file=io.StringIO(), force_terminal=True, color_system="standard", markup=False, emoji=False
    )
    with console.capture() as said:
        console.print(table)
    assert "\x1b[1;32m3\x1b[0m" in said.get()
    assert "32m4" not in said.get()


def listing() -> Listing:
    about = "Ray-cast pictures of a rig with true normals and true depth in a familiar layout"
    return Listing(
        ["kind", "name", "summary", "from"],
        [
            ["dataset", "synthetic", about, "surfhead 0.1.0"],
            ["", "transforms_of_others", about, "surfhead 0.1.0"],
        ],
        lead=2,
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_a_listing_is_a_table_or_a_paragraph_a_row(width: int) -> None:
    said = printed(listing(), width)
    left_out = {"kind", "name", "summary", "from"} if width == 60 else set()
    assert words(printed(listing(), 1000)) - words(said) == left_out
    assert words(said) <= words(printed(listing(), 1000))
    assert max(map(len, said.splitlines())) <= width


def test_a_path_longer_than_the_terminal_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "30")
    path = "runs/a-very-long-name-of-a-run-folder/report.html"
    assert wrapped(f"The report is {path} now.", Terminal()) == f"The report is\n{path}\nnow."
    assert wrapped("word " * 20, io.StringIO()) == "word " * 20


@pytest.mark.parametrize("letters", [3, 81, 82, 83, 300])
def test_in_a_pipe_a_row_is_a_line_however_long_its_path_is(
    letters: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 columns less the names' 18 leave 82: an installation's path must not change the form of all."""
    monkeypatch.delenv("COLUMNS", raising=False)
    path = "/" + "p" * (letters - 1)
    Listing(["", ""], [("cpu library", path), ("rasterizer torch", "available on cpu")]).print()
    said = capsys.readouterr().out
    assert said == f"cpu library       {path}\nrasterizer torch  available on cpu\n"


@pytest.mark.parametrize("said", ["0", "", "-5", "²", "nonsense", "1e9", "10001", "9" * 20])
@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
def test_a_size_that_no_screen_has_is_not_believed(
    name: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal without a size, as containers have, says 0: then nothing was printed."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv(name, said)
    Listing(["", ""], [("word", "w" * 90)]).print()
    assert capsys.readouterr().out == f"word  {'w' * 90}\n"


def test_figures_say_their_unit_and_which_way_is_better() -> None:
    psnr, error = figure_name("psnr"), figure_name("angular_error")
    assert (psnr.heading, error.heading) == ("PSNR ↑ dB", "normals ↓ °")
    assert (psnr.with_unit(31.254), error.with_unit(8.469)) == ("31.25 dB", "8.47°")
    assert psnr.better(2.0, 1.0)
    assert error.better(1.0, 2.0)
    assert figure_name("ssim").text(float("nan")) == ""
    assert figure_name("f_score_0.5mm").heading == "F 0.5 mm ↑"
    assert figure_name("my_figure").heading == "my figure ↓"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1440, "1.4 kB"),
        (23_400_000, "23 MB"),
        (9.99e9, "10 GB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "short", "long"),
    [
        (0.84, "0:01", "0.8 s"),
        (45, "0:45", "45 s"),
        (125, "2:05", "2 min 5 s"),
        (12000, "3:20:00", "3 h 20 min"),
    ],
)
def test_times(seconds: float, short: str, long: str) -> None:
    assert clock(seconds) == short
    assert duration(seconds) == long


def test_in_a_pipe_lines_end_with_their_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich fills a table's last column with blanks; a file or the next program should not have them."""
    console_of_commands().print(listing())
    said = capsys.readouterr().out
    assert "surfhead 0.1.0\n" in said
    assert words(said) == words(printed(listing(), 140))
    assert [line for line in said.splitlines() if line != line.rstrip()] == []

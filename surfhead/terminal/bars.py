"""Bars with the time left, and a line that says what is waited for; they go when the work is done.

What stays in place on a terminal is at most ``WIDEST`` columns wide: a terminal that is made narrower, but
not narrower than that, has nothing to fold. Where one is narrower still, the folded rows are counted.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.cells import cell_len
from rich.console import Group
from rich.live import Live
from rich.text import Text

from surfhead.terminal.console import console, is_quiet, on_terminal, print_above
from surfhead.terminal.printable import printable
from surfhead.terminal.sizes import clock
from surfhead.terminal.waited import end_waiting, until_waited

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderResult

T = TypeVar("T")
Watch = Callable[[Iterable[Any], str, int], Iterable[Any]]
Advance = Callable[[float], None]

WIDEST = 76  # columns of what stays in place
BAR = (8, 30)  # columns of a bar
SPIN = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
POLL = 1.0  # seconds
SETTLED = 0.5  # seconds before a time left is told


class SteadyLive(Live):
    """A display that stays in place, and leaves nothing behind when the terminal is made narrower."""

    drawn_at: tuple[int, list[int]] | None = None

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Draw anew; what was drawn before is where the terminal has folded it to."""
        width = self.console.width
        drawn, known = self.drawn_at, self._live_render._shape
        if drawn is not None and known is not None and width < drawn[0]:
            self._live_render._shape = (known[0], folded(drawn[1], width))
        made = super().process_renderables(renderables)
        lines = self.console.render_lines(self.get_renderable() or "", pad=False)
        self.drawn_at = (width, [sum(cell_len(part.text) for part in line) for line in lines])
        return made


def folded(lengths: Iterable[int], width: int) -> int:
    """The rows of lines of these lengths on a terminal of ``width`` columns."""
    return sum(max(math.ceil(length / max(width, 1)), 1) for length in lengths)


class _Display:
    """What stays in place: one display, several parts below each other."""

    parts: ClassVar[list[RenderableType]] = []
    live: ClassVar[SteadyLive | None] = None


def visible() -> bool:
    """Whether bars are shown: on a terminal, unless all is to be quiet."""
    return on_terminal(sys.stderr) and not is_quiet()


def show(part: RenderableType, *, refresh: bool = True) -> None:
    """Show something that stays in place, below what does already, until ``hide``; on standard error."""
    _Display.parts.append(part)
    if _Display.live is None:
        _Display.live = SteadyLive(
            get_renderable=lambda: Group(*_Display.parts),
            console=console(stderr=True),
            auto_refresh=refresh,
            transient=True,
            redirect_stdout=on_terminal(sys.stdout),  # what goes into a file stays there
        )
        _Display.live.start(refresh=True)
        print_above(_Display.live.console)
    else:
        _Display.live.refresh()


def hide(part: RenderableType) -> None:
    """Take away what was shown."""
    if part in _Display.parts:
        _Display.parts.remove(part)
    if _Display.live is not None:
        _Display.live.refresh()
        if not _Display.parts:
            print_above(None)
            _Display.live.stop()
            _Display.live = None


def redraw() -> None:
    """Show now what has changed."""
    if _Display.live is not None:
        _Display.live.refresh()


def plain(console: Console) -> bool:
    """Whether a terminal shows letters of ASCII only."""
    return not (console.encoding or "").lower().startswith("utf")


def bar(done: float, width: int, *, ascii: bool = False) -> Text:
    """A bar of which a fraction ``done`` is full."""
    full = round(min(max(done, 0.0), 1.0) * width)
    marks = "#-" if ascii else "━━"
    return Text(marks[0] * full, "cyan").append(marks[1] * (width - full), "bright_black")


class Line:
    """What is done, a bar, how much, and the time left, on one line."""

    def __init__(self, what: str, count: float, unit: str = "") -> None:
        self.what, self.count, self.unit = what, count, unit
        self.done, self.began = 0.0, time.monotonic()

    def left(self) -> str:
        """The time left, from how long it took so far."""
        passed = time.monotonic() - self.began
        if self.done <= 0 or passed < SETTLED:
            return ""
        return f"{clock(passed * max(self.count - self.done, 0.0) / self.done)} left"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The line, as long as there is room for."""
        room = min(options.max_width - 1, WIDEST)
        facts = [f"{math.floor(self.done)}/{self.count:.0f}{self.unit}", self.left()]
        after = "".join(f"  {fact}" for fact in facts if fact)
        ahead = f"{self.what}  "
        width = min(room - len(ahead) - len(after), BAR[1])
        if width < BAR[0]:
            yield Text(shortened(f"{self.what}{after}", room))
            return
        drawn = bar(self.done / max(self.count, 1e-9), width, ascii=plain(console))
        yield Text(ahead).append(drawn).append(after)


class Waiting:
    """What is waited for, and for how long already."""

    def __init__(self, what: str) -> None:
        self.what, self.began = what, time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The line, as long as there is room for."""
        passed = time.monotonic() - self.began
        spin = "*" if plain(console) else SPIN[int(passed * 8) % len(SPIN)]
        since = f"  {clock(passed)}" if passed >= 1.0 else ""
        yield Text(shortened(f"{spin} {self.what}{since}", min(options.max_width - 1, WIDEST)))


def shortened(text: str, width: int) -> str:
    """Printable text of at most so many columns: whole words, and ``...`` where some are left out."""
    text = printable(text)
    if cell_len(text) <= width:
        return text
    words, made = text.split(" "), ""
    for word in words:
        if cell_len(f"{made} {word}") > width - 4:
            break
        made = f"{made} {word}" if made else word
    return f"{made} ..." if made else text[: max(width, 1)]


def waiting(what: str) -> None:
    """Say what is waited for, in one line that stays until the next, a bar, or ``end_waiting``."""
    end_waiting()
    if visible():
        line = Waiting(what)
        show(line)
        until_waited(lambda: hide(line))


@contextmanager
def progress(what: str, count: float, unit: str = "") -> Iterator[Advance]:
    """A bar on a terminal; gives what is called with how much is done by now."""
    end_waiting()
    if not visible():
        yield lambda done: None
        return
    line = Line(what, count, unit)

    def advance(done: float) -> None:
        line.done = done

    show(line)
    try:
        yield advance
    finally:
        hide(line)


def watched(steps: Iterable[T], what: str, count: int) -> Iterator[T]:
    """The same steps, with a bar while they are taken."""
    with progress(what, count) as advance:
        for index, step in enumerate(steps):
            yield step
            advance(index + 1)


@contextmanager
def polled(look: Callable[[], float], what: str, count: float, unit: str = "") -> Iterator[None]:
    """A bar of what others do, who are asked every ``POLL`` seconds how much is done by now."""
    over = threading.Event()

    def ask(advance: Advance) -> None:
        while not over.wait(POLL):
            advance(look())

    with progress(what, count, unit) as advance:
        if not visible():
            yield
            return
        thread = threading.Thread(target=ask, args=(advance,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def unwatched(steps: Iterable[T], what: str, count: int) -> Iterable[T]:
    """The same steps, without a bar."""
    return steps

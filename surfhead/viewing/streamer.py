"""Draws the pictures that open pages wait for, one after the other."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from surfhead.core.errors import SurfheadError
from surfhead.viewing.pace import Pace
from surfhead.viewing.session import Session
from surfhead.viewing.shot import Request

log = logging.getLogger("surfhead")
LONGEST_WAIT = 1.0  # seconds between two looks when nothing is expected
PATIENCE = 120.0  # seconds; a run may be measuring itself meanwhile
Answer = TypeVar("Answer")


class Viewer(Protocol):
    """Who gets the pictures of a session."""

    session: Session

    def show(self, pixels: np.ndarray, request: Request) -> None:
        """Take a picture (H, W, 3) uint8. Whatever it raises ends the session."""

    def failed(self, error: Exception) -> None:
        """Told that the picture could not be drawn."""


@dataclass
class Streamed:
    """What was drawn so far.

    Attributes:
        pictures: how many.
        seconds: how long drawing and handing over took.
    """

    pictures: int = 0
    seconds: float = 0.0


class Streamer:
    """Draws for every open page in turn, always its latest shot; nothing is drawn while no page is open.

    Pages come and go in other threads; drawing is done by whoever calls ``step``: a thread of its own after
    ``start``, or a run between two of its steps.

    Args:
        draw: the picture of a request.
        clock: seconds.
    """

    def __init__(
        self, draw: Callable[[Request], np.ndarray], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.draw = draw
        self.clock = clock
        self.streamed = Streamed()
        self.busy = False  # while a picture is drawn and handed over
        self._viewers: list[Viewer] = []
        self._changed = threading.Condition()
        self._closed = False
        self._stirred = False
        self._thread: threading.Thread | None = None
        self._asked: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, viewer: Viewer) -> None:
        """Draw for one more page."""
        with self._changed:
            self._viewers = [*self._viewers, viewer]
        self.wake()

    def remove(self, viewer: Viewer) -> None:
        """Draw no more for a page; one that is gone already is no error."""
        with self._changed:
            self._viewers = [other for other in self._viewers if other is not viewer]
        self.wake()

    def wake(self) -> None:
        """Look again whether a picture is wanted."""
        with self._changed:
            self._stirred = True
            self._changed.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether there are pages, or questions of ``ask``."""
        return bool(self._viewers or self._asked)

    def ask(self, work: Callable[[], Answer]) -> Answer:
        """What ``work`` gives, in the thread that draws: nobody else computes with an avatar that may change.

        Raises:
            SurfheadError: nobody answered, as when the page is being closed; or what ``work`` raises.
        """
        answer: Future[Answer] = Future()

        def run() -> None:
            try:
                answer.set_result(work())
            except Exception as error:  # raised again where it was asked
                answer.set_exception(error)

        self._asked.append(run)
        self.wake()
        try:
            return answer.result(PATIENCE)
        except TimeoutError:
            raise SurfheadError("The viewer is busy or closing.", "", "Try again.") from None

    def answer(self) -> None:
        """Do what was asked for."""
        while self._asked:
            self._asked.popleft()()

    def step(self) -> bool:
        """Draw one picture, if one is wanted; whether it did."""
        self.answer()
        with self._changed:
            viewers = self._viewers
        for viewer in viewers:
            try:
                request = viewer.session.wanted(self.clock())
            except Exception as error:  # what one page plays must not end the pictures of all
                log.warning("The viewer could not decide what to draw: %s", error, exc_info=True)
                viewer.session.start(None)
                self._tell(viewer, error)
                continue
            if request is None:
                continue
            with self._changed:  # the next time, others come first
                if viewer in self._viewers:
                    rest = [other for other in self._viewers if other is not viewer]
                    self._viewers = [*rest, viewer]
            self._serve(viewer, request)
            return True
        return False

    def step_within(self, pace: Pace) -> bool:
        """Draw one picture if one is wanted and the pace allows it."""
        self.answer()
        began = self.clock()
        if not self._viewers or not pace.ready(began):
            return False
        drew = self.step()
        if drew:
            pace.worked(began, self.clock())
        return drew

    def _serve(self, viewer: Viewer, request: Request) -> None:
        self.busy = True
        try:
            self._draw_for(viewer, request)
        finally:
            self.busy = False

    def _draw_for(self, viewer: Viewer, request: Request) -> None:
        began = self.clock()
        try:
            pixels = self.draw(request)
        except Exception as error:  # a page may ask for what cannot be drawn; the others go on
            if not isinstance(error, SurfheadError):
                log.warning("A picture for the viewer failed: %s", error, exc_info=True)
            viewer.session.finished(request, 1, 0.0)
            self._tell(viewer, error)
            return
        viewer.session.finished(request, pixels.shape[0] * pixels.shape[1], self.clock() - began)
        try:
            viewer.show(pixels, request)
        except Exception as error:  # it closed meanwhile
            log.debug("A page left while its picture was drawn: %s", error)
            self.remove(viewer)
        self.streamed.pictures += 1
        self.streamed.seconds += self.clock() - began

    def _tell(self, viewer: Viewer, error: Exception) -> None:
        try:
            viewer.failed(error)
        except Exception as gone:
            log.debug("A page left while its picture was drawn: %s", gone)
            self.remove(viewer)

    def start(self) -> None:
        """Draw in a thread from now on."""
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; waits for the picture in hand."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _rests(self, viewer: Viewer) -> float:
        """Seconds until a page wants a picture if nothing more happens."""
        try:
            seconds = viewer.session.rests_in(self.clock())
        except Exception as error:
            log.warning("The viewer stops what a page plays: %s", error, exc_info=True)
            viewer.session.start(None)
            return LONGEST_WAIT
        return LONGEST_WAIT if seconds is None or not seconds < LONGEST_WAIT else seconds

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                self._stirred = False
            try:
                if self.step():
                    continue
            except Exception as error:
                log.warning("The viewer goes on after: %s", error, exc_info=True)
            wait = min(map(self._rests, self._viewers), default=LONGEST_WAIT)
            with self._changed:
                if not self._stirred and not self._closed:
                    self._changed.wait(min(max(wait, 0.001), LONGEST_WAIT))

"""The controls of key frames: set them, play them, take them along."""

from __future__ import annotations

import io
import itertools
import json
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from surfhead.core.errors import DataError
from surfhead.drawing.key_frames import KeyFrame, KeyFrames
from surfhead.drawing.pictures import Coming, arriving, video
from surfhead.viewing.heard import permitted
from surfhead.viewing.key_path import PathPlay, key_frame, read_key_frames, shot_at
from surfhead.viewing.shot import Request
from surfhead.viewing.viewpoint import picture_size
from surfhead.viewing.wiring import when_changed, when_clicked, when_uploaded

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

FILE = "key_frames.json"
RATE = 25.0  # pictures a second
MOST = 3000  # pictures of a film that a page may ask for
LARGEST = 256 << 20  # bytes of what is sent to a page; it stands in memory
NONE = "none"
EDITS, MOVES = ("Replace", "Delete"), ("Earlier", "Later")  # a row each


def sendable(size: int) -> None:
    """Raise DataError where so many bytes are too many to be sent to a page."""
    if size > LARGEST:
        raise DataError(
            f"The file would have more than {LARGEST >> 20} MB.",
            "Expected what a browser can take at once.",
            "Choose fewer pixels, or save the key frames and use `surfhead render RUN --path FILE`.",
        )


class KeyFramePanel:
    """The folder "Key frames" of one visitor.

    Args:
        visitor: whose.
        on_start: called before the key frames play.
    """

    def __init__(self, visitor: Guest, on_start: Callable[[], None]) -> None:
        self.visitor = visitor
        self.on_start = on_start
        gui = visitor.handle.gui
        self.frames: tuple[KeyFrame, ...] = ()
        self._editing = threading.Lock()  # every click has a thread, and reads before it writes
        self._filming = threading.Lock()
        self._rate = RATE
        self._before = visitor.shot.stance
        self._list = gui.add_markdown("")
        self._chosen = gui.add_dropdown("Key frame", (NONE,), hint="Which one the buttons below act on.")
        when_changed(visitor, self._chosen, lambda _: self._show())
        self._step = gui.add_slider("Seconds between", 0.1, 10.0, 0.1, 1.0, hint="From one to the next.")
        when_clicked(visitor, gui.add_button("Add what is seen", hint="After the chosen one."), self._add)
        edit, move = gui.add_button_group("Edit", EDITS), gui.add_button_group("Move", MOVES)
        when_clicked(visitor, edit, lambda: self._edit(str(edit.value)))
        when_clicked(visitor, move, lambda: self._edit(str(move.value)))
        self._playing = gui.add_button("Fly through")
        when_clicked(visitor, self._playing, self._toggle)
        save = gui.add_button("Save key frames", hint=f"{FILE}, for `surfhead render RUN --path FILE`.")
        when_clicked(visitor, save, self._save)
        when_uploaded(visitor, gui.add_upload_button("Load key frames", mime_type=".json"), self._load)
        self._side = gui.add_slider(
            "Film, pixels", 64, 1920, 16, 512, hint="Longer side of film and pictures."
        )
        when_clicked(visitor, gui.add_button("Make a film", hint="An MP4 of the channel shown."), self._film)
        take = gui.add_button("Make pictures", hint="A ZIP of PNG files of the channel shown.")
        when_clicked(visitor, take, self._pictures)
        self._tell()

    def _tell(self, chosen: int | None = None) -> None:
        """Say what there is, with one of them chosen."""
        names = tuple(f"{number + 1}: {frame.time:.1f} s" for number, frame in enumerate(self.frames))
        self._chosen.options = names or (NONE,)
        self._chosen.value = self._chosen.options[-1 if chosen is None else chosen]
        if not self.frames:
            self._list.content = "None yet: camera and pose at some moments, and everything in between."
            return
        length = self.frames[-1].time - self.frames[0].time
        plural = "s" * (len(self.frames) != 1)
        self._list.content = f"{len(self.frames)} key frame{plural}, {length:.1f} s"

    def _index(self) -> int:
        """The chosen key frame's place; -1 where there is none."""
        names = list(self._chosen.options)
        return names.index(self._chosen.value) if self.frames and self._chosen.value in names else -1

    def _seen(self, time: float) -> KeyFrame:
        page, shot = self.visitor.page, self.visitor.shot
        pose = page.ask(lambda: page.painter.pose(shot))
        return key_frame(shot, pose, round(time, 3), self.visitor.session.aspect)

    def _add(self) -> None:
        with self._editing:
            self._insert()

    def _insert(self) -> None:
        step = float(permitted(self._step, self._step.value) or 1.0)
        at = self._index() + 1
        made = self._seen(self.frames[at - 1].time + step if at else 0.0)
        later = [frame.model_copy(update={"time": round(frame.time + step, 3)}) for frame in self.frames[at:]]
        self.frames = KeyFrames((*self.frames[:at], made, *later), self._rate).frames  # checked
        self._tell(at)

    def _edit(self, what: str) -> None:
        with self._editing:
            self._change(what)

    def _change(self, what: str) -> None:
        at, frames = self._index(), list(self.frames)
        if what not in EDITS + MOVES:
            return
        if at < 0:
            raise DataError("There are no key frames.", "", "Add what is seen, or load a file.")
        if what == "Replace":
            frames[at] = self._seen(frames[at].time)
        elif what == "Delete":
            del frames[at]
        else:
            to = at + (1 if what == "Later" else -1)
            if 0 <= to < len(frames):  # they change places, the times stay
                times = frames[at].time, frames[to].time
                frames[at], frames[to] = (
                    frames[to].model_copy(update={"time": times[0]}),
                    frames[at].model_copy(update={"time": times[1]}),
                )
                at = to
        self.frames = tuple(frames)
        self._tell(min(at, len(frames) - 1) if frames else None)

    def _show(self) -> None:
        """See the chosen key frame."""
        at = self._index()
        if at < 0:
            return
        self.on_start()
        visitor, path = self.visitor, self._path()
        puppet, aspect = visitor.page.painter.puppet, visitor.session.aspect
        found = shot_at(path, path.frames[at].time, visitor.shot, puppet, aspect)
        visitor.go(found.viewpoint, stance=found.stance, camera=None)

    def _taken(self) -> Iterator[np.ndarray]:
        """The pictures of the path, as the page shows them."""
        visitor, path = self.visitor, self._path()
        page, shot, aspect = visitor.page, visitor.shot, visitor.session.aspect
        side = int(permitted(self._side, self._side.value) or 512)
        height, width = picture_size(aspect, side)
        times = path.times()
        if len(times) > MOST:
            raise DataError(
                f"The film would have {len(times)} pictures.",
                f"Expected at most {MOST}.",
                "Save the key frames, and use `surfhead render RUN --path FILE`.",
            )

        def begun(time: float) -> Coming:
            if visitor.handle.client_id not in page.visitors:
                raise DataError("The page was closed.")
            seen = shot_at(path, time, shot, page.painter.puppet, aspect)
            return page.ask(partial(page.painter.begin, seen, height, width))

        told = visitor.handle.add_notification("Film", "0 %", loading=True, with_close_button=False)
        try:
            for number, pixels in enumerate(arriving(map(begun, times.tolist()))):
                yield pixels
                told.body = f"{100 * (number + 1) // len(times)} % of {len(times)} pictures"
        finally:
            told.remove()

    def _film(self) -> None:
        with self._one_film():
            self._send_film()

    @contextmanager
    def _one_film(self) -> Iterator[None]:
        """Films take minutes: one of a page at a time, and few of all pages, which share threads."""
        if not self._filming.acquire(blocking=False):  # first: who waits takes no place from other pages
            raise DataError("A film is being made already.", "", "Wait until it is ready.")
        try:
            if not self.visitor.page.films.acquire(blocking=False):
                raise DataError("Other films are being made.", "", "Try again when they are ready.")
            try:
                yield
            finally:
                self.visitor.page.films.release()
        finally:
            self._filming.release()

    def _send_film(self) -> None:
        pictures = self._taken()
        first = next(pictures)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            height, width = first.shape[:2]
            with video(path, height, width, self._rate) as append:
                for pixels in itertools.chain([first], pictures):
                    append(pixels)
            sendable(path.stat().st_size)
            content = path.read_bytes()
        self.visitor.handle.send_file_download(path.name, content, save_immediately=True)

    def _pictures(self) -> None:
        with self._one_film():
            self._send_pictures()

    def _send_pictures(self) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for number, pixels in enumerate(self._taken()):
                png = io.BytesIO()
                Image.fromarray(pixels).save(png, "PNG")
                sendable(file.tell() + png.tell())
                archive.writestr(f"{number:05d}.png", png.getvalue())
        self.visitor.handle.send_file_download("pictures.zip", file.getvalue(), save_immediately=True)

    def _path(self) -> KeyFrames:
        if not self.frames:
            raise DataError("There are no key frames.", "", "Add what is seen, or load a file.")
        return KeyFrames(self.frames, self._rate)

    def _toggle(self) -> None:
        session = self.visitor.session
        if isinstance(session.play, PathPlay):
            self.stop()
            return
        path, page = self._path(), self.visitor.page
        self.on_start()
        self._before = self.visitor.shot.stance
        session.start(PathPlay(page.now(), self._rate, path, page.painter.puppet, session.aspect))
        self._playing.label = "Stop flying"

    def stop(self) -> None:
        """End a path that plays, and take up the motion from before."""
        if isinstance(self.visitor.session.play, PathPlay):
            self.visitor.session.start(None)
            self.visitor.change(stance=self._before)
            self._playing.label = "Fly through"

    def _save(self) -> None:
        content = json.dumps(self._path().as_table(), indent=1).encode()
        self.visitor.handle.send_file_download(FILE, content, save_immediately=True)

    def _load(self, name: str, content: bytes) -> None:
        found = read_key_frames(name, content, self.visitor.page.painter.puppet)
        self.frames, self._rate = found.frames, found.fps
        self._tell()

    def shown(self, request: Request) -> None:
        """Let the browser's camera follow a path that plays."""
        if isinstance(self.visitor.session.play, PathPlay):
            self.visitor.carry(request.shot.viewpoint)

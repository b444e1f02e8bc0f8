"""The controls of key frames: set them, play them, take them along."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from surfhead.core.errors import DataError
from surfhead.drawing.key_frames import KeyFrame, KeyFrames
from surfhead.viewing.key_path import PathPlay, key_frame, read_key_frames
from surfhead.viewing.shot import Request
from surfhead.viewing.wiring import permitted, when_clicked, when_uploaded

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

FILE = "key_frames.json"
RATE = 25.0  # pictures a second


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
        self._rate = RATE
        self._before = visitor.shot.stance
        self._list = gui.add_markdown("")
        self._step = gui.add_slider("Seconds between", 0.1, 10.0, 0.1, 1.0, hint="From the last to the next.")
        when_clicked(visitor, gui.add_button("Add what is seen"), self._add)
        when_clicked(visitor, gui.add_button("Remove the last"), self._remove)
        self._playing = gui.add_button("Fly through")
        when_clicked(visitor, self._playing, self._toggle)
        save = gui.add_button("Save key frames", hint=f"{FILE}, for `surfhead render RUN --path FILE`.")
        when_clicked(visitor, save, self._save)
        when_uploaded(visitor, gui.add_upload_button("Load key frames", mime_type=".json"), self._load)
        self._tell()

    def _tell(self) -> None:
        if not self.frames:
            self._list.content = "None yet: camera and pose at some moments, and everything in between."
            return
        length = self.frames[-1].time - self.frames[0].time
        self._list.content = f"{len(self.frames)} key frames, {length:.1f} s"

    def _add(self) -> None:
        page, shot = self.visitor.page, self.visitor.shot
        pose = page.ask(lambda: page.painter.pose(shot))
        step = float(permitted(self._step, self._step.value) or 1.0)
        time = self.frames[-1].time + step if self.frames else 0.0
        made = key_frame(shot, pose, round(time, 3), self.visitor.session.aspect)
        self.frames = KeyFrames((*self.frames, made), self._rate).frames  # checked
        self._tell()

    def _remove(self) -> None:
        self.frames = self.frames[:-1]
        self._tell()

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

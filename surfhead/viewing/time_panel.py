"""The timeline: which motion plays, where it is, how fast; and key frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from surfhead.viewing.key_frame_panel import KeyFramePanel
from surfhead.viewing.play import TimelinePlay
from surfhead.viewing.puppet import Track
from surfhead.viewing.shot import Request
from surfhead.viewing.uploads import LARGEST, motion_track
from surfhead.viewing.wiring import when_changed, when_clicked, when_pressed, when_uploaded

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

OWN = "its own motion"
SPEEDS = ("0.25", "0.5", "1", "2", "4")
REPORT = 0.2  # seconds between two moves of the slider while a motion plays


class TimePanel:
    """The tab "Time" of one visitor."""

    def __init__(self, visitor: Guest) -> None:
        self.visitor = visitor
        gui = visitor.handle.gui
        self._tracks: dict[str, Track | None] = {OWN: None}
        self._tracks |= {track.name: track for track in visitor.page.tracks}
        self._offered = set(self._tracks)
        self._speed = 1.0
        self._reported = 0.0
        rigged = visitor.page.avatar.deformer.rig_bound
        self._timestep = gui.add_slider("Timestep", 0, max(self._length() - 1, 1), 1, 0, visible=rigged)
        when_changed(visitor, self._timestep, self._seek)
        self._playing = gui.add_button("Play", visible=rigged)
        when_clicked(visitor, self._playing, self._toggle)
        speed = gui.add_dropdown("Speed", SPEEDS, initial_value="1", visible=rigged)
        when_changed(visitor, speed, self._set_speed)
        self._motion = gui.add_dropdown("Motion", tuple(self._tracks), visible=rigged)
        when_changed(visitor, self._motion, self._choose)
        if rigged:
            upload = gui.add_upload_button(
                "Load a motion", mime_type=".npz,.npy", hint="A motion file (.npz, .npy)."
            )
            when_uploaded(visitor, upload, self._load)
        if rigged:
            when_pressed(visitor, "Play or pause", "space", self._toggle)
            when_pressed(visitor, "Next timestep", "pagedown", lambda: self._move(1))
            when_pressed(visitor, "Previous timestep", "pageup", lambda: self._move(-1))
            when_pressed(visitor, "First timestep", "home", lambda: self._show(0))
            when_pressed(visitor, "Last timestep", "end", lambda: self._show(self._length() - 1))
            gui.add_markdown("Keys: space plays, Page Up and Page Down step, Home and End jump.")
        with gui.add_folder("Key frames"):
            self.key_frames = KeyFramePanel(visitor, self._stop)
        if len(self._tracks) > 1:  # a driver was asked for
            self._choose(list(self._tracks)[1])
            self._motion.value = list(self._tracks)[1]

    def _length(self) -> int:
        return self.visitor.page.painter.puppet.length(self.visitor.shot.stance)

    def _seek(self, value: float) -> None:
        self._stop()
        stance = self.visitor.shot.stance
        self.visitor.change(stance=replace(stance, timestep=int(value)))

    def _move(self, by: int) -> None:
        length = self._length()
        self._show((self.visitor.shot.stance.timestep + by) % length)

    def _show(self, step: int) -> None:
        self._seek(step)
        self._timestep.value = step

    def _toggle(self) -> None:
        if isinstance(self.visitor.session.play, TimelinePlay):
            self._stop()
        else:
            self._start()

    def _start(self) -> None:
        self.key_frames.stop()
        stance = self.visitor.shot.stance
        rate = self.visitor.page.painter.puppet.rate_of(stance) * self._speed
        play = TimelinePlay(self.visitor.page.now(), rate, stance.timestep, self._length())
        self._playing.label = "Pause"
        self.visitor.session.start(play)

    def _stop(self) -> None:
        self.key_frames.stop()
        self._playing.label = "Play"
        self.visitor.session.start(None)

    def _set_speed(self, value: str) -> None:
        self._speed = float(value)
        if isinstance(self.visitor.session.play, TimelinePlay):
            self._start()

    def _choose(self, name: str) -> None:
        self._stop()
        stance = self.visitor.shot.stance
        self.visitor.change(stance=replace(stance, track=self._tracks[name], timestep=0))
        self._timestep.max = max(self._length() - 1, 1)
        self._timestep.value = 0

    def _load(self, name: str, content: bytes) -> None:
        page = self.visitor.page
        track = page.ask(lambda: motion_track(page.avatar, name, content))
        label, number = name, 2
        while label in self._tracks:
            label, number = f"{name} ({number})", number + 1
        self._tracks[label] = track
        self._forget_oldest()
        self._motion.options = tuple(self._tracks)
        self._motion.value = label
        self._choose(label)
        self.visitor.say(f"{name}: {len(track)} timesteps at {track.rate:g} a second.")

    def _forget_oldest(self) -> None:
        """Keep no more of what was sent than one file may have; the newest stays."""
        sent = [name for name in self._tracks if name not in self._offered]
        while len(sent) > 1 and sum(self._size(name) for name in sent) > LARGEST:
            del self._tracks[sent.pop(0)]

    def _size(self, name: str) -> int:
        track = self._tracks[name]
        return 0 if track is None else sum(rows.nbytes for rows in track.parameters.values())

    def shown(self, request: Request, pixels: np.ndarray) -> None:
        """Let the slider follow a motion that plays."""
        now = self.visitor.page.now()
        play = self.visitor.session.play
        if isinstance(play, TimelinePlay) and now - self._reported < REPORT:
            return
        self._reported = now
        self.key_frames.shown(request)
        step = request.shot.stance.timestep
        if isinstance(play, TimelinePlay) and self._timestep.value != step:
            self._timestep.value = step

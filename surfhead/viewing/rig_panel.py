"""The controls of the rig: expressions, joints, where the eyes look, and taking a pose along."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.viewing.pose_file import pose_json, pose_npz
from surfhead.viewing.puppet import Control, Stance, random_expression
from surfhead.viewing.shot import Request
from surfhead.viewing.viewpoint import Vector
from surfhead.viewing.wiring import when_changed, when_clicked, when_pressed

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

FEW = 10  # sliders of a parameter that are shown at once
AT_CAMERA, AT_POINT = "at the camera", "at a point"
GAZES = ("as the motion does", AT_CAMERA, AT_POINT)
FIRST = ("expression", "jaw", "gaze", "neck")  # roles above the others, and open


class RigPanel:
    """The tab "Rig" of one visitor.

    A slider that is moved holds its value against the motion; ``Reset`` lets go of all.
    """

    def __init__(self, visitor: Guest) -> None:
        self.visitor = visitor
        gui = visitor.handle.gui
        self._sliders: dict[tuple[str, int], Any] = {}
        self._follows: tuple[Any, ...] | None = None
        self._folders: dict[str, Any] = {}
        self._lots = random.Random()
        reset = gui.add_button("Reset", hint="Let go of every slider, and look where the motion looks.")
        when_clicked(visitor, reset, self._reset)
        chance = gui.add_button("Random expression", hint="A few expressions at random strength; key X.")
        when_clicked(visitor, chance, self._randomise)
        when_pressed(visitor, "Random expression", "X", self._randomise)
        controls = visitor.page.controls
        self._gaze: Any = None
        roles = {rows[0].role: name for name, rows in controls.items() if rows}
        self._expression = roles.get("expression", "")
        chance.visible = bool(self._expression)
        if "gaze" in roles:
            self._gaze = gui.add_dropdown("Eyes look", GAZES, initial_value=GAZES[0])
            when_changed(visitor, self._gaze, self._look)
            x, y, z = visitor.page.start.position
            self._point = gui.add_vector3(
                "Point", (x, y, z), step=0.01, visible=False, hint="In the world, metres."
            )
            when_changed(visitor, self._point, lambda _: self._look(AT_POINT))
        first = [roles[role] for role in FIRST if role in roles]
        order = [*first, *(name for name in controls if name not in first)]
        self._waiting: dict[str, list[Control]] = {}
        for name in order:
            self._waiting[name] = list(controls[name])
            opened = name in first
            self._folders[name] = gui.add_folder(name.capitalize(), expand_by_default=opened)
            self._add(name)
        with gui.add_folder("Take the pose along", expand_by_default=False):
            when_clicked(visitor, gui.add_button("Save as npz"), lambda: self._save("npz"))
            when_clicked(visitor, gui.add_button("Save as JSON"), lambda: self._save("json"))

    def _add(self, name: str) -> None:
        """The next few sliders of a parameter, and a button for those after."""
        visitor, gui = self.visitor, self.visitor.handle.gui
        now, later = self._waiting[name][:FEW], self._waiting[name][FEW:]
        painter = visitor.page.painter
        pose = visitor.page.ask(lambda: painter.pose(visitor.shot))
        self._waiting[name] = later
        with self._folders[name]:
            for control in now:
                value = float(pose[name][0, control.index]) if name in pose else 0.0
                slider = gui.add_slider(
                    control.label,
                    control.low,
                    control.high,
                    control.step,
                    min(max(value, control.low), control.high),
                )
                self._sliders[name, control.index] = slider
                when_changed(visitor, slider, partial(self._hold, control))
            if later:
                more = gui.add_button(f"{len(later)} more")

                def add_more() -> None:
                    more.remove()
                    self._add(name)

                when_clicked(visitor, more, add_more)

    def _hold(self, control: Control, value: float) -> None:
        stance = self.visitor.shot.stance
        held = stance.with_held(control.name, control.index, float(value))
        self.visitor.change(stance=replace(stance, held=held))

    def _look(self, where: str) -> None:
        self._point.visible = where == AT_POINT
        x, y, z = map(float, self._point.value)
        gaze: Vector | str | None = None
        if where != GAZES[0]:
            gaze = "camera" if where == AT_CAMERA else (x, y, z)
        self.visitor.change(stance=replace(self.visitor.shot.stance, gaze=gaze))

    def _randomise(self) -> None:
        """A few of the expressions at random strength, the others at rest."""
        controls = self.visitor.page.controls.get(self._expression, [])
        stance = self.visitor.shot.stance
        held = {**stance.held, **random_expression(controls, self._lots)}
        self.visitor.change(stance=replace(stance, held=held))
        with self.visitor.handle.atomic():
            for (name, index), slider in list(self._sliders.items()):
                if name == self._expression:
                    slider.value = held[name, index]

    def _reset(self) -> None:
        stance = self.visitor.shot.stance
        if self._gaze is not None:
            self._gaze.value = GAZES[0]
            self._point.visible = False
        self.visitor.change(stance=Stance(stance.track, stance.timestep))

    def _save(self, suffix: str) -> None:
        page = self.visitor.page
        pose = page.ask(lambda: page.painter.pose(self.visitor.shot))
        content = pose_npz(pose) if suffix == "npz" else pose_json(pose).encode()
        self.visitor.handle.send_file_download(f"pose.{suffix}", content, save_immediately=True)

    def shown(self, request: Request, pixels: np.ndarray) -> None:
        """Set the sliders that nobody holds to what the motion has, once it rests."""
        stance = request.shot.stance
        motion, held = (stance.track, stance.timestep), frozenset(stance.held)
        before, self._follows = self._follows, (motion, held)
        if self.visitor.session.play is not None:
            self._follows = None  # until it rests
            return
        if before is not None and before[0] == motion and before[1] <= held:
            return
        pose = self.visitor.page.painter.pose(replace(request.shot, stance=replace(stance, gaze=None)))
        with self.visitor.handle.atomic():
            for (name, index), slider in list(self._sliders.items()):
                if (name, index) not in held and name in pose:
                    value = float(pose[name][0, index])
                    slider.value = min(max(value, slider.min), slider.max)

"""The controls of the light: which, turned how far, how strong, and a lamp of one's own."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.drawing.light_file import SUFFIXES, read_light
from surfhead.maths.lamps import LAMPS
from surfhead.viewing.lighting import LEARNT, pointed_at
from surfhead.viewing.shot import Request
from surfhead.viewing.wiring import when_changed, when_clicked, when_pointed, when_uploaded

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

NO_WORD = re.compile(r"[^\w .()-]")  # a name is only shown; what no file is called goes
LONGEST = 80  # characters of it


class LightPanel:
    """The tab "Light" of one visitor, for avatars that can be lit anew."""

    def __init__(self, visitor: Guest) -> None:
        self.visitor = visitor
        gui = visitor.handle.gui
        self._choice = gui.add_dropdown("Light", (LEARNT, *LAMPS))
        when_changed(visitor, self._choice, lambda value: self._change(name=str(value)))
        turn = gui.add_slider("Turn", -180, 180, 1, 0, hint="Degrees about the head.")
        when_changed(visitor, turn, lambda value: self._change(turn=float(value)))
        strength = gui.add_slider("Strength", 0.0, 3.0, 0.05, 1.0, hint="Factor on the light.")
        when_changed(visitor, strength, lambda value: self._change(strength=float(value)))
        lamp = gui.add_slider("Lamp", 0.0, 2.0, 0.05, 0.0, hint="A white lamp; a click moves it there.")
        when_changed(visitor, lamp, lambda value: self._change(lamp=float(value)))
        back = gui.add_button("Lamp to the camera", hint="It then goes where the camera goes.")
        when_clicked(visitor, back, lambda: self._change(direction=None))
        when_pointed(visitor, self._move)
        kinds, hint = ",".join(SUFFIXES), "A picture of all around: .hdr or .exr, twice as wide as high."
        sent = gui.add_upload_button("Load an environment", mime_type=kinds, hint=hint)
        when_uploaded(visitor, sent, self._environment)

    def _change(self, **changes: Any) -> None:
        self.visitor.change(lighting=replace(self.visitor.shot.lighting, **changes))

    def _move(self, x: float, y: float) -> None:
        shot = self.visitor.shot
        if shot.lighting.lamp > 0.0:
            self._change(direction=pointed_at(shot.viewpoint, x, y))

    def _environment(self, name: str, content: bytes) -> None:
        shown = NO_WORD.sub("_", Path(name).name)[-LONGEST:].lstrip(".") or "environment"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / shown
            path.write_bytes(content)
            light = replace(read_light(str(path)), name=shown)
        self._choice.options = (LEARNT, *LAMPS, light.name)
        self._choice.value = light.name
        self._change(name=light.name, environment=light)

    def shown(self, request: Request, pixels: np.ndarray) -> None:
        """Nothing to follow."""

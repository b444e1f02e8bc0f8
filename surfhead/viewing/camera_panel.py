"""The camera: field of view, back to the front, and the cameras of the data with their true pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.viewing.shot import Request
from surfhead.viewing.wiring import when_changed, when_clicked, when_pressed

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

MOST = 64  # cameras drawn in the scene
SCALE = 0.06  # of a frustum, in distances from the camera to the head


class CameraPanel:
    """The tab "Cameras" of one visitor."""

    def __init__(self, visitor: Guest) -> None:
        self.visitor = visitor
        gui, page = visitor.handle.gui, visitor.page
        when_clicked(visitor, gui.add_button("To the front", hint="Key R."), self._reset)
        when_pressed(visitor, "To the front", "R", self._reset)
        self._fov = gui.add_slider(
            "Field of view", 5.0, 90.0, 1.0, round(math.degrees(page.start.fov)), hint="Vertical, degrees."
        )
        when_changed(visitor, self._fov, self._zoom)
        self._frusta: list[Any] = []
        self._place = gui.add_folder("The data's cameras")
        with self._place:
            if page.painter.views is None and page.has_data:
                load = gui.add_button("Open the data", hint="Its cameras and true pictures.")

                def open_data() -> None:
                    load.disabled, load.label = True, "Opening …"
                    page.open_data()
                    load.remove()
                    with self._place:
                        self._add_views()

                when_clicked(visitor, load, open_data)
            else:
                self._add_views()

    def _add_views(self) -> None:
        visitor, gui, views = self.visitor, self.visitor.handle.gui, self.visitor.page.painter.views
        if views is None:
            gui.add_markdown("The data of this avatar is not here: no cameras and no true pictures.")
            return
        shown = gui.add_checkbox("Show the cameras", False, hint="Click one to look through it.")
        when_changed(visitor, shown, self._show_frusta)
        names = tuple(map(str, views.numbers))
        self._camera = gui.add_dropdown("Camera", names)
        when_clicked(visitor, gui.add_button("Look through it"), lambda: self.jump(int(self._camera.value)))
        split = gui.add_slider(
            "Truth | render", 0.0, 1.0, 0.01, 0.0, hint="Share of the picture that shows the truth."
        )
        when_changed(visitor, split, lambda value: visitor.change(split=float(value)))

    def _reset(self) -> None:
        self._fov.value = round(math.degrees(self.visitor.page.start.fov))
        self.visitor.go(self.visitor.front, camera=None)

    def _zoom(self, degrees: float) -> None:
        view = replace(self.visitor.shot.viewpoint, fov=math.radians(float(degrees)))
        self.visitor.go(view, camera=None)

    def jump(self, number: int) -> None:
        """Look through one of the data's cameras, at the timestep nearest to now that it saw."""
        visitor = self.visitor
        views = visitor.page.painter.views
        assert views is not None
        stance = visitor.shot.stance
        if stance.track is None:
            stance = replace(stance, timestep=views.nearest_timestep(number, stance.timestep))
        view = views.viewpoint(number)
        self._fov.value = min(max(round(math.degrees(view.fov)), 5.0), 90.0)
        self._camera.value = str(number)
        visitor.go(view, camera=number, stance=stance)

    def _show_frusta(self, shown: bool) -> None:
        if shown and not self._frusta:
            self._add_frusta()
        for frustum in self._frusta:
            frustum.visible = shown

    def _add_frusta(self) -> None:
        page, scene = self.visitor.page, self.visitor.handle.scene
        views = page.painter.views
        assert views is not None
        reach = float(np.linalg.norm(np.asarray(page.start.position) - np.asarray(page.target)))
        aspect = views.scene.views.width / views.scene.views.height
        for number in views.numbers[:MOST]:
            view = views.viewpoint(number)
            frustum = scene.add_camera_frustum(
                f"/cameras/{number}",
                view.fov,
                aspect,
                scale=SCALE * reach,
                thickness=SCALE * reach * 0.02,
                color=(255, 160, 0),
                wxyz=view.wxyz,
                position=view.position,
            )
            when_clicked(self.visitor, frustum, partial(self.jump, number))
            self._frusta.append(frustum)

    def shown(self, request: Request, pixels: np.ndarray) -> None:
        """Nothing here follows the picture."""

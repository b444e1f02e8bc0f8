"""One browser at the page: its session, its controls and its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.viewing.beside import SIDES
from surfhead.viewing.camera_panel import CameraPanel
from surfhead.viewing.light_panel import LightPanel
from surfhead.viewing.picture_panel import PicturePanel
from surfhead.viewing.rig_panel import RigPanel
from surfhead.viewing.settings import LOSSLESS
from surfhead.viewing.shot import Request, Shot
from surfhead.viewing.time_panel import TimePanel
from surfhead.viewing.training_panel import TrainingPanel
from surfhead.viewing.viewpoint import Viewpoint, fitted

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Exhibit

SETTLES = 5.0  # seconds in which a slow browser may still report the place it was moved away from
NOTICE = 6.0  # seconds a message is shown


class Visitor:
    """Connects a browser with its session.

    Attributes:
        page: which it looks at.
        handle: viser's handle of it.
        session: what it sees.
        quality: of the encoding, see ``Page``.
    """

    def __init__(self, page: Exhibit, handle: Any) -> None:
        self.page = page
        self.handle = handle
        self.quality = page.quality
        self.session = page.session()
        self._moved = -SETTLES
        self._sent: Viewpoint | None = None
        self._arrived = False
        self._home = page.start
        self._follow(handle.camera)
        tabs = handle.gui.add_tab_group()
        panels: list[Any] = []
        with tabs.add_tab("View"):
            panels.append(PicturePanel(self))
        if page.avatar.appearance.relightable:
            with tabs.add_tab("Light"):
                panels.append(LightPanel(self))
        if page.avatar.deformer.rig_bound:
            with tabs.add_tab("Rig"):
                panels.append(RigPanel(self))
        with tabs.add_tab("Time"):
            panels.append(TimePanel(self))
        with tabs.add_tab("Cameras"):
            panels.append(CameraPanel(self))
        if page.training is not None:
            with tabs.add_tab("Training"):
                panels.append(TrainingPanel(self, page.training))
        self.panels = panels
        handle.camera.on_update(self._moves)
        self._stand_back()

    async def _moves(self, camera: Any) -> None:
        self._follow(camera)

    @property
    def front(self) -> Viewpoint:
        """In front of the head, far enough for all of it to be in this window, or in half of it."""
        halves = 2 if self.shot.beside == SIDES else 1
        return fitted(self.page.start, self.page.target, self.session.aspect / halves)

    @property
    def shot(self) -> Shot:
        """What it sees."""
        return self.session.shot

    def change(self, **changes: Any) -> Shot:
        """See something else."""
        return self.session.change(self.page.now(), **changes)

    def show(self, pixels: np.ndarray, request: Request) -> None:
        """Send a picture. Raises ConnectionError when the browser has gone."""
        if self.handle.client_id not in self.page.visitors:
            raise ConnectionError("The page was closed.")
        self.page.drew()
        lossless = self.quality >= LOSSLESS
        self.handle.scene.set_background_image(
            pixels, format="png" if lossless else "jpeg", jpeg_quality=None if lossless else self.quality
        )
        self.handle.flush()
        for panel in self.panels:
            panel.shown(request, pixels)

    def failed(self, error: Exception) -> None:
        """Say why there is no picture."""
        self.say(error)

    def say(self, message: object) -> None:
        """Show a message for a while."""
        self.handle.add_notification("surfhead", str(message), auto_close_seconds=NOTICE)

    def go(self, view: Viewpoint, **changes: Any) -> None:
        """Move the camera, and change the shot with it."""
        self.change(viewpoint=view, **changes)
        self.carry(view)

    def carry(self, view: Viewpoint) -> None:
        """Let the browser's camera follow a shot that moves by itself."""
        self._moved, self._sent, self._arrived = self.page.now(), view, False
        self._send(view)

    def _send(self, view: Viewpoint) -> None:
        camera = self.handle.camera
        position = np.asarray(view.position)
        reach = max(float(np.linalg.norm(np.asarray(self.page.target) - position)), 1e-3)
        with self.handle.atomic():
            camera.up_direction = view.up
            camera.position = position
            camera.look_at = position + reach * view.forward
            camera.fov = view.fov

    def _follow(self, camera: Any) -> None:
        """Take the browser's camera, unless it only reports where it was sent, or from where."""
        now = self.page.now()
        aspect = camera.image_width / max(camera.image_height, 1)
        window = max(
            int(camera.image_width), int(camera.image_height), 1
        )  # of the canvas, as fine as the screen
        self.session.resize(now, aspect=min(max(aspect, 0.1), 10.0), window=window)
        x, y, z = map(float, camera.position)
        w, i, j, k = map(float, camera.wxyz)
        view = Viewpoint((x, y, z), (w, i, j, k), float(camera.fov))
        if not np.isfinite([x, y, z, w, i, j, k, view.fov]).all() or not 0.0 < view.fov < 3.1:
            return
        if self._sent is not None:
            if view.near(self._sent):
                self._arrived = True
                self._stand_back()
                return
            if not self._arrived and now - self._moved < SETTLES:
                return
        self._sent = None
        self.session.change(now, viewpoint=view, camera=None)
        self._stand_back()

    def _stand_back(self) -> None:
        """Keep the head in the window, which may change its shape, as long as nobody has moved the camera."""
        if self.shot.viewpoint.near(self._home) and not self.front.near(self._home):
            self._home = self.front
            self.go(self._home)

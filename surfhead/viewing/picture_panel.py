"""The controls of what is drawn: channel, options, regions, background, size and encoding."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.drawing.channels import CHANNELS
from surfhead.viewing.settings import LOSSLESS, SIZES
from surfhead.viewing.shot import Request
from surfhead.viewing.wiring import when_changed

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest
    from surfhead.viewing.variants import LiveOption

BACKGROUNDS: dict[str, tuple[float, float, float] | None] = {
    "as trained": None,
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "grey": (0.5, 0.5, 0.5),
}
SMOOTH = 0.9  # of the frame rate that is shown


class PicturePanel:
    """The tab "View" of one visitor."""

    def __init__(self, visitor: Guest) -> None:
        self.visitor = visitor
        gui, avatar = visitor.handle.gui, visitor.page.avatar
        self._last = 0.0
        self._interval = 0.0
        self._said = 0.0
        self._status = gui.add_markdown("")
        channel = gui.add_dropdown("Channel", tuple(CHANNELS), initial_value=visitor.shot.channel)
        when_changed(visitor, channel, lambda value: visitor.change(channel=value))
        background = gui.add_dropdown("Background", tuple(BACKGROUNDS))
        when_changed(visitor, background, lambda value: visitor.change(background=BACKGROUNDS[value]))
        opacity = gui.add_slider("Opacity", 0.05, 1.0, 0.05, 1.0, hint="Factor of every surfel's opacity.")
        when_changed(visitor, opacity, lambda value: visitor.change(opacity_scale=float(value)))
        self._mesh_shown = False
        self._mesh: Any = None
        if avatar.deformer.rig_bound:
            mesh = gui.add_checkbox("Rig mesh", False, hint="The rig's posed mesh over the picture.")
            when_changed(visitor, mesh, self._show_mesh)
        with gui.add_folder("Options"):
            self._add_options(gui)
        if avatar.surfels.topology is not None:
            with gui.add_folder("Regions", expand_by_default=False):
                for name in avatar.surfels.topology.regions:
                    shown = gui.add_checkbox(name, True)
                    when_changed(visitor, shown, partial(self._show_region, name))
        with gui.add_folder("Pictures", expand_by_default=False):
            size = gui.add_slider(
                "Size", SIZES[0], 2048, 32, min(visitor.page.size, 2048), hint="Longer side, pixels."
            )
            when_changed(visitor, size, self._resize)
            quality = gui.add_slider(
                "Quality", 10, LOSSLESS, 5, visitor.quality, hint="JPEG; 100 sends PNG, without loss."
            )
            when_changed(visitor, quality, self._encode)

    def _add_options(self, gui: Any) -> None:
        visitor, page = self.visitor, self.visitor.page
        for row in page.live_options:
            label = f"{row.kind} {row.name}".replace("_", " ")
            if set(row.choices) == {False, True}:
                handle = gui.add_checkbox(label, bool(row.value), hint=row.description)
            else:
                names = tuple(map(str, row.choices))
                handle = gui.add_dropdown(label, names, initial_value=str(row.value), hint=row.description)
            when_changed(visitor, handle, partial(self._set_option, row))
        if page.highlight:
            shine = gui.add_checkbox("Highlight", True, hint="The specular part of the colour.")
            when_changed(visitor, shine, self._highlight)

    def _set_option(self, row: LiveOption, shown: object) -> None:
        value = next(choice for choice in row.choices if str(choice) == str(shown))
        self.visitor.change(look=self.visitor.shot.look.with_option(row.kind, row.name, value))

    def _highlight(self, value: bool) -> None:
        self.visitor.change(look=replace(self.visitor.shot.look, highlight=value))

    def _show_region(self, name: str, shown: bool) -> None:
        self.visitor.change(look=self.visitor.shot.look.with_region(name, shown))

    def _resize(self, value: float) -> None:
        self.visitor.session.resize(self.visitor.page.now(), size=int(value))

    def _encode(self, value: float) -> None:
        self.visitor.quality = int(value)
        self.visitor.session.touch()

    def _show_mesh(self, shown: bool) -> None:
        self._mesh_shown = shown
        if self._mesh is not None:
            self._mesh.visible = shown
        self.visitor.session.touch()

    def shown(self, request: Request, pixels: np.ndarray) -> None:
        """Say what was drawn, and let the mesh follow."""
        self._say(request, pixels)
        if not self._mesh_shown:
            return
        painter = self.visitor.page.painter
        vertices = painter.vertices(request.shot)
        if self._mesh is None:
            faces = self.visitor.page.avatar.rig.rest().topology.triangles.cpu().numpy()
            self._mesh = self.visitor.handle.scene.add_mesh_simple(
                "/rig", vertices, faces, color=(90, 200, 255), wireframe=True, opacity=0.35
            )
        else:
            self._mesh.vertices = vertices

    def _say(self, request: Request, pixels: np.ndarray) -> None:
        now = self.visitor.page.now()
        step, self._last = now - self._last, now
        if step < 1.0:
            self._interval = step if self._interval == 0.0 else SMOOTH * self._interval + (1 - SMOOTH) * step
        if now - self._said < 0.5 and not request.full:
            return
        self._said = now
        height, width = pixels.shape[:2]
        words = f"{width} x {height}"
        if not request.full and self._interval > 0.0:
            words += f", {1.0 / self._interval:.1f} pictures/s"
        shot = request.shot
        if shot.channel == "error" and self.visitor.page.painter.row(shot) is None:
            words += ". Jump to a training camera (tab Cameras) to see the error."
        self._status.content = words

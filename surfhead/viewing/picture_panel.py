"""The controls of what is drawn: channel, options, regions, background, size and encoding."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.drawing.channels import CHANNELS
from surfhead.drawing.colour_maps import MAPS
from surfhead.drawing.scalars import SCALARS
from surfhead.viewing.beside import WAYS
from surfhead.viewing.settings import LOSSLESS, SIZES
from surfhead.viewing.shot import Request
from surfhead.viewing.viewpoint import Vector
from surfhead.viewing.wiring import when_changed, when_picked

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest
    from surfhead.viewing.variants import LiveOption

BACKGROUNDS: dict[str, tuple[float, float, float] | None] = {
    "as trained": None,
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "grey": (0.5, 0.5, 0.5),
}
OWN = "own"
SPREADS: dict[str, float | None] = {"the channel's own": None, "1 to 99 %": 1.0, "5 to 95 %": 5.0}
SMOOTH = 0.9  # of the frame rate that is shown


def plain(name: str) -> str:
    """A name as Markdown that shows its letters: a stranger's run may be called like an element or a link."""
    return re.sub(r"([^\w\s])", r"\\\1", " ".join(name.split()))


class PicturePanel:
    """The tab "View" of one visitor."""

    def __init__(self, visitor: Guest) -> None:
        self.visitor = visitor
        gui, avatar = visitor.handle.gui, visitor.page.avatar
        self._last = 0.0
        self._interval = 0.0
        self._said = 0.0
        self._stop_picking: Callable[[], None] | None = None
        self._rate = ""
        self._status = gui.add_markdown("")
        channel = gui.add_dropdown("Channel", tuple(CHANNELS), initial_value=visitor.shot.channel)
        when_changed(visitor, channel, lambda value: visitor.change(channel=value))
        self._map = gui.add_dropdown(
            "Colours", (OWN, *MAPS), hint="Of depth, alpha, error, blend, observed, stretch."
        )
        when_changed(
            visitor, self._map, lambda name: visitor.change(colour_map=None if name == OWN else name)
        )
        self._spread = gui.add_dropdown("Range", tuple(SPREADS), hint="Of these numbers; the bar shows it.")
        when_changed(visitor, self._spread, lambda name: visitor.change(percentile=SPREADS[name]))
        background = gui.add_dropdown("Background", tuple(BACKGROUNDS))
        when_changed(visitor, background, lambda value: visitor.change(background=BACKGROUNDS[value]))
        opacity = gui.add_slider("Opacity", 0.05, 1.0, 0.05, 1.0, hint="Factor of every surfel's opacity.")
        when_changed(visitor, opacity, lambda value: visitor.change(opacity_scale=float(value)))
        size = gui.add_slider("Splat size", 0.1, 2.0, 0.05, 1.0, hint="Factor of every surfel's size.")
        when_changed(visitor, size, self._resize_surfels)
        if visitor.page.painter.other is not None:
            beside = gui.add_dropdown("Two runs", WAYS, initial_value=visitor.shot.beside)
            when_changed(visitor, beside, lambda way: visitor.change(beside=way))
            gui.add_markdown("Left {}, right {}.".format(*map(plain, visitor.page.names)))
        self._pick = gui.add_checkbox(
            "Pick a surfel", False, hint="Click one in the picture to read its values."
        )
        when_changed(visitor, self._pick, self._picking)
        self._found = gui.add_markdown("", visible=False)
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
                "Size",
                SIZES[0],
                SIZES[1],
                32,
                visitor.page.size,
                hint="Longer side at rest, at most the window's own, pixels.",
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

    def _resize_surfels(self, value: float) -> None:
        self.visitor.change(look=replace(self.visitor.shot.look, size=float(value)))

    def _picking(self, wanted: bool) -> None:
        self._found.visible = wanted
        self._found.content = "Click into the picture." if wanted else ""
        if self._stop_picking is not None:
            self._stop_picking()
        self._stop_picking = when_picked(self.visitor, self._picked) if wanted else None

    def _picked(self, origin: Vector, direction: Vector) -> None:
        page, shot = self.visitor.page, self.visitor.shot
        found = page.ask(lambda: page.painter.pick(shot, origin, direction))
        rows = "\n".join(f"| {name} | {words} |" for name, words in found.items())
        self._found.content = f"| | |\n|---|---|\n{rows}" if found else "There is no surfel."

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
        words = f"{len(self.visitor.page.avatar.surfels):,} surfels · {width} × {height}"
        if not request.full and self._interval > 0.0:
            self._rate = f" · {1.0 / self._interval:.1f} frames/s"
        words += self._rate
        shot = request.shot
        for handle in (self._map, self._spread):
            if handle.visible != (shot.channel in SCALARS):
                handle.visible = shot.channel in SCALARS
        if shot.channel == "error" and self.visitor.page.painter.row(shot) is None:
            words += ". Jump to a training camera (tab Cameras) to see the error."
        self._status.content = words

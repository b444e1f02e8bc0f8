"""One HTML file that plays the avatar in any browser with WebGL 2: no server, no network, nothing to install.

    surfhead export RUN --format html

It holds the surfels, the triangles that carry them, and either the rig as blendshapes and skinning, with a
slider for every expression and joint, or the posed vertices of every timestep (``motion=baked``, the default
for a rig that may not be passed on, that is not linear, or whose motion its linear part does not explain). A
rig whose licence forbids passing its model on is embedded only with ``--i-may-share-the-rig``; without it the
page has of this rig only the head's own meshes, posed and at rest, where they carry surfels.

The page has its title, a picture that is there before the scripts have run, a timeline, keys (space, arrows,
H, F and others: see "Keys" in it), fullscreen, and a panel that hides. Its motion plays by itself, but where
the visitor's system asks for reduced motion, or with ``#play=0``. Behind a # its address may ask for a
view: ``page.html#panel=0&yaw=30&pitch=10&zoom=1.5&orbit=20&channel=normal&play=0``; "Embed" writes such an
``<iframe>`` of what is seen.

The page deforms surfels as this project's deformers do, evaluates harmonics and highlights, sorts by depth
and composites the exact ray-surfel intersections (docs/method.md, sections 3 to 6). Its picture is that of
the rasterizers up to the stored precision: 16 bits for geometry and constant colours, 8 for other harmonics.
Avatars that can be lit anew have controls of the light, and the channels albedo and shading. Scripts find
``window.surfhead`` in it: ``await surfhead.ready``, then ``setPose``, ``setView``, ``setLight``, ``pixels``.
"""

from __future__ import annotations

import html
import json
import logging
import re
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from surfhead.core.api import AvatarView, Format, LinearRig, OptionError, Pose, option
from surfhead.drawing.scalars import SCALARS
from surfhead.files.writing import write_text
from surfhead.plugins.formats.html.avatar import (
    Carrier,
    add_baked_rig,
    add_linear_rig,
    add_mesh,
    add_scales,
    add_surfels,
    carrier,
    first_view,
)
from surfhead.plugins.formats.html.numbers import Numbers
from surfhead.plugins.formats.html.poster import poster
from surfhead.plugins.formats.point_cloud import refuse

log = logging.getLogger("surfhead")
SCRIPTS = (
    *("payload", "labels", "rig", "triangles", "deform", "highlight", "light"),
    *("painter", "orbit", "bar", "panel", "player"),
)
SHADERS = (
    *("present.vert", "shade.frag", "lit.frag", "highlight.frag", "scatter.vert", "scatter.frag"),
    *("surfel.vert", "surfel.frag", "present.frag"),
)


class Html(Format):
    """Writes a self-contained web page."""

    name = "html"
    summary = "A web page that plays the avatar anywhere: one file, no server, no network."
    suffixes = (".html",)
    writes = True

    @dataclass(frozen=True)
    class Options:
        """What of the rig goes into the page."""

        motion: Literal["auto", "rig", "baked"] = option(
            "auto", "Embed the rig, with sliders, or only posed vertices (baked); auto: the rig if it may be."
        )
        every: int = option(1, "Baked motion: keep every so many timesteps.", low=1)
        title: str = option("", "Title of the page; by default the file's name.")
        yaw: float = option(0.0, "First view: degrees to the head's left.", low=-360, high=360)
        pitch: float = option(0.0, "First view: degrees above the horizon.", low=-80, high=80)
        zoom: float = option(1.0, "First view: 2 is from half as far.", low=0.4, high=4)
        orbit: float = option(
            0.0, "Degrees a second by which it turns by itself until it is touched.", low=-360, high=360
        )
        poster: bool = option(True, "Hold a picture that is shown while the page unpacks.")
        i_may_share_the_rig: bool = option(
            False, "You have the right to pass on a rig whose licence forbids it to others."
        )

    options: Options

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write the page; gives the file.

        Raises:
            OptionError: the rig may not, or cannot, be embedded as asked.
            DataError: the page cannot evaluate a component of the avatar.
        """
        refuse(self.name, timestep, parameters)
        numbers = Numbers()
        head, kept = add_surfels(numbers, avatar)
        triangle = avatar.surfels.triangle.cpu().numpy()[kept]
        if avatar.deformer.rig_bound:
            part = carrier(avatar, triangle, head["deformer"]["blended"])
            add_mesh(numbers, part, avatar.rig.rest().vertices)
            head["rig"], head["timesteps"] = self._rig(numbers, avatar, part)
        else:
            head["rig"], head["timesteps"] = {"kind": "none"}, 1
        add_scales(numbers)
        start = {name: getattr(self.options, name) for name in ("yaw", "pitch", "zoom", "orbit")}
        home = first_view(avatar, triangle)
        head |= {
            "title": self.options.title or path.stem,
            "note": _note(avatar),
            "background": [float(value) for value in avatar.background],
            "home": home,
            "start": start,
            "scalars": {name: asdict(kind) for name, kind in SCALARS.items()},
            "arrays": numbers.entries,
        }
        picture = poster(avatar, home, start) if self.options.poster else ""
        packed = numbers.text()
        head["bytes"] = len(_page({**head, "bytes": 0}, packed, picture).encode())
        text = _page(head, packed, picture)
        write_text(path, text)
        log.info("%s: %d surfels, %s rig, %.1f MB", path, len(kept), head["rig"]["kind"], len(text) / 1e6)
        return [path]

    def _rig(self, numbers: Numbers, avatar: AvatarView, part: Carrier) -> tuple[dict[str, Any], int]:
        model = self._embedded(avatar)
        if model is None:
            self._check_own_shape(avatar)
            return add_baked_rig(numbers, avatar, part, self.options.every)
        sizes = {name: info.size for name, info in avatar.rig.parameters().items()}
        return add_linear_rig(numbers, model, part, avatar.motion, sizes), max(avatar.timesteps, 1)

    def _check_own_shape(self, avatar: AvatarView) -> None:
        """Raise OptionError where the mesh at rest is the average head of a rig that may not be passed on."""
        own = any(bool(value.any()) for value in avatar.identity.values())
        if not (own or avatar.rig.shareable or self.options.i_may_share_the_rig):
            raise OptionError(
                f'The avatar has no shape of its own: at rest it is rig "{avatar.rig.name}"\'s average head.',
                "The licence of this rig forbids passing that on.",
                "Give --i-may-share-the-rig if you have that right.",
            )

    def _embedded(self, avatar: AvatarView) -> LinearRig | None:
        """The rig to embed, or None for baked motion. Raises OptionError where it was asked for in vain."""
        rig, wanted = avatar.rig, self.options.motion
        if wanted == "baked":
            return None
        allowed = rig.shareable or self.options.i_may_share_the_rig
        if not allowed:
            if wanted == "auto":
                return None
            raise OptionError(
                f'The licence of rig "{rig.name}" forbids passing its shapes and weights on.',
                "Baked motion holds none of them.",
                "Add --set motion=baked, or give --i-may-share-the-rig if you have that right.",
            )
        model = rig.linear_model()
        if model is None and wanted == "rig":
            raise OptionError(
                f'Rig "{rig.name}" is not linear, so a page cannot pose it.',
                "Baked motion works with every rig.",
                "Add --set motion=baked.",
            )
        if model is None:
            return None
        beyond = [
            name
            for name, values in avatar.motion.items()
            if name not in model.parameters() and bool(values.any())
        ]
        if beyond and wanted == "auto":
            return None
        if beyond:
            log.warning("The page leaves out what its rig does not follow: %s", ", ".join(beyond))
        return model


def _note(avatar: AvatarView) -> str:
    """One line below the title."""
    images = f", {avatar.images:,} images" if avatar.images else ""
    return f"{avatar.deformer.name} · {avatar.appearance.name}{images}"


def _page(head: dict[str, Any], numbers: str, picture: str) -> str:
    """The page's text: the template with styles, scripts, shaders and numbers put in."""
    folder = resources.files("surfhead.plugins.formats.html") / "web"

    def part(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8").strip()

    filled = {
        "title": html.escape(str(head["title"])),
        "poster": f'<img id="poster" alt="" src="{picture}">' if picture else "",
        "behind": "rgb({} {} {})".format(*(round(255 * value) for value in head["background"])),
        "style": part("style.css"),
        "code": "\n".join(part(f"{name}.js") for name in SCRIPTS),
        "head": _script_safe(head),
        "shaders": _script_safe({name: part(f"{name}.glsl") for name in SHADERS}),
        "numbers": numbers,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], part("page.html")) + "\n"


def _script_safe(value: Any) -> str:
    """JSON that can stand in a script: no ``<`` that could end it."""
    return json.dumps(value).replace("<", "\\u003c")

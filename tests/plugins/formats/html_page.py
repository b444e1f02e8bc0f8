"""An exported page in a real browser, for the tests of what it shows."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image

from surfhead.core.api import Cameras
from surfhead.plugins.formats.html.html import Html

SIDE = 200  # pixels
RANGE = (0.4, 1.2)  # metres, of depth pictures
READY = "surfhead.ready.then(() => true)"


def still_tab(browser):
    """A tab of a visitor who wants no motion: what it shows does not change between two looks at it."""
    return browser.new_page(reduced_motion="reduce")


class Page:
    """An open exported page, and everything it said or asked for."""

    def __init__(self, tab, avatar, folder, script="", **options):
        (self.file,) = Html(Html.Options(**options)).write(avatar, folder / "page.html")
        self.avatar = avatar
        self.tab = tab
        self.tab.set_viewport_size({"width": 700, "height": 420})
        self.said, self.asked = [], []
        self._heard = {
            "console": lambda message: self.said.append(f"{message.type}: {message.text}"),
            "pageerror": lambda error: self.said.append(f"error: {error}"),
            "request": lambda request: self.asked.append(request.url),
        }
        for event, hear in self._heard.items():
            self.tab.on(event, hear)
        if script:
            self.tab.add_init_script(script)
        self.tab.goto(self.file.as_uri())
        assert self.call(READY)

    def leave(self):
        """Let another page have the tab."""
        for event, hear in self._heard.items():
            self.tab.remove_listener(event, hear)
        self.tab.goto("about:blank")

    def call(self, script, argument=None):
        return self.tab.evaluate(script, argument)

    def look(self, camera):
        """Draw from this camera."""
        matrix, intrinsics = camera.camera_from_world[0].tolist(), camera.intrinsics[0].tolist()
        self.call("(given) => surfhead.setView(...given)", [matrix, intrinsics, camera.width, camera.height])

    def picture(self, channel="colour"):
        """(H, W, 3) uint8 as the canvas shows it."""
        span = list(RANGE) if channel == "depth" else None
        self.call("(given) => surfhead.setChannel(...given)", [channel, span])
        png = base64.b64decode(self.call("surfhead.picture()").partition(",")[2])
        return np.array(Image.open(io.BytesIO(png)).convert("RGB"))

    def surfels(self):
        """(N, 3, 4) texels."""
        return np.array(self.call("Array.from(surfhead.surfels())")).reshape(-1, 3, 4)

    def slide(self, label, value):
        slider = self.tab.get_by_label(label, exact=True)
        slider.evaluate("(found) => { for (let at = found; at; at = at.parentElement) at.open = true; }")
        slider.fill(str(value))


def camera(yaw=0.0, height=0.0, distance=0.8):
    """A camera around the origin, its principal point beside the middle, wider than high."""
    eye = torch.tensor([np.sin(yaw) * distance, height, np.cos(yaw) * distance], dtype=torch.float32)
    forward = torch.nn.functional.normalize(-eye, dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, torch.tensor([0.0, 1, 0])), dim=0)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    pose = torch.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    intrinsics = torch.tensor([[430.0, 0, SIDE / 2 + 13], [0, 440, SIDE / 2 - 9], [0, 0, 1]])
    return Cameras(pose[None], intrinsics[None], SIDE, SIDE + 30)


def decibels(first, second):
    return float(-10 * np.log10(np.square((first.astype(float) - second) / 255).mean() + 1e-12))

"""The tab "Light", asked by a client without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from surfhead.testing.page_client import PageClient, settled
from surfhead.viewing.page import Page
from tests.runs.tiny_run import tiny_avatar

pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")


@pytest.fixture
def client() -> Iterator[PageClient]:
    page = Page(tiny_avatar(appearance="lit"), port=0, size=64, quality=100)
    page.run()
    made = PageClient(page.url, page.start, 48, 64, settled(page))
    yield made
    made.close()
    page.close()


def apart(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def test_lights_are_chosen_turned_and_brought_back(client: PageClient, tmp_path: Path) -> None:
    own = client.rest()
    staged = client.after(lambda: client.set("Light", "stage"))
    assert apart(staged, own) > 3
    assert apart(client.after(lambda: client.set("Turn", 90)), staged) > 3
    client.set("Turn", 0)
    assert apart(client.after(lambda: client.set("Light", "as learnt")), own) == 0
    assert apart(client.after(lambda: client.set("Lamp", 1.0)), own) > 3
    client.upload("Load an environment", "not.exr", json.dumps({}).encode())
    assert client.wait(lambda: any("not.exr" in notice for notice in client.notices()))
    oiio = pytest.importorskip("OpenImageIO")
    pixels = np.zeros((8, 16, 3), dtype=np.float32)
    pixels[:, :, 2] = 1.0
    assert oiio.ImageBuf(pixels).write(str(tmp_path / "blue.exr"))
    before = client.rest()
    content = (tmp_path / "blue.exr").read_bytes()
    after = client.after(lambda: client.upload("Load an environment", "blue.exr", content))
    assert apart(after, before) > 3


def test_a_click_moves_the_lamp(client: PageClient) -> None:
    def click(x: float) -> None:
        client.send(
            {
                "type": "ScenePointerMessage",
                "event_type": "click",
                "ray_origin": (0.0, 0.0, 1.0),
                "ray_direction": (0.0, 0.0, -1.0),
                "screen_pos": ((x, 0.5),),
                "modifier": None,
            }
        )

    client.rest()
    camera = client.after(lambda: client.set("Lamp", 2.0))
    left = client.after(lambda: click(0.05))
    right = client.after(lambda: click(0.95))
    assert min(apart(left, camera), apart(right, camera), apart(left, right)) > 3
    click(float("nan"))
    assert apart(client.after(lambda: client.click("Lamp to the camera")), camera) == 0

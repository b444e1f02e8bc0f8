"""What the page offers beside pictures: one surfel, two runs, films, data on demand, its own words."""

from __future__ import annotations

import io
import json
import logging
import socket
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.data.opening import open_scene
from surfhead.runs.run import load_avatar, read_config
from surfhead.testing.page_client import PageClient, settled
from surfhead.viewing.beside import LINE, SIDES
from surfhead.viewing.page import Page
from tests.viewing.test_page import differing, opened

pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")


@pytest.fixture(scope="module")
def avatar(trained_run: Path) -> Avatar:
    return load_avatar(trained_run, device="cpu")


@pytest.fixture(scope="module")
def scene(trained_run: Path) -> Scene:
    return open_scene(read_config(trained_run)).scene


@pytest.fixture(scope="module")
def page(avatar: Avatar) -> Iterator[Page]:
    with opened(avatar) as made:
        yield made


@pytest.fixture
def client(page: Page) -> Iterator[PageClient]:
    made = PageClient(page.url, page.start, 96, 128, settled(page))
    yield made
    made.close()


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=300) as answer:
        return str(answer.read().decode())


def test_the_page_has_its_title_and_says_what_it_waits_for(avatar: Avatar) -> None:
    seen = {}

    def slow() -> Avatar:
        """Read only once the page is there."""
        seen["words"] = json.loads(read(seen["url"] + "/surfhead-state"))["words"]
        seen["page"] = read(seen["url"])
        return avatar

    page = Page(slow, port=0, size=64, title="his <head>", served=lambda url: seen.__setitem__("url", url))
    try:
        assert seen["words"] == "Reading the avatar …"
        assert "<title>his &lt;head&gt; · surfhead</title>" in seen["page"]
        assert "surfhead-words" in seen["page"]
        page.run()
        assert json.loads(read(page.url + "/surfhead-state"))["words"] == "Drawing the first picture …"
        client = PageClient(page.url, page.start, 96, 128, settled(page))
        client.picture()
        client.close()
        assert json.loads(read(page.url + "/surfhead-state"))["words"] == ""
    finally:
        page.close()


def test_an_avatar_that_cannot_be_read_leaves_no_server(avatar: Avatar) -> None:
    seen: list[str] = []

    def broken() -> Avatar:
        raise ValueError("nothing here")

    with pytest.raises(ValueError, match="nothing here"):
        Page(broken, port=0, size=64, served=seen.append)
    with pytest.raises(OSError, match="refused"):
        read(seen[0])


def test_a_taken_port_is_said(avatar: Avatar, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with caplog.at_level(logging.WARNING, "surfhead"), opened(avatar, port=port) as page:
            assert str(port) not in page.url
            (message,) = caplog.messages
    assert message.startswith(f"Port {port} is taken: the viewer is at port ")


def test_data_is_opened_when_somebody_asks(avatar: Avatar, scene: Scene) -> None:
    asked: list[bool] = []

    def data() -> Scene:
        asked.append(True)
        return scene

    with opened(avatar, scene=data) as page:
        client = PageClient(page.url, page.start, 96, 128, settled(page))
        try:
            client.rest()
            assert asked == []
            client.click("Open the data")
            assert client.control("Look through it")
            assert asked == [True]
            assert page.painter.views is not None
        finally:
            client.close()


def test_a_surfel_is_picked(page: Page) -> None:
    shot = page.session().shot
    viewpoint = shot.viewpoint
    forward = tuple(map(float, viewpoint.forward))
    found = page.painter.pick(shot, viewpoint.position, forward)  # type: ignore[arg-type]
    assert list(found)[:5] == ["surfel", "centre", "radii", "opacity", "triangle"]
    index = int(found["surfel"].partition(" of ")[0].replace(",", ""))
    surfels = page.avatar.render(viewpoint.cameras(8, 8), 0).surfels
    ray = surfels.mean[0, index].double().numpy() - np.array(viewpoint.position)
    along = ray @ viewpoint.forward
    assert np.linalg.norm(ray - along * viewpoint.forward) < 0.02  # metres, beside the ray
    others = surfels.mean[0].double().numpy() - np.array(viewpoint.position)
    beside = np.linalg.norm(others - (others @ viewpoint.forward)[:, None] * viewpoint.forward, axis=1)
    assert along < np.median(others[beside < 0.02] @ viewpoint.forward)  # in front, not at the nape
    away = (-forward[0], -forward[1], -forward[2])
    assert page.painter.pick(shot, viewpoint.position, away) == {}


def test_two_runs_are_side_by_side(avatar: Avatar) -> None:
    with opened(avatar, other=lambda: avatar) as page:
        painter, shot = page.painter, page.session().shot
        assert shot.beside == SIDES
        alone = painter.picture(replace(shot, beside="alone"), 96, 128)
        both = painter.picture(shot, 96, 128)
        assert np.array_equal(both[:, :63], alone[:, 32:95])
        assert np.array_equal(both[:, 65:], alone[:, 33:96])
        line = painter.picture(replace(shot, beside=LINE), 96, 128)
        assert differing(line, alone, over=0) <= 2 * 96


def test_numbers_have_a_bar_and_surfels_another_size(page: Page) -> None:
    shot = replace(page.session().shot, channel="depth")
    barred = page.painter.picture(shot, 96, 128)
    plain = page.painter.picture(replace(shot, bar=False), 96, 128)
    assert differing(barred[48:], plain[48:]) > 500
    assert differing(barred[:40], plain[:40]) == 0
    coloured = page.painter.picture(replace(shot, bar=False, colour_map="turbo"), 96, 128)
    assert differing(coloured, plain) > 500
    small = page.painter.picture(replace(shot, channel="alpha", look=replace(shot.look, size=0.3)), 96, 128)
    large = page.painter.picture(replace(shot, channel="alpha"), 96, 128)
    assert small.sum() < 0.95 * large.sum()


def test_a_random_expression_is_held_and_let_go(page: Page, client: PageClient) -> None:
    before = client.rest()
    drawn = client.after(lambda: client.click("Random expression"))
    assert differing(drawn, before) > 10
    assert differing(client.after(lambda: client.click("Reset")), before, over=0) == 0


def test_pictures_along_key_frames_are_sent(page: Page, client: PageClient) -> None:
    client.rest()
    client.set("Seconds between", 0.1)
    client.set("Film, pixels", 64)
    for _ in range(2):
        client.click("Add what is seen")
    assert client.wait(lambda: client.says("2 key frames", latest=True))
    client.click("Make pictures")
    assert client.wait(lambda: "FileTransferPart" in client.messages, 30)
    content = b"".join(part["content"] for part in client.messages["FileTransferPart"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        with Image.open(io.BytesIO(archive.read(names[0]))) as image:
            shown = np.asarray(image)
    assert names == ["00000.png", "00001.png", "00002.png"]  # 0.1 s at 25 a second
    assert shown.shape == (48, 64, 3)
    assert differing(shown, page.painter.picture(page.session().shot, 48, 64), over=1) < 20

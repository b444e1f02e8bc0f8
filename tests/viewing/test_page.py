"""The page, asked by clients without a browser: pictures, controls, many clients, and clients that vanish."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import OptionError, UnavailableError
from surfhead.core.scene import Scene
from surfhead.data.opening import open_scene
from surfhead.drawing.key_frames import KeyFrame, KeyFrames
from surfhead.runs.run import load_avatar, read_config
from surfhead.testing.page_client import PageClient, settled
from surfhead.viewing import page as page_module
from surfhead.viewing.key_path import shot_at
from surfhead.viewing.page import Page
from surfhead.viewing.pose_file import pose_npz
from surfhead.viewing.puppet import Stance, Track
from surfhead.viewing.settings import is_local
from surfhead.viewing.time_panel import TimePanel
from surfhead.viewing.viewpoint import Viewpoint

SIZE = 128
pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")


@pytest.fixture(scope="module")
def avatar(trained_run: Path) -> Avatar:
    return load_avatar(trained_run, device="cpu")


@pytest.fixture(scope="module")
def scene(trained_run: Path) -> Scene:
    return open_scene(read_config(trained_run)).scene


@contextmanager
def opened(avatar: Avatar, **settings: Any) -> Iterator[Page]:
    page = Page(avatar, **{"port": 0, "size": SIZE, "quality": 100, **settings})
    page.run()
    try:
        yield page
    finally:
        page.close()


@pytest.fixture(scope="module")
def page(avatar: Avatar, scene: Scene) -> Iterator[Page]:
    with opened(avatar, scene=scene) as made:
        yield made


@pytest.fixture
def client(page: Page) -> Iterator[PageClient]:
    made = PageClient(page.url, page.start, 96, 128, settled(page))
    yield made
    made.close()


def expected(page: Page, **changes: Any) -> np.ndarray:
    """What the painter itself makes of the first shot with some changes."""
    return page.painter.picture(replace(page.session().shot, **changes), 96, 128)


def differing(first: np.ndarray, second: np.ndarray, over: int = 2) -> int:
    return int((np.abs(first.astype(int) - second.astype(int)).max(axis=-1) > over).sum())


def test_the_first_picture_is_the_rasterizers(page: Page, client: PageClient) -> None:
    picture = client.rest()
    assert picture.shape == (96, 128, 3)
    assert differing(picture, expected(page), over=0) == 0
    assert 1000 < differing(picture, np.full_like(picture, 255)) < picture.size / 3  # a head, not a wall


def test_the_camera_is_free(page: Page, client: PageClient) -> None:
    client.rest()
    _, y, z = page.start.position
    side = Viewpoint.looking((z * 0.7, y, z * 0.7), page.target, page.up, page.start.fov)
    picture = client.after(lambda: client.look(side))
    assert differing(picture, expected(page)) > 500
    assert differing(picture, expected(page, viewpoint=side), over=1) < 20  # the way there is in float64


def test_a_slider_moves_what_it_should_and_reset_lets_go(page: Page, client: PageClient) -> None:
    before = client.rest()
    opened = client.after(lambda: client.set("jaw x", 0.4))
    stance = replace(page.session().shot.stance, held={("jaw", 0): 0.4})
    assert differing(opened, expected(page, stance=stance), over=0) == 0
    assert differing(opened, before) > 30
    assert differing(client.after(lambda: client.click("Reset")), before, over=0) == 0


def test_channels_backgrounds_and_regions(page: Page, client: PageClient) -> None:
    client.rest()
    look = page.session().shot.look.with_region("eyeballs", False)
    so_far: dict[str, Any] = {}
    for act, changes in (
        (("Background", "black"), {"background": (0.0, 0.0, 0.0)}),
        (("eyeballs", False), {"look": look}),
        (("Channel", "normal"), {"channel": "normal"}),
    ):
        changed = client.after(lambda act=act: client.set(*act))
        so_far |= changes
        assert differing(changed, expected(page, **so_far), over=0) == 0, act


def test_looking_through_a_training_camera_shows_its_truth(
    page: Page, client: PageClient, scene: Scene
) -> None:
    client.rest()
    views = page.painter.views
    assert views is not None
    client.set("Truth | render", 1.0)
    picture = client.after(lambda: client.click("Look through it"))
    row = views.row(views.numbers[0], 0)
    assert row is not None
    true = views.picture(row, 96, round(96 * scene.views.width / scene.views.height))
    left = (picture.shape[1] - true.shape[1]) // 2
    np.testing.assert_array_equal(picture[:, left : left + true.shape[1]], true)


def test_the_timeline_plays_and_stops(page: Page, client: PageClient) -> None:
    before = client.rest()
    client.set("Speed", "4")
    count = wanted = len(client.pictures)
    client.click("Play")
    while len(set(client.pictures[count:])) < 3:  # on a busy machine a timestep may be shown more than once
        wanted += 1
        assert wanted < count + 100
        client.picture(wanted)
    client.click("Play")
    steps = page.painter.puppet.length(page.session().shot.stance)
    rested = client.rest()
    poses = [
        expected(page, stance=replace(page.session().shot.stance, timestep=step)) for step in range(steps)
    ]
    assert 0 in [differing(rested, pose, over=0) for pose in poses]
    assert differing(before, poses[0], over=0) == 0


def test_a_second_client_has_its_own_camera_and_pose(page: Page, client: PageClient) -> None:
    first = client.rest()
    second = PageClient(page.url, page.start, 96, 128, settled(page))
    try:
        second.rest()
        count = len(client.pictures)
        _, y, z = page.start.position
        second.look(Viewpoint.looking((z, y, 0.01), page.target, page.up, page.start.fov))
        other = second.after(lambda: second.set("Channel", "normal"))
        assert differing(other, first) > 500
        assert len(client.pictures) == count
        assert differing(client.picture(), first, over=0) == 0
        assert differing(client.after(lambda: client.set("Channel", "depth")), first) > 500  # it is there
    finally:
        second.close()


def test_clients_that_vanish_in_mid_frame_harm_nobody(page: Page, client: PageClient) -> None:
    client.rest()
    for _ in range(3):
        gone = PageClient(page.url, page.start, 96, 128, settled(page))
        gone.picture()
        count = len(gone.pictures)
        gone.click("Play")
        gone.picture(count + 1)
        gone.vanish()
    ends = time.monotonic() + 300
    while len(page.streamer) > 1 and time.monotonic() < ends:
        time.sleep(0.05)
    assert len(page.streamer) == len(page.visitors) == 1
    assert client.after(lambda: client.set("Channel", "depth")).shape == (96, 128, 3)


def test_a_motion_is_loaded_and_a_bad_one_is_refused_with_words(page: Page, client: PageClient) -> None:
    client.rest()
    track = Track("mine.npz", {"jaw": torch.tensor([[0.3, 0.0, 0.0]]), "eyes": torch.zeros(1, 6)})
    whole = {**page.painter.pose(page.session().shot), **track.parameters}
    picture = client.after(lambda: client.upload("Load a motion", "/etc/mine.npz", pose_npz(whole)))
    stance = Stance(Track("", whole))
    assert differing(picture, expected(page, stance=stance), over=0) == 0
    client.upload("Load a motion", "/etc/passwd", b"no archive")
    assert client.wait(lambda: any("cannot be read" in notice for notice in client.notices()))
    assert differing(client.rest(), picture, over=0) == 0


def test_a_driver_plays_first(avatar: Avatar) -> None:
    moved = {name: rows[:3].detach().clone() for name, rows in avatar.motion.items()}
    moved["jaw"][:] = torch.tensor([0.35, 0.0, 0.0])
    with opened(avatar, tracks=[Track("him", moved, 30.0)]) as page:
        client = PageClient(page.url, page.start, 96, 128, settled(page))
        try:
            picture = client.rest()
        finally:
            client.close()
        assert differing(picture, expected(page, stance=Stance(page.tracks[0])), over=0) == 0
        assert differing(picture, expected(page)) > 30


def test_eyes_turn_to_the_camera_and_to_a_point(page: Page, client: PageClient) -> None:
    client.rest()
    for act, gaze in (
        (("Eyes look", "at the camera"), "camera"),
        (("Eyes look", "at a point"), page.start.position),
        (("Point", (1.0, 0.2, 0.5)), (1.0, 0.2, 0.5)),
    ):
        count = len(client.pictures)
        client.set(*act)
        if gaze != page.start.position:  # the point is the camera's place to begin with: the same picture
            client.picture(count + 1)
        stance = replace(page.session().shot.stance, gaze=gaze)
        assert differing(client.rest(), expected(page, stance=stance), over=1) == 0, act


def test_the_rigs_mesh_and_the_cameras_are_overlays(page: Page, client: PageClient) -> None:
    client.rest()
    client.set("Rig mesh", True)
    assert client.wait(lambda: "MeshMessage" in client.messages)
    before = len(client.messages.get("SceneNodeUpdateMessage", []))
    client.after(lambda: client.set("jaw x", 0.2))  # the mesh follows
    assert len(client.messages["SceneNodeUpdateMessage"]) > before
    client.set("Show the cameras", True)
    views = page.painter.views
    assert views is not None
    assert client.wait(lambda: len(client.messages.get("CameraFrustumMessage", [])) == len(views.numbers))


def test_key_frames_are_set_played_and_saved(page: Page, client: PageClient) -> None:
    client.rest()
    client.click("Fly through")  # nothing is set
    assert client.wait(lambda: any("no key frames" in notice for notice in client.notices()))
    client.click("Add what is seen")
    assert client.wait(lambda: client.says("1 key frame,"))
    _, y, z = page.start.position
    side = Viewpoint.looking((z, y, 0.01), page.target, page.up, page.start.fov)
    client.after(lambda: client.look(side))
    opened = client.after(lambda: client.set("jaw x", 0.3))
    client.click("Add what is seen")
    assert client.wait(lambda: client.says("2 key frames, 1.0 s"))
    count = len(client.pictures)
    client.click("Fly through")
    client.picture(count + 5)
    assert len(set(client.pictures[count:])) > 3  # none is drawn twice
    assert "SetCameraPositionMessage" in client.messages  # the browser's camera flies along
    client.click("Fly through")
    client.click("Save key frames")
    assert client.wait(lambda: "FileTransferPart" in client.messages)
    content = client.messages["FileTransferPart"][-1]["content"]
    saved = KeyFrames.from_table(json.loads(content)).validate(page.avatar.rig.parameters(), 0)
    assert saved.duration == 1.0
    end = shot_at(saved, 1.0, page.session().shot, page.painter.puppet, 128 / 96)
    assert end.viewpoint.near(side)
    assert differing(page.painter.picture(end, 96, 128), opened, over=1) < 20
    (panel,) = (p.key_frames for v in page.visitors.values() for p in v.panels if isinstance(p, TimePanel))
    first, second = panel.frames

    def edited(what: str) -> tuple[KeyFrame, ...]:
        before = panel.frames
        client.set("Move" if what == "Earlier" else "Edit", what)
        assert client.wait(lambda: panel.frames is not before)
        return panel.frames

    swapped = edited("Earlier")  # the second one, which is chosen, comes first
    assert [frame.time for frame in swapped] == [0.0, 1.0]
    assert [frame.camera for frame in swapped] == [second.camera, first.camera]
    replaced = edited("Replace")  # and is what is seen now
    assert (replaced[0].time, replaced[1]) == (0.0, swapped[1])
    assert edited("Delete")[0].camera == first.camera
    assert client.wait(lambda: client.says("1 key frame,", latest=True))
    client.upload("Load key frames", "mine.json", content)
    assert client.wait(lambda: client.says("2 key frames, 1.0 s", latest=True))


def test_a_pose_is_taken_along(page: Page, client: PageClient) -> None:
    client.after(lambda: client.set("jaw x", 0.25))
    client.click("Save as JSON")
    assert client.wait(lambda: "FileTransferPart" in client.messages)
    (part,) = client.messages["FileTransferPart"]
    pose = json.loads(part["content"])
    assert pose["jaw"][0] == 0.25
    assert {name: len(row) for name, row in pose.items()} == {
        name: rows.shape[1] for name, rows in page.avatar.motion.items()
    }


def test_a_page_cannot_publish_this_machine(page: Page, client: PageClient) -> None:
    client.rest()
    client.send({"type": "ShareUrlRequest"})
    client.after(lambda: client.set("Channel", "depth"))  # what was sent before is dealt with by now
    assert page._server._share_tunnel is None
    assert not [name for name in client.messages if "Share" in name]


def test_nonsense_from_a_client_is_survived(page: Page, client: PageClient) -> None:
    before = client.rest()
    client.look(replace(page.start, position=(float("nan"), 0.0, 0.0)))
    client.look(replace(page.start, fov=0.0))
    client.look(replace(page.start, wxyz=(0.0, 0.0, 0.0, 0.0)))
    after = client.after(lambda: client.look(replace(page.start, fov=0.3)))
    assert after.shape == before.shape


def test_moving_pictures_are_small_on_a_slow_machine(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(avatar, quality=60, size=256) as page:
        draw = page.streamer.draw
        page.streamer.draw = lambda request: time.sleep(2e-6 * request.longest**2) or draw(request)
        # a larger window than pictures may be
        client = PageClient(page.url, page.start, 300, 300, settled(page))
        try:
            assert client.rest().shape == (256, 256, 3)
            count = len(client.pictures)
            for step in range(10):
                client.look(replace(page.start, fov=0.5 + 0.01 * step))
                time.sleep(0.05)
            moving = client.picture(count + 1)
            assert moving.shape[0] <= 224
            assert client.rest().shape == (256, 256, 3)
        finally:
            client.close()


def test_an_open_address_is_warned_of(avatar: Avatar, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "surfhead"), opened(avatar):
        assert caplog.messages == []
    with caplog.at_level(logging.WARNING, "surfhead"), opened(avatar, host="0.0.0.0"):
        (message,) = caplog.messages
    assert "0.0.0.0" in message
    assert "can see the avatar" in message


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_which_addresses_are_local(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_settings_out_of_range_are_refused(avatar: Avatar) -> None:
    for settings in (
        {"size": 8},
        {"quality": 0},
        {"quality": 101},
        {"port": 70000},
        {"host": "no.such.host"},
    ):
        with pytest.raises(OptionError) as caught:
            Page(avatar, **{"port": 0, **settings})
        (name,) = settings
        assert str(settings[name]) in str(caught.value)


def test_without_viser_the_remedy_is_named(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "missing", lambda: "package viser is not installed.")
    with pytest.raises(UnavailableError, match=r"pip install \"surfhead\[viewer\]\""):
        Page(avatar)


def test_closing_leaves_no_thread_that_draws(avatar: Avatar) -> None:
    before = threading.active_count()
    with opened(avatar):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "viewer" and not thread.daemon]
    assert threading.active_count() <= before + 1


def test_a_static_scene_is_shown_without_a_rig(avatar: Avatar) -> None:
    from tests.runs.tiny_run import tiny_avatar

    static = tiny_avatar("static")
    with torch.no_grad():
        static.surfels.parameters["opacity"].fill_(3.0)
        static.surfels.parameters["log_scale"].fill_(-3.0)
        static.surfels.parameters["offset"].normal_(0.0, 0.05)
    with opened(static, host="127.0.0.1") as page:
        client = PageClient(page.url, page.start, 96, 128, settled(page))
        try:
            assert differing(client.rest(), np.full((96, 128, 3), 255, np.uint8)) > 10
            with pytest.raises(KeyError):
                client.control("Reset", seconds=0.2)
        finally:
            client.close()

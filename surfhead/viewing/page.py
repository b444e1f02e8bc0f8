"""The page: a web server that shows one avatar to every browser that opens it."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from surfhead.core.avatar import Avatar
from surfhead.core.errors import OptionError, UnavailableError
from surfhead.core.scene import Scene
from surfhead.core.viewing.painter import Painter
from surfhead.core.viewing.puppet import Track, controls_of
from surfhead.core.viewing.session import Session, Shot
from surfhead.core.viewing.streamer import Answer, Streamer
from surfhead.core.viewing.training_views import TrainingViews
from surfhead.core.viewing.variants import has_highlight, live_options
from surfhead.core.viewing.viewpoint import Vector, start_viewpoint

if TYPE_CHECKING:
    from surfhead.core.viewing.pace import Pace
    from surfhead.core.viewing.training import Training
    from surfhead.core.viewing.visitor import Visitor

log = logging.getLogger("surfhead")
HOST, PORT = "127.0.0.1", 8080
SIZE, QUALITY = 512, 80
SIZES = (64, 4096)
LOSSLESS = 100
LOCAL = "localhost"


def missing() -> str | None:
    """Why no page can be opened here, or None."""
    import importlib.util

    if importlib.util.find_spec("viser") is None:
        return 'package viser is not installed (pip install "surfhead[viewer]").'
    return None


class Page:
    """Shows an avatar in browsers, to each its own camera, pose and settings.

    Args:
        avatar: what is shown; it may be in training.
        host, port: where; the next free port if this one is taken, any for 0.
        size: pixels of the longer side of a still picture, to begin with.
        quality: of the pictures' JPEG encoding, 1 to 99; 100 sends PNG, without loss.
        scene: the avatar's data, for its cameras and true pictures.
        tracks: motions to offer beside the avatar's own.
        rate: timesteps a second of the avatar's own motion.
        training: the run, when it goes on meanwhile.
        title: shown above the controls.

    Raises:
        UnavailableError: viser is not installed. OptionError: size or quality is out of range, or the address
        cannot be used.
    """

    def __init__(
        self,
        avatar: Avatar,
        *,
        host: str = HOST,
        port: int = PORT,
        size: int = SIZE,
        quality: int = QUALITY,
        scene: Scene | None = None,
        tracks: Sequence[Track] = (),
        rate: float = 25.0,
        training: Training | None = None,
        title: str = "surfhead",
    ) -> None:
        check_settings(port, size, quality)
        reason = missing()
        if reason is not None:
            raise UnavailableError(
                "The viewer cannot run here.", f"Reason: {reason}", 'Run: pip install "surfhead[viewer]"'
            )
        self.avatar = avatar
        self.size = size
        self.quality = quality
        self.tracks = list(tracks)
        self.training = training
        self.moving_seconds = 0.1 if training is None else 0.03
        self.painter = Painter(avatar, None if scene is None else TrainingViews(scene), rate)
        self.up = up_direction(avatar, scene)
        self.start, self.target = start_viewpoint(avatar, up=self.up)
        self.streamer = Streamer(self.painter.draw)
        # asked now, in the thread in which the avatar may change
        self.controls = controls_of(avatar.rig, avatar.motion) if avatar.deformer.rig_bound else {}
        self.live_options, self.highlight = live_options(avatar), has_highlight(avatar)
        self.visitors: dict[int, Visitor] = {}
        self._server = _serve(host, port, title)
        self._set_up()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self._server.get_host()}:{self._server.get_port()}"

    def _set_up(self) -> None:
        server = self._server
        server.gui.configure_theme(show_logo=False, show_share_button=False, dark_mode=True)
        server.scene.set_up_direction(self.up)
        camera = server.initial_camera
        camera.position, camera.look_at = self.start.position, self.target
        camera.up, camera.fov = self.up, self.start.fov
        server.on_client_connect(self._come)
        server.on_client_disconnect(self._leave)

    def _come(self, client: Any) -> None:
        from surfhead.core.viewing.visitor import Visitor

        visitor = Visitor(self, client)
        self.visitors[client.client_id] = visitor
        self.streamer.add(visitor)
        if client.client_id not in self._server.get_clients():  # it left while its controls were made
            self._leave(client)

    def _leave(self, client: Any) -> None:
        visitor = self.visitors.pop(client.client_id, None)
        if visitor is not None:
            self.streamer.remove(visitor)

    def session(self) -> Session:
        """What a new browser sees."""
        return Session(Shot(self.start), self.size, self.moving_seconds, self.streamer.wake)

    def ask(self, work: Callable[[], Answer]) -> Answer:
        """What ``work`` gives, computed in the thread that draws; see ``Streamer.ask``."""
        return self.streamer.ask(work)

    def run(self) -> None:
        """Draw in a thread from now on."""
        self.streamer.start()

    def refresh(self) -> None:
        """Draw anew everywhere, as the avatar itself has changed."""
        for visitor in list(self.visitors.values()):
            visitor.session.touch()

    def serve(self, pace: Pace) -> bool:
        """Draw one picture in this thread, if one is wanted and the pace allows it."""
        return self.streamer.step_within(pace)

    def close(self) -> None:
        """Stop drawing, and close the server."""
        self.streamer.close()
        with _silence():
            self._server.stop()

    def now(self) -> float:
        """Seconds, on the clock by which pictures are drawn."""
        return self.streamer.clock()


def check_settings(port: int, size: int, quality: int) -> None:
    """Raise OptionError for a port, size or quality out of range."""
    rows = (("port", port, 0, 65535), ("size", size, *SIZES), ("quality", quality, 1, LOSSLESS))
    for name, value, low, high in rows:
        if not low <= value <= high:
            raise OptionError(
                f'"{name}" of the viewer is {value}.', f"Expected {low} to {high}.", "Choose a number in it."
            )


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == LOCAL


def _serve(host: str, port: int, title: str) -> Any:
    """A server, without its own print-outs and without a way out of this machine."""
    import socket

    import viser

    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
            free = probe.getsockname()[1]
    except OSError as error:
        raise OptionError(
            f'The viewer cannot listen on "{host}": {error}.',
            "Expected an address of this machine, such as 127.0.0.1 or 0.0.0.0.",
            "Mend --host.",
        ) from error
    if not is_local(host):
        log.warning(
            "The viewer listens on %s: whoever reaches this machine can see the avatar, change what it shows "
            "and use its processor. Nothing is encrypted, and no password is asked.",
            host,
        )
    # what is sent to a page that has just closed is lost, which is as it should be
    warnings.filterwarnings("ignore", message="Queued a .* on a closed connection", category=UserWarning)
    with _silence():
        server: Any = viser.ViserServer(host, port or free, label=title, verbose=False)
    server.request_share_url = lambda *_, **__: None  # a page must not be able to publish this machine
    return server


def _silence() -> contextlib.AbstractContextManager[object]:
    """Viser prints boxes and notices; what is worth saying, the commands say."""
    return contextlib.redirect_stdout(io.StringIO())


def up_direction(avatar: Avatar, scene: Scene | None) -> Vector:
    """What is up: +y for heads, else the mean of what is up in the data's pictures."""
    if avatar.deformer.rig_bound or scene is None:
        return (0.0, 1.0, 0.0)
    mean = -scene.views.camera_from_world[:, 1, :3].mean(axis=0)
    length = float((mean**2).sum() ** 0.5)
    if length < 1e-6:
        return (0.0, 1.0, 0.0)
    x, y, z = mean / length
    return (float(x), float(y), float(z))


def wait_for_interrupt() -> None:
    """Return at Ctrl-C."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return

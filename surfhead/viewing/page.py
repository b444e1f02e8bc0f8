"""The page: a web server that shows one avatar to every browser that opens it."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import OptionError, UnavailableError
from surfhead.core.scene import Scene
from surfhead.viewing.access import Access
from surfhead.viewing.arriving import bound
from surfhead.viewing.beside import ALONE
from surfhead.viewing.exhibit import Exhibit
from surfhead.viewing.front import Front
from surfhead.viewing.puppet import Track
from surfhead.viewing.settings import HOST, PORT, QUALITY, SIZE, check_settings, is_local
from surfhead.viewing.visitor import Visitor

if TYPE_CHECKING:
    from surfhead.viewing.training import Training

log = logging.getLogger("surfhead")


def missing() -> str | None:
    """Why no page can be opened here, or None."""
    import importlib.util

    if importlib.util.find_spec("viser") is None:
        return 'package viser is not installed (pip install "surfhead[viewer]").'
    return None


class Page(Exhibit):
    """Shows an avatar in browsers, to each its own camera, pose and settings.

    Args:
        avatar: what is shown, which may be in training; or what gives it, asked once the page is served.
        host, port: where; the next free port if this one is taken, any for 0.
        size: pixels of the longer side of a still picture, at most; its window may be smaller.
        quality: of the pictures' JPEG encoding, 1 to 99; 100 sends PNG, without loss.
        scene: the avatar's data, for its cameras and true pictures; or what gives it, asked when somebody
            wants to see them.
        tracks: motions to offer beside the avatar's own, or what gives them.
        rate: timesteps a second of the avatar's own motion.
        training: the run, when it goes on meanwhile.
        title: shown above the controls and in the browser's tab.
        hosts: names beside its address that browsers may call the server by.
        other: another run's avatar, to be shown beside it; or what gives it.
        other_title: what that one is called.
        served: told the address as soon as there is one.

    Raises:
        UnavailableError: viser is not installed. OptionError: size or quality is out of range, or the address
        cannot be used.
    """

    def __init__(
        self,
        avatar: Avatar | Callable[[], Avatar],
        *,
        host: str = HOST,
        port: int = PORT,
        size: int = SIZE,
        quality: int = QUALITY,
        scene: Scene | Callable[[], Scene | None] | None = None,
        tracks: Sequence[Track] | Callable[[Avatar], Sequence[Track]] = (),
        rate: float = 25.0,
        training: Training | None = None,
        title: str = "surfhead",
        hosts: Sequence[str] = (),
        other: Callable[[], Avatar] | None = None,
        other_title: str = "the other",
        served: Callable[[str], object] = lambda _url: None,
    ) -> None:
        check_settings(port, size, quality)
        reason = missing()
        if reason is not None:
            raise UnavailableError(
                "The viewer cannot run here.", f"Reason: {reason}", 'Run: pip install "surfhead[viewer]"'
            )
        self.access = Access(host, hosts)
        self.front = self.access.front = Front(title, "Reading the avatar …")
        self._server = _serve(host, port, title, self.access)
        try:
            served(self.url)
            read = avatar if isinstance(avatar, Avatar) else avatar()
            super().__init__(
                read,
                size=size,
                quality=quality,
                scene=scene,
                tracks=tracks(read) if callable(tracks) else tracks,
                rate=rate,
                training=training,
                other=None if other is None else other(),
                names=(title, other_title),
            )
        except BaseException:
            with _silence():
                self._server.stop()
            raise
        self.front.words = "Drawing the first picture …"
        self._set_up()

    @property
    def url(self) -> str:
        """Where it is, with the token that it demands where others reach it."""
        host = self._server.get_host()
        place = f"http://{f'[{host}]' if ':' in host else host}:{self._server.get_port()}"
        return f"{place}/?token={self.access.token}" if self.access.token else place

    def _set_up(self) -> None:
        server = self._server
        server.gui.configure_theme(show_logo=False, show_share_button=False, dark_mode=True)
        if self.beside != ALONE and hasattr(server.gui, "main_panel"):
            server.gui.main_panel.dock_right()  # over two heads there is no room
        server.scene.set_up_direction(self.up)
        camera = server.initial_camera
        camera.position, camera.look_at = self.start.position, self.target
        camera.up, camera.fov = self.up, self.start.fov
        server.on_client_connect(self._come)
        server.on_client_disconnect(self._leave)

    def _come(self, client: Any) -> None:
        bound(client.gui)
        visitor = Visitor(self, client)
        self.visitors[client.client_id] = visitor
        self.streamer.add(visitor)
        if client.client_id not in self._server.get_clients():  # it left while its controls were made
            self._leave(client)

    def _leave(self, client: Any) -> None:
        visitor = self.visitors.pop(client.client_id, None)
        if visitor is not None:
            self.streamer.remove(visitor)

    def drew(self) -> None:
        """Told that a picture is sent."""
        self.front.words = ""

    def close(self) -> None:
        """Stop drawing, and close the server; open pages say so."""
        self.streamer.close()
        with _silence():
            self._server.stop()


def _serve(host: str, port: int, title: str, access: Access) -> Any:
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
            "The viewer listens on %s: whoever has the address with its token can see the avatar, change "
            "what it shows and use this machine's processor. Nothing is encrypted.",
            host,
        )
    # what is sent to a page that has just closed is lost, which is as it should be
    warnings.filterwarnings("ignore", message="Queued a .* on a closed connection", category=UserWarning)
    with _silence(), access.on_servers():
        server: Any = viser.ViserServer(host, port or free, label=title, verbose=False)
    if port and server.get_port() != port:
        log.warning("Port %d is taken: the viewer is at port %d.", port, server.get_port())
    server.request_share_url = lambda *_, **__: None  # a page must not be able to publish this machine
    return server


def _silence() -> contextlib.AbstractContextManager[object]:
    """Viser prints boxes and notices; what is worth saying, the commands say."""
    return contextlib.redirect_stdout(io.StringIO())


def wait_for_interrupt() -> None:
    """Return at Ctrl-C."""
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return

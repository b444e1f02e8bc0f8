"""A client of the viewer without a browser: it sends a camera and takes the pictures."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.viewing.viewpoint import Viewpoint

if TYPE_CHECKING:
    from surfhead.viewing.page import Page

PROTOCOL = "viser-v"
PATIENCE = 300.0  # seconds after which what does not come is said; a busy machine needs some of them


class PageClient:
    """Speaks viser's protocol over a websocket, as far as pictures need it.

    Attributes:
        pictures: encoded, in the order they came.
        came: when each came, on ``time.perf_counter``.
        messages: everything that came, by type.

    Args:
        url: of the page, ``http://...``.
        viewpoint: to begin with.
        height, width: of its window, pixels.
        settled: whether the page has no more pictures to draw for what it knows; see ``settled``.
    """

    def __init__(
        self,
        url: str,
        viewpoint: Viewpoint,
        height: int = 300,
        width: int = 400,
        settled: Callable[[], bool] = lambda: True,
    ) -> None:
        import msgspec
        import viser
        from viser.infra import Message
        from websockets.sync.client import connect
        from websockets.typing import Subprotocol

        self._codec = msgspec.msgpack
        self._decode = Message.deserialize
        self.pictures: list[bytes] = []
        self.came: list[float] = []
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self._size = (height, width)
        self._settled = settled
        self._news = threading.Condition()
        protocol = Subprotocol(PROTOCOL + viser.__version__)
        self._socket = connect(
            url.replace("http", "ws", 1), subprotocols=[protocol], max_size=None, compression=None
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.look(viewpoint)

    def look(self, viewpoint: Viewpoint) -> None:
        """Move the camera."""
        height, width = self._size
        self.send(
            {
                "type": "ViewerCameraMessage",
                "wxyz": viewpoint.wxyz,
                "position": viewpoint.position,
                "fov": viewpoint.fov,
                "near": 0.01,
                "far": 100.0,
                "image_height": height,
                "image_width": width,
                "look_at": tuple(float(v) for v in np.asarray(viewpoint.position) + viewpoint.forward),
                "up_direction": tuple(float(v) for v in viewpoint.up),
            }
        )

    def send(self, message: dict[str, Any], *, unknown: bool = False) -> None:
        """Send any message of the protocol.

        Args:
            message: its type and fields.
            unknown: whether it may be none that the server knows, which ends the connection.

        Raises:
            ValueError: it is none, and may not be: what is sent after it would not be heard.
        """
        encoded = self._codec.encode(message)
        if not unknown:
            try:
                self._decode(encoded)
            except Exception as error:
                raise ValueError(f"The server knows no such message: {error!r}.") from error
        self._socket.send(encoded)

    def set(self, label: str, value: Any) -> None:
        """Give a control another value, as a person does. Raises KeyError for a label it does not have."""
        self.send({"type": "GuiUpdateMessage", "uuid": self.control(label), "updates": {"value": value}})

    def upload(self, label: str, name: str, content: bytes) -> None:
        """Send a file to an upload button."""
        ids = {"source_component_uuid": self.control(label), "transfer_uuid": uuid.uuid4().hex}
        start = {"filename": name, "mime_type": "", "part_count": 1, "size_bytes": len(content)}
        self.send({"type": "FileTransferStartUpload", **ids, **start})
        self.send({"type": "FileTransferPart", **ids, "part_index": 0, "content": content})

    def notices(self) -> list[str]:
        """The messages it was shown."""
        return [row["props"]["body"] for row in self.messages.get("NotificationShowMessage", [])]

    def says(self, words: str, latest: bool = False) -> bool:
        """Whether a text of the page was set to something with these words; ``latest``: the last text set."""
        texts = [
            str(row["updates"]["_markdown"])
            for row in self.messages.get("GuiUpdateMessage", [])
            if "_markdown" in row["updates"] and "key frame" in row["updates"]["_markdown"]
        ]
        return any(words in text for text in (texts[-1:] if latest else texts))

    def control(self, label: str, seconds: float = PATIENCE) -> str:
        """The identifier of a control by its label."""
        found = self.wait(lambda: self._labelled(label), seconds)
        if not found:
            raise KeyError(label)
        return str(found)

    def _labelled(self, label: str) -> str | None:
        for name, rows in list(self.messages.items()):
            if name.startswith("Gui"):
                for row in list(rows):
                    if (row.get("props") or {}).get("label") == label:
                        return str(row["uuid"])
        return None

    def wait(self, ready: Any, seconds: float = PATIENCE) -> Any:
        """Wait until ``ready()`` is true, and give its value; False when the time is over."""
        ends = time.perf_counter() + seconds
        with self._news:
            while not (value := ready()):
                left = ends - time.perf_counter()
                if left <= 0:
                    return False
                self._news.wait(min(left, 0.1))
        return value

    def picture(self, number: int = 1, seconds: float = PATIENCE) -> np.ndarray:
        """The latest picture (H, W, 3) uint8, once at least ``number`` came. Raises TimeoutError."""
        from PIL import Image

        if not self.wait(lambda: len(self.pictures) >= number, seconds):
            raise TimeoutError(f"{len(self.pictures)} pictures came in {seconds} s; expected {number}.")
        with Image.open(io.BytesIO(self.pictures[-1])) as image:
            return np.asarray(image.convert("RGB"))

    def after(self, act: Callable[[], None], quiet: float = 0.5) -> np.ndarray:
        """The picture at rest once ``act`` has changed it. Raises TimeoutError when no new one comes."""
        before = len(self.pictures)
        act()
        self.picture(before + 1)
        return self.rest(quiet)

    def click(self, label: str) -> None:
        """Press a button."""
        self.set(label, True)

    def rest(self, quiet: float = 0.5, seconds: float = PATIENCE) -> np.ndarray:
        """The latest picture, once none has come for ``quiet`` seconds and the page has settled.

        Raises TimeoutError.
        """
        self.picture(1, seconds)
        rested = self.wait(lambda: self._settled() and time.perf_counter() - self.came[-1] > quiet, seconds)
        if not rested:
            raise TimeoutError(f"Pictures still came after {seconds} s.")
        return self.picture()

    def _listen(self) -> None:
        import zstandard
        from websockets.exceptions import ConnectionClosed

        unpack = zstandard.ZstdDecompressor()
        try:
            for frame in self._socket:
                assert isinstance(frame, bytes)
                size, packed = (int.from_bytes(frame[at : at + 8], "little") for at in (0, 8))
                window = self._codec.decode(unpack.decompress(frame[16 : 16 + packed], max_output_size=size))
                with self._news:
                    for message in window["messages"]:
                        self._take(message)
                    self._news.notify_all()
        except ConnectionClosed:
            return

    def _take(self, message: dict[str, Any]) -> None:
        self.messages.setdefault(message["type"], []).append(message)
        if message["type"] == "BackgroundImageMessage" and message["rgb_data"]:
            self.pictures.append(message["rgb_data"])
            self.came.append(time.perf_counter())

    def close(self) -> None:
        """Leave as a browser does."""
        self._socket.close()
        self._thread.join(5)

    def vanish(self) -> None:
        """Leave without a word, in the middle of whatever is sent."""
        import socket

        self._socket.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


def settled(page: Page) -> Callable[[], bool]:
    """Whether every visitor of a page of this process has its full picture, or watches a motion."""

    def answer() -> bool:
        sessions = [visitor.session for visitor in list(page.visitors.values())]
        now = page.streamer.clock()
        return not page.streamer.busy and all(s.play is not None or s.rests_in(now) is None for s in sessions)

    return answer

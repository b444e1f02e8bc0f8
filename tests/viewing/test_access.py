"""Only the page's own origin, by a known name, and with the token where others reach it."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("viser")

from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from surfhead.viewing.access import Access
from surfhead.viewing.arriving import AT_ONCE, Arriving
from surfhead.viewing.page import Page
from surfhead.viewing.uploads import LARGEST
from tests.viewing.test_page import avatar  # noqa: F401 (a fixture)

OWN = "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("host", "origin", "refused"),
    [
        (OWN, None, False),
        (OWN, f"http://{OWN}", False),
        ("localhost:8080", "http://localhost:8080", False),
        ("[::1]:8080", "http://[::1]:8080", False),
        (OWN, "http://evil.example", True),
        (OWN, "http://127.0.0.1:9999", True),  # another server of this machine
        (OWN, "null", True),
        (OWN, f"http://{OWN}.evil.example", True),
        ("evil.example:8080", "http://evil.example:8080", True),  # its name leads here now
        ("192.168.0.7:8080", None, True),
        ("mine.example", "http://mine.example", False),
        ("", None, True),
    ],
)
def test_host_and_origin(host: str, origin: str | None, refused: bool) -> None:
    rows = [("Host", host), *([("Origin", origin)] if origin is not None else [])]
    found = Access("127.0.0.1", ["mine.example"]).refusal("/", Headers(rows))
    assert bool(found) == refused, found


def test_others_need_the_token() -> None:
    access = Access("0.0.0.0")
    rows = [("Host", "192.168.0.7:8080")]
    assert "token" in access.refusal("/", Headers(rows))
    assert "token" in access.refusal("/?token=wrong", Headers(rows))
    assert access.refusal(f"/?token={access.token}", Headers(rows)) == ""
    assert access.refusal("/", Headers([*rows, ("Cookie", f"{access.cookie}={access.token}")])) == ""
    assert access.refusal("/", Headers([*rows, ("Cookie", f"{access.cookie}=wrong")])) != ""
    assert access.token != Access("0.0.0.0").token


@pytest.fixture
def page(avatar: Any) -> Iterator[Page]:  # noqa: F811
    made = Page(avatar, port=0, size=64)
    yield made
    made.close()


def test_the_server_refuses_pages_of_another_origin(page: Page) -> None:
    parts = urlsplit(page.url)
    for origin in ("http://evil.example", "null"):
        with pytest.raises(InvalidStatus, match="403"):
            connect(page.url.replace("http", "ws", 1), origin=Origin(origin)).close()
    link = http.client.HTTPConnection(parts.netloc, timeout=300)
    for name, status in (("evil.example", 403), (parts.netloc, 200)):
        link.request("GET", "/", headers={"Host": name})
        answer = link.getresponse()
        answer.read()
        assert answer.status == status
        link.close()


def test_a_page_others_reach_asks_for_its_token(avatar: Any) -> None:  # noqa: F811
    page = Page(avatar, host="0.0.0.0", port=0, size=64)
    try:
        parts = urlsplit(page.url)
        assert page.access.token in parts.query
        link = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=300)
        link.request("GET", "/")
        answer = link.getresponse()
        answer.read()
        assert answer.status == 403
        link.close()
        link.request("GET", f"/?{parts.query}")
        answer = link.getresponse()
        answer.read()
        assert answer.status == 200
        assert page.access.token in str(answer.headers["Set-Cookie"])
        link.close()
    finally:
        page.close()


def test_in_a_browser_another_site_gets_no_picture(page: Page, browser: Any) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>another site</p>")

        def log_message(self, *_: Any) -> None:
            pass

    import viser

    server = http.server.HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    text = """([url, protocol]) => new Promise(done => {
        const socket = new WebSocket(url, [protocol]);
        socket.onmessage = () => done("picture");
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    })"""
    call = [page.url.replace("http", "ws", 1), f"viser-v{viser.__version__}"]
    try:
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_port}/")
        assert tab.evaluate(text, call) == "refused"
        tab.goto(page.url)
        assert tab.evaluate(text, call) in ("open", "picture")
        tab.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_files_are_bounded_while_they_arrive() -> None:
    arriving = Arriving()
    state = {"total_bytes": 4, "part_count": 2, "parts": {}}
    arriving["large"] = {**state, "total_bytes": LARGEST + 1}
    arriving["endless"] = {**state, "part_count": 10**9}
    assert not arriving
    for name in ("a", "b", "c"):
        arriving[name] = state
    assert list(arriving) == ["b", "c"]
    assert len(arriving) == AT_ONCE
    parts = arriving["c"]["parts"]
    parts[0] = b"abc"
    parts[1] = b"x" * 1000  # more than it said
    assert parts == {0: b"abc", 1: b""}

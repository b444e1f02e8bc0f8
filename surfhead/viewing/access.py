"""Who may speak to the page's server: pages of its own, and whoever knows its token.

A browser lets every web page open a websocket to any address and names the page's origin; a name that
resolves to this machine today may have been another's a second ago (DNS rebinding), and stands in the header
``Host``. Both are checked for every request. An address that other machines reach also demands the token that
is part of the printed address; the first answer leaves it in a cookie, as later requests do not repeat it.
"""

from __future__ import annotations

import hashlib
import hmac
import http
import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from surfhead.viewing.front import Front
from surfhead.viewing.settings import LOCAL, is_local


class Access:
    """Decides about requests.

    Attributes:
        token: that requests must carry; empty where only this machine reaches the server.
        front: words that are put into the page, or None.

    Args:
        host: the address that the server listens on.
        hosts: further names that it may be called by.
    """

    def __init__(self, host: str, hosts: Sequence[str] = ()) -> None:
        self.open = not is_local(host)
        self.front: Front | None = None
        self.token = secrets.token_urlsafe(18) if self.open else ""
        self.cookie = "surfhead_" + hashlib.sha256(self.token.encode()).hexdigest()[:12]
        self.names = {LOCAL, host.lower(), *(name.strip().lower() for name in hosts if name.strip())}
        if self.open:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def refusal(self, path: str, headers: Any) -> str:
        """Why a request is refused; empty where it is not."""
        asked = headers.get_all("Host")
        if len(asked) != 1 or not self._known(asked[0]):
            return "This server is not known by that name; see --allow-host."
        origins = headers.get_all("Origin")
        if origins and not (len(origins) == 1 and _same(origins[0], asked[0])):
            return "Pages of another origin may not speak to this server."
        if self.token and not (self.presents(path) or self._remembers(headers)):
            return "Open the address that surfhead printed: the token in it is missing here."
        return ""

    def presents(self, path: str) -> bool:
        """Whether the address of a request holds the token."""
        given = parse_qs(urlsplit(path).query).get("token", [""])[0]
        return bool(self.token) and hmac.compare_digest(given.encode(), self.token.encode())

    def _remembers(self, headers: Any) -> bool:
        try:
            found = SimpleCookie("; ".join(headers.get_all("Cookie"))).get(self.cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self.token.encode())

    def _known(self, asked: str) -> bool:
        name = _host(asked)
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.open or address.is_loopback  # a number is no name that could lead elsewhere

    def guarded(self, answer: Callable[[Any, Any], Any] | None) -> Callable[[Any, Any], Any]:
        """A server's ``process_request`` that refuses first."""

        def process(connection: Any, request: Any) -> Any:
            try:
                reason = self.refusal(request.path, request.headers)
            except Exception:  # headers may be anything
                reason = "The request is not understood."
            if reason:
                return connection.respond(http.HTTPStatus.FORBIDDEN, reason + "\n")
            response = None if answer is None else answer(connection, request)
            if self.front is not None and request.headers.get("Upgrade") != "websocket":
                response = self.front.answer(connection, request, response)
            if response is not None and self.presents(request.path):
                response.headers["Set-Cookie"] = (
                    f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
                )
            return response

        return process

    @contextmanager
    def on_servers(self) -> Iterator[None]:
        """While the block runs, every websocket server that is started asks here first.

        Viser starts its server itself and hands no such check on.
        """
        import websockets.asyncio.server as module

        serve: Any = module.serve

        def guarded_serve(*arguments: Any, **settings: Any) -> Any:
            settings["process_request"] = self.guarded(settings.get("process_request"))
            return serve(*arguments, **settings)

        patched: Any = module
        patched.serve = guarded_serve
        try:
            yield
        finally:
            patched.serve = serve


def _host(netloc: str) -> str:
    """The host of ``host:port``, without brackets, in lower case."""
    return (urlsplit(f"//{netloc}").hostname or "").lower()


def _same(origin: str, asked: str) -> bool:
    """Whether an origin is the very host and port that was asked."""
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == asked.strip().lower()

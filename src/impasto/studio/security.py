"""The guard checks every request before the application sees it.

It checks the Host header (against DNS rebinding), Origin and Sec-Fetch-Site (against requests from
other sites), the token (against everybody else, including other users of this machine), and the
type and length of the body. Every answer has a content security policy.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from impasto.studio.address import (
    PublicUrl,
    http_address,
    is_address,
    is_loopback,
    reachable_host,
)
from impasto.studio.http_errors import HttpError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_JSON_BYTES = 2**18
MOST_UPLOAD_BYTES = 64 * 2**20
_UPLOADS = "/api/pictures"
# A multipart form has some lines around the file.
_FORM_BYTES = 2**12
# For how long, and how far, the rest of a refused request is read.
_HEARD_OUT_S = 10.0
_HEARD_OUT_BYTES = 2**26
_SAFE = ("GET", "HEAD", "OPTIONS")
_LOGIN_PAGE = Path(__file__).parent / "web" / "entrance.html"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Rules:
    """The rules of the guard.

    Attributes:
        host: the address that the studio listens on.
        port: the port that it listens on.
        token: the secret that each request must contain.
        public: the address at which a reverse proxy serves the studio, if there is one.
        proxies: addresses of that proxy; forwarded headers from others are ignored.
    """

    host: str
    port: int
    token: str
    public: PublicUrl | None = None
    proxies: tuple[str, ...] = ()

    @property
    def cookie(self) -> str:
        """Name of the token's cookie; it has the port, as browsers share cookies between ports."""
        return f"impasto_{self.port}"

    @property
    def opened(self) -> str:
        """The address that opens the studio, with the token."""
        own = http_address(reachable_host(self.host), self.port)
        return f"{self.public or own}/?token={quote(self.token)}"

    @property
    def is_for_others(self) -> bool:
        """Whether other machines can open the studio."""
        return self.public is not None or not is_loopback(self.host)

    def is_own_name(self, name: str) -> bool:
        """Return whether a Host header may name this studio.

        A rebinding attack needs a name that the attacker's name server resolves. A numeric address
        is no such name, and this machine's own host name is none either.
        """
        if name in _LOOPBACK_NAMES or (self.public is not None and name == self.public.name):
            return True
        if is_loopback(self.host):
            return False
        return name in (self.host.lower(), socket.gethostname().lower()) or is_address(name)

    def is_own_origin(self, origin: str, scheme: str, host: str) -> bool:
        """Return whether an Origin header names a page of this studio."""
        origin, own = origin.lower(), f"{scheme}://{host.lower()}"
        if self.public is None or origin == self.public.origin:
            return origin in (own, self.public and self.public.origin)
        # Under its public name the studio has one scheme and port only.
        return origin == own and self.public.origin.partition("://")[2] != host.lower()


class Guard:
    """ASGI middleware that refuses requests by the rules."""

    def __init__(self, app: App, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded(_HEADERS)]
            await send(message)

        try:
            headers = _headers(scope)
            scope = self._without_proxy(scope, headers)
            self._check_host_and_origin(scope, headers)
            if self._is_authorised(scope, headers):
                receive = _bounded(receive, self._check_body(scope, headers))
                await self._app(scope, receive, send_with_headers)
            else:
                await self._log_in(scope, headers, send_with_headers)
        except HttpError as error:
            await _refuse(receive, send_with_headers, headers, error)

    def _without_proxy(self, scope: Scope, headers: dict[str, str]) -> Scope:
        """Return the request without the changes of the reverse proxy."""
        public = self._rules.public
        if public is None:
            return scope
        scope = dict(scope)
        if public.prefix and scope["path"].startswith(f"{public.prefix}/"):
            # Some proxies remove the prefix, and some pass it on.
            scope["path"] = scope["path"].removeprefix(public.prefix)
            scope["raw_path"] = scope["path"].encode()
        forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if self._is_proxied(scope) and is_address(forwarded):
            scope["client"] = (forwarded, 0)
        return scope

    def _is_proxied(self, scope: Scope) -> bool:
        return bool(scope.get("client")) and scope["client"][0] in self._rules.proxies

    def _is_public(self, scope: Scope, headers: dict[str, str]) -> bool:
        """Return whether a request came through the public URL."""
        public = self._rules.public
        if public is None:
            return False
        is_forwarded = "x-forwarded-proto" in headers or "x-forwarded-for" in headers
        return _name_of(headers.get("host", "")) == public.name or is_forwarded

    def _check_host_and_origin(self, scope: Scope, headers: dict[str, str]) -> None:
        """Refuse requests under another host name, or from another site's page."""
        host = headers.get("host", "")
        name = _name_of(host)
        if name is None or not self._rules.is_own_name(name):
            raise HttpError(
                421, "expected this studio's own address as Host; open the address that it printed"
            )
        origin = headers.get("origin")
        if origin is not None and not self._rules.is_own_origin(origin, scope["scheme"], host):
            raise HttpError(
                403, "expected a request from the studio's own page, got another site's"
            )
        site = headers.get("sec-fetch-site", "none")
        is_navigation = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("none", "same-origin") and not is_navigation:
            raise HttpError(
                403, "expected a request from the studio's own page, got another site's"
            )

    def _is_authorised(self, scope: Scope, headers: dict[str, str]) -> bool:
        token = self._rules.token
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            sent = _cookie(headers, self._rules.cookie)
        return secrets.compare_digest(sent.strip().encode(), token.encode())

    async def _log_in(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        """Move the token from the opened address into a cookie that scripts cannot read."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        (sent, *_) = query.pop("token", [""])
        token = self._rules.token
        if scope["method"] != "GET" or not secrets.compare_digest(sent.encode(), token.encode()):
            raise HttpError(
                401,
                "expected the studio's token; open the address that it printed, or send the "
                "header Authorization: Bearer TOKEN",
            )
        rest = urlencode(query, doseq=True)
        # Relative, because a proxy may put a prefix in front of the path.
        location = f"./{quote(scope['path'].rpartition('/')[2])}{f'?{rest}' if rest else ''}"
        cookie = f"{self._rules.cookie}={quote(token)}; HttpOnly; SameSite=Strict; Path=/"
        if self._is_public(scope, headers) and self._rules.public is not None:
            cookie = cookie.removesuffix("/") + f"{self._rules.public.prefix}/"
            cookie += "; Secure" if self._rules.public.scheme == "https" else ""
        redirect = {"location": location, "set-cookie": cookie, "cache-control": "no-store"}
        await _answer(send, 303, b"{}", "application/json", redirect)

    def _check_body(self, scope: Scope, headers: dict[str, str]) -> int:
        """Check the body's type and length; return its maximum length in bytes."""
        is_upload = scope["path"] == _UPLOADS
        most = MOST_UPLOAD_BYTES + _FORM_BYTES if is_upload else MOST_JSON_BYTES
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise HttpError(400, "expected a number as Content-Length")
        if int(length) > most:
            raise _too_long(most)
        has_body = int(length) > 0 or "transfer-encoding" in headers
        if scope["method"] in _SAFE or not has_body:
            return most
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        expected = "multipart/form-data" if is_upload else "application/json"
        if kind != expected:
            raise HttpError(415, f"expected a body of type {expected}, got {kind[:80] or 'none'!r}")
        return most


def _bounded(receive: Receive, most: int) -> Receive:
    """Stop reading a body that is too long; its Content-Length may be wrong."""
    received = 0

    async def receive_some() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received <= most:
            return message
        # A client reads the answer only after it has sent everything, so read on, to a limit.
        while message.get("more_body") and received <= most + _HEARD_OUT_BYTES:
            message = await receive()
            received += len(message.get("body", b""))
        raise _too_long(most)

    return receive_some


def _too_long(most: int) -> HttpError:
    size = f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 2**10} KiB"
    return HttpError(413, f"expected at most {size}, got more; scale the picture down first")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _name_of(host: str) -> str | None:
    """Return a Host header's name without its port; None if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname


def _cookie(headers: dict[str, str], name: str) -> str:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return unquote(cookie.value) if cookie else ""


async def _refuse(receive: Receive, send: Send, headers: dict[str, str], error: HttpError) -> None:
    """Answer with the reason: a browser that wants a page gets one, where the token is missing."""
    is_page = error.status == 401 and "text/html" in headers.get("accept", "")
    kind = "text/html; charset=utf-8" if is_page else "application/json"
    body = _LOGIN_PAGE.read_bytes() if is_page else json.dumps({"error": error.error}).encode()
    length = {"content-length": str(len(body))}
    await _answer(send, error.status, body, kind, length, is_whole=False)
    # The answer is on its way. Closing at once would reset the connection of a client that is
    # still sending, and it would not hear the answer.
    if "expect" not in headers:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_hear_out(receive), _HEARD_OUT_S)
    await send({"type": "http.response.body", "body": b""})


async def _hear_out(receive: Receive) -> None:
    """Read what a client still sends, up to a limit."""
    received = 0
    while received <= _HEARD_OUT_BYTES:
        message = await receive()
        received += len(message.get("body", b""))
        if not message.get("more_body"):
            return


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    kind: str = "application/json",
    headers: dict[str, str] | None = None,
    *,
    is_whole: bool = True,
) -> None:
    encoded = _encoded({"content-type": kind} | (headers or {}))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": not is_whole})

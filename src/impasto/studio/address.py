"""The studio's addresses: the printed one, one for other devices, and the proxy's public URL."""

from __future__ import annotations

import ipaddress
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from impasto.errors import SettingsError, one_line

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Addresses that are reserved for documentation. Connecting a datagram socket to one sends nothing,
# but selects the address of this machine that other machines see.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


@dataclass(frozen=True)
class PublicUrl:
    """The address at which a reverse proxy serves the studio.

    Attributes:
        scheme: ``http`` or ``https``.
        name: host name or address, in lower case.
        port: None for the scheme's default port.
        prefix: the path in front of the studio's own paths: empty, or for example ``/studio``.
    """

    scheme: str
    name: str
    port: int | None
    prefix: str

    @property
    def origin(self) -> str:
        """The value of a browser's Origin header."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.scheme}://{name}{f':{self.port}' if self.port else ''}"

    def __str__(self) -> str:
        return f"{self.origin}{self.prefix}"


def parse_public_url(text: str) -> PublicUrl:
    """Parse a public URL.

    Raises:
        SettingsError: it is not an address such as ``https://example.org/studio``.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    extra = parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or extra:
        raise SettingsError(
            "public_url: expected an address such as https://example.org/studio, got "
            f"{one_line(repr(text))}; write it as visitors will open it"
        )
    is_usual = port == _DEFAULT_PORTS[parts.scheme]
    return PublicUrl(
        parts.scheme, parts.hostname.lower(), None if is_usual else port, parts.path.rstrip("/")
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(name: str) -> bool:
    """Return whether a host name is a numeric address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def reachable_host(host: str) -> str:
    """Return the host name or address for other machines.

    Args:
        host: the address that the studio listens on; ``0.0.0.0`` and ``::`` mean all addresses
            of this machine.
    """
    if not is_address(host) or not ipaddress.ip_address(host).is_unspecified:
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_ELSEWHERE[family], 9))
        return str(probe.getsockname()[0])
    return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def http_address(host: str, port: int) -> str:
    """Return the URL of a host and a port."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def draw_qr_code(address: str) -> None:
    """Draw ``address`` as a QR code, if standard error is a terminal.

    Raises:
        ImportError: segno is not installed.
    """
    import segno

    if sys.stderr.isatty():
        segno.make(address, micro=False).terminal(out=sys.stderr, compact=True)

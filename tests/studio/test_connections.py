"""Slow clients, over real sockets: each is closed in time, and others are served meanwhile."""

import http.client
import os
import re
import shutil
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from impasto.studio import connections

HALF_REQUESTS = {
    "silent": b"",
    "half a line": b"GET /api/stat",
    "half the headers": b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b",
}
HALF_BODY = (
    "POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n"
)


def connect(studio):
    return socket.create_connection(("127.0.0.1", int(studio.address.rpartition(":")[2])), 60)


def closed_after_s(client, began_s):
    while client.recv(4096):
        pass
    return time.monotonic() - began_s


@pytest.mark.parametrize("sent", HALF_REQUESTS.values(), ids=HALF_REQUESTS)
def test_a_request_that_does_not_come_is_not_waited_for(studio, sent):
    with connect(studio) as client:
        began_s = time.monotonic()
        client.sendall(sent)
        answer = b""
        while data := client.recv(4096):
            answer += data
        waited_s = time.monotonic() - began_s
    assert connections.HEADERS_S - 1 < waited_s < connections.HEADERS_S + 15
    assert not sent or b"408" in answer.splitlines()[0]


def test_headers_that_drip_in_are_not_waited_for(studio):
    with connect(studio) as client:
        began_s = time.monotonic()
        client.settimeout(1.0)
        client.sendall(b"GET / HTTP/1.1\r\n")
        while time.monotonic() - began_s < connections.HEADERS_S + 15:
            try:
                client.sendall(b"X-A: b\r\n")
                if b"408" in client.recv(4096):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - began_s < connections.HEADERS_S + 15


@pytest.mark.slow
def test_a_body_that_stops_is_not_waited_for(studio):
    with connect(studio) as client:
        port = studio.address.rpartition(":")[2]
        client.sendall(HALF_BODY.format(port=port, token=studio.token).encode())
        waited_s = closed_after_s(client, time.monotonic())
    assert connections.BODY_PAUSE_S - 1 < waited_s < connections.BODY_PAUSE_S + 15


def test_a_body_that_comes_slowly_but_steadily_is_taken(studio, picture_bytes):
    data = picture_bytes(40, 40, seed=77)
    head = (
        "POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        "Authorization: Bearer {token}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        "Content-Length: {length}\r\n\r\n"
    )
    form = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = form + data + b"\r\n--x--\r\n"
    port = studio.address.rpartition(":")[2]
    with connect(studio) as client:
        words = head.format(port=port, token=studio.token, length=len(body))
        client.sendall(words.encode())
        step = len(body) // 13 + 1
        for start in range(0, len(body), step):
            client.sendall(body[start : start + step])
            time.sleep(1.0)
        answer = b""
        while part := client.recv(4096):
            answer += part
    assert b" 201 " in answer.splitlines()[0]


def test_a_client_that_sends_requests_now_and_then_is_served(studio):
    port = int(studio.address.rpartition(":")[2])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        client.connect()
        sockets = {client.sock}
        for _ in range(5):
            client.request("GET", "/api/status", headers=studio.bearer)
            with client.getresponse() as answer:
                assert (answer.status, bool(answer.read())) == (200, True)
            sockets.add(client.sock)
            time.sleep(3.0)
        # One connection all along: it was never closed.
        assert len(sockets) == 1


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prlimit"), reason="the limit of files is set by prlimit")
def test_half_sent_requests_do_not_stop_a_studio_of_few_files(open_studio):
    studio = open_studio(within=("prlimit", "--nofile=256:256"))
    studio.wait_until_ready()
    with ExitStack() as stack:
        for number in range(280):
            client = stack.enter_context(connect(studio))
            sent = list(HALF_REQUESTS.values())[number % 3]
            client.sendall(sent)
            if number % 40 == 39:
                assert studio.get("/api/status").status_code == 200
        began_s = time.monotonic()
        assert studio.get("/api/status").status_code == 200
        assert studio.painted()["has_picture"]
        assert time.monotonic() - began_s < 60


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits are read from /proc")
@pytest.mark.skipif(not shutil.which("prlimit"), reason="the limit of files is set by prlimit")
def test_the_limit_of_files_is_raised_as_far_as_allowed(open_studio):
    studio = open_studio(within=("prlimit", "--nofile=256:2000"))
    limits = Path(f"/proc/{studio.process.pid}/limits").read_text()
    assert re.search(r"Max open files +2000 +2000", limits)


@pytest.mark.skipif(os.name != "posix", reason="files are limited on POSIX systems")
def test_connections_leave_room_for_other_files(monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 256))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: None)
    assert 16 <= connections.raise_file_limit() <= 256 - 64
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert connections.raise_file_limit() > 256

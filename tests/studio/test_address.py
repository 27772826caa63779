"""Where the studio is opened: on this machine, from a phone, and behind a reverse proxy."""

import asyncio
import io
import os
import pty
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import segno

from impasto.errors import SettingsError
from impasto.studio.address import http_address, parse_public_url, reachable_host
from impasto.studio.security import Guard, Rules

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off; client_max_body_size 70m;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{proxy_port};
    location {prefix}/ {{
      proxy_pass http://127.0.0.1:{port}{passed};
      proxy_buffering off; proxy_http_version 1.1;
      {headers}
    }}
  }}
}}
"""
# How people set such a proxy up: with the visitor's Host, or with nginx's own default.
FORWARDING = """
proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def proxied(open_studio, tmp_path):
    """``proxied(prefix, passed, headers)``: a studio behind nginx, and its public URL."""
    if NGINX is None:
        pytest.skip("nginx is not installed: sudo apt install nginx-light")
    started = []

    def start(prefix="", passed="", headers=FORWARDING):
        proxy_port = free_port()
        public = f"http://127.0.0.1:{proxy_port}{prefix}"
        studio = open_studio(f"--public-url={public}", f"--port={free_port()}")
        assert studio.address == public
        # The printed address is the proxy's; the studio itself listens elsewhere.
        port = next(
            word.partition("=")[2]
            for word in reversed(studio.process.args)
            if word.startswith("--port=")
        )
        folder = tmp_path / "nginx"
        folder.mkdir()
        config = CONFIG.format(
            folder=folder,
            proxy_port=proxy_port,
            port=port,
            prefix=prefix,
            passed=passed,
            headers=headers,
        )
        (folder / "nginx.conf").write_text(config)
        started.append(subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf")]))
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s:
            try:
                socket.create_connection(("127.0.0.1", proxy_port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        return studio

    yield start
    for process in started:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("prefix", "passed", "headers"),
    [
        pytest.param("", "", FORWARDING, id="root", marks=pytest.mark.slow),
        pytest.param("/studio", "/", FORWARDING, id="prefix taken away", marks=pytest.mark.slow),
        pytest.param("/studio", "", FORWARDING, id="prefix passed on", marks=pytest.mark.slow),
        pytest.param("/a/studio", "/", "", id="with nginx's own Host"),
    ],
)
def test_behind_nginx_the_studio_works(proxied, open_page, picture_bytes, prefix, passed, headers):
    studio = proxied(prefix, passed, headers)
    page = open_page(studio)
    assert page.url == f"{studio.address}/"
    (cookie,) = [
        one
        for one in page.context.cookies()
        if one["name"].startswith("impasto_") and one["value"] == studio.token
    ]
    assert cookie["path"] == f"{prefix}/"
    page.goto(f"{studio.address}/docs")
    page.get_by_text("/api/works", exact=True).first.wait_for()
    # What a browser sends along.
    own = {"origin": studio.address.removesuffix(prefix), "sec-fetch-site": "same-origin"}
    picture = studio.post(
        "/api/pictures", files={"file": ("a.png", picture_bytes())}, headers=own
    ).json()
    done = studio.painted(pictures={"content": picture["id"], "styles": ["style.picasso"]})
    assert studio.get(f"/api/works/{done['id']}/picture.png").status_code == 200
    work = studio.order(settings={"iterations": 300}).json()
    assert "finished" in (data.get("state") for _, data in studio.events(f"?work={work['id']}"))
    foreign = {"origin": "http://evil.example"}
    assert studio.get("/api/works", headers=foreign).status_code == 403
    studio.forget_token()
    assert studio.get("/api/works").status_code == 401
    assert "<h1>" in studio.get("/", headers={"accept": "text/html"}).text


def test_a_public_https_url_is_accepted_as_host_and_origin(open_studio):
    studio = open_studio("--public-url=https://studio.example/paint", "--port=0")
    assert studio.address == "https://studio.example/paint"
    port = studio_port(studio)
    direct = f"http://127.0.0.1:{port}"
    headers = {"host": "studio.example", "origin": "https://studio.example", **studio.bearer}
    assert requests.get(f"{direct}/api/works", headers=headers).status_code == 200
    assert requests.get(f"{direct}/paint/api/works", headers=headers).status_code == 200
    for bad in (
        {"host": "evil.example"},
        {"origin": "http://studio.example"},
        {"origin": "https://studio.example:444"},
    ):
        answer = requests.get(f"{direct}/api/works", headers=headers | bad)
        assert answer.status_code in (403, 421)
    entered = requests.get(
        f"{direct}/?token={studio.token}", headers={"host": "studio.example"}, allow_redirects=False
    )
    cookie = entered.headers["set-cookie"]
    assert "Path=/paint/" in cookie
    assert "; Secure" in cookie
    local = requests.get(f"{direct}/?token={studio.token}", allow_redirects=False)
    assert "Secure" not in local.headers["set-cookie"]
    described = requests.get(f"{direct}/api/openapi.json", headers=studio.bearer).json()
    assert described["servers"] == [{"url": "https://studio.example/paint"}]


def studio_port(studio):
    """The port that a studio listens on, where it prints another address."""
    inodes = set()
    for link in Path(f"/proc/{studio.process.pid}/fd").iterdir():
        name = str(link.readlink())
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        if words[3] == "0A" and words[9] in inodes:
            return int(words[1].partition(":")[2], 16)
    raise AssertionError("it listens nowhere")


def seen_client(rules, peer, forwarded):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["client"][0])

    async def nothing(*_):
        raise AssertionError

    headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer token")]
    headers.append((b"x-forwarded-for", forwarded))
    scope = {
        **{"type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http"},
        **{"client": (peer, 1), "headers": headers},
    }
    # In a thread: while the browser is open, this one has a running event loop.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, Guard(app, rules)(scope, nothing, nothing)).result()
    return seen[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("127.0.0.1", b"198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", b"203.0.113.1, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", b"nonsense", "127.0.0.1"),
        ("192.0.2.9", b"198.51.100.7", "192.0.2.9"),
    ],
)
def test_only_the_proxys_forwarded_headers_are_believed(peer, forwarded, expected):
    public = parse_public_url("https://studio.example")
    rules = Rules("127.0.0.1", 8500, "token", public, ("127.0.0.1",))
    assert seen_client(rules, peer, forwarded) == expected
    assert seen_client(Rules("127.0.0.1", 8500, "token"), peer, forwarded) == peer


@pytest.mark.parametrize(
    ("text", "origin", "prefix"),
    [
        ("https://Studio.example", "https://studio.example", ""),
        ("https://studio.example:443/", "https://studio.example", ""),
        ("http://studio.example:8080/a/b/", "http://studio.example:8080", "/a/b"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]", "/x"),
    ],
)
def test_public_urls_are_read(text, origin, prefix):
    url = parse_public_url(text)
    assert (url.origin, url.prefix) == (origin, prefix)


@pytest.mark.parametrize(
    "text",
    ["studio.example", "ftp://a", "https://", "https://a?b", "https://a:b", "https://u@a", ""],
)
def test_what_is_no_public_url_is_refused(text):
    with pytest.raises(SettingsError, match="public_url: expected an address such as"):
        parse_public_url(text)


def test_an_address_that_other_machines_can_open_is_printed(open_studio):
    host = reachable_host("0.0.0.0")
    assert host != "0.0.0.0"
    studio = open_studio("--host=0.0.0.0")
    assert studio.printed.startswith(f"http://{host}:")
    assert studio.get("/api/status").status_code == 200
    assert reachable_host("192.0.2.1") == "192.0.2.1"
    assert http_address("::1", 8500) == "http://[::1]:8500"


def test_the_page_shows_a_qr_code_for_a_phone_where_one_can_connect(studio, open_studio, open_page):
    assert studio.get("/api/phone").status_code == 404
    assert not studio.get("/api/status").json()["is_for_others"]
    opened = open_studio("--host=0.0.0.0")
    expected = io.BytesIO()
    segno.make(opened.printed, micro=False).save(expected, kind="svg", scale=8, light="white")
    assert opened.get("/api/phone").content == expected.getvalue()
    # From this machine, because browsers warn about addresses without encryption.
    opened.printed = opened.printed.replace(reachable_host("0.0.0.0"), "127.0.0.1")
    page = open_page(opened)
    page.get_by_text("On a phone").click()
    code = page.get_by_role("img", name="QR code")
    code.evaluate("image => image.decode()")
    assert code.evaluate("image => image.naturalWidth") > 200


def test_the_terminal_shows_a_qr_code_for_a_phone(tmp_path):
    ours, theirs = pty.openpty()
    words = ["studio", "--host=0.0.0.0", "--port=0", f"--folder={tmp_path / 'kept'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", *words],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"IMPASTO_STUDIO_TOKEN": "x" * 20},
        text=True,
    )
    os.close(theirs)
    try:
        opened = process.stdout.readline().strip()
        shown = ""
        while shown.count("\n") < 12:
            shown += os.read(ours, 4096).decode(errors="replace")
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
    assert opened.startswith("http://")
    assert "\u2588" in shown or "\u2580" in shown or "\u2584" in shown

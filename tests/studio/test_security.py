"""Who may ask: names, origins, the token, and what every answer carries."""

import os
import stat
from urllib.parse import urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from impasto.studio.address import is_loopback
from impasto.studio.security import Rules


def test_every_answer_carries_a_content_security_policy(studio):
    for path in ("/", "/web/main.js", "/docs", "/api/status", "/nothing"):
        headers = studio.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.0.2.1", "", "a b:c"]
)
def test_other_names_than_this_machines_are_421(studio, host):
    answer = studio.get("/api/status", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_this_machines_own_names_are_welcome(studio, name):
    port = studio.address.rpartition(":")[2]
    assert studio.get("/api/status", headers={"host": f"{name}:{port}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_requests_from_other_sites_are_403(studio, headers):
    assert studio.post("/api/plan", json={}, headers=headers).status_code == 403
    assert studio.get("/api/works", headers=headers).status_code == 403


def test_a_link_on_another_site_opens_the_page(studio):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert studio.get("/", headers=headers).status_code == 200


def test_the_pages_own_requests_are_welcome(studio):
    headers = {"origin": studio.address, "sec-fetch-site": "same-origin"}
    assert studio.get("/api/works", headers=headers).status_code == 200


@pytest.mark.parametrize("words", [[], ["--host=0.0.0.0"]], ids=["loopback", "beyond"])
def test_a_token_is_needed(open_studio, words):
    studio = open_studio(*words)
    token = studio.token
    studio.forget_token()
    assert len(token) >= 32
    for path in ("/", "/api/works", "/api/events", "/docs", "/web/main.js", "/?token=wrong"):
        answer = studio.get(path)
        assert (answer.status_code, set(answer.json())) == (401, {"error"})
    assert studio.get("/api/works", headers={"authorization": "Bearer wrong"}).status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    assert studio.get("/api/works", headers=bearer).status_code == 200
    entered = studio.get(f"/?token={token}&x=1")
    assert (entered.status_code, entered.headers["location"]) == (303, "./?x=1")
    (attributes,) = [entered.headers["set-cookie"]]
    assert "HttpOnly" in attributes
    assert "SameSite=Strict" in attributes
    assert studio.get("/api/works").status_code == 200
    assert studio.get("/api/works", headers={"host": "evil.example"}).status_code == 421


def test_a_token_can_be_chosen(open_studio):
    studio = open_studio(IMPASTO_STUDIO_TOKEN="a token of one's own")
    studio.forget_token()
    assert studio.get("/api/works").status_code == 401
    bearer = {"authorization": "Bearer a token of one's own"}
    assert studio.get("/api/works", headers=bearer).status_code == 200
    assert studio.session.get(studio.printed).url == f"{studio.address}/"
    assert studio.get("/api/works").status_code == 200


def test_a_visitor_without_a_token_gets_a_page_that_asks_for_it(studio, browser):
    context = browser.new_context()
    page = context.new_page()
    assert page.goto(f"{studio.address}/docs").status == 401
    check = Axe().run(page).response["violations"]
    assert not check
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Open the studio").click()
    expect(page.get_by_role("heading")).to_contain_text("needs its token")
    page.goto(studio.address)
    page.get_by_label("Token").fill(studio.token)
    page.get_by_role("button", name="Open the studio").click()
    page.wait_for_selector("#styles .tiles button")
    assert page.url == f"{studio.address}/"
    context.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_nobody_else_on_this_machine_can_read_the_folder(open_studio, picture_bytes, tmp_path):
    studio_folder = tmp_path / "kept"
    (studio_folder / "works").mkdir(parents=True)
    (studio_folder / "works").chmod(0o755)
    studio_folder.chmod(0o755)
    studio = open_studio()
    studio.upload(picture_bytes(), "photograph.png")
    studio.painted()
    paths = [studio.folder, *studio.folder.rglob("*")]
    assert len([path for path in paths if path.is_file()]) > 5
    for path in paths:
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_folder_that_is_used_for_more_is_left_open(open_studio, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "notes.txt").touch()
    open_studio(folder=shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert stat.S_IMODE((shared / "works").stat().st_mode) == 0o700


def test_a_redirect_stays_on_this_site(open_studio):
    studio = open_studio(IMPASTO_STUDIO_TOKEN="secret")
    studio.forget_token()
    for path in ("//evil.example/", "//evil.example", "/%2F%2Fevil.example", "/%0d%0aa:b", "/a:b"):
        studio.session.cookies.clear()
        url = f"{studio.address}{path}"
        answer = studio.get(f"{path}?token=secret")
        assert answer.status_code == 303
        assert "a" not in answer.headers
        assert urljoin(url, answer.headers["location"]).startswith(f"{studio.address}/")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("studio.example", False),
    ],
)
def test_loopback_addresses_are_known(host, expected):
    assert is_loopback(host) is expected


def test_beyond_this_machine_addresses_and_given_names_are_own_names():
    rules = Rules("studio.example", 8500, "token")
    assert not Rules("127.0.0.1", 8500, "token").is_own_name("192.0.2.7")
    assert rules.is_own_name("studio.example")
    assert rules.is_own_name("192.0.2.7")
    assert not rules.is_own_name("evil.example")

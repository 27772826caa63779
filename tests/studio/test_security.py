"""Who may ask: names, origins, the token, and what every answer carries."""

import pytest

from impasto.studio.security import Rules, is_loopback


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


def test_beyond_this_machine_a_token_is_needed(open_studio):
    studio = open_studio("--host=0.0.0.0")
    _, _, token = studio.printed.partition("?token=")
    assert len(token) >= 32
    for path in ("/", "/api/works", "/api/events", "/docs", "/web/main.js", "/?token=wrong"):
        answer = studio.get(path)
        assert (answer.status_code, set(answer.json())) == (401, {"error"})
    assert studio.get("/api/works", headers={"authorization": "Bearer wrong"}).status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    assert studio.get("/api/works", headers=bearer).status_code == 200
    entered = studio.get(f"/?token={token}&x=1")
    assert (entered.status_code, entered.headers["location"]) == (303, "/?x=1")
    (attributes,) = [entered.headers["set-cookie"]]
    assert "HttpOnly" in attributes
    assert "SameSite=Strict" in attributes
    assert studio.get("/api/works").status_code == 200
    assert studio.get("/api/works", headers={"host": "evil.example"}).status_code == 421


def test_a_token_can_be_chosen(open_studio):
    studio = open_studio(IMPASTO_STUDIO_TOKEN="a token of one's own")
    assert studio.get("/api/works").status_code == 401
    bearer = {"authorization": "Bearer a token of one's own"}
    assert studio.get("/api/works", headers=bearer).status_code == 200


def test_a_redirect_stays_on_this_site(open_studio):
    studio = open_studio(IMPASTO_STUDIO_TOKEN="secret")
    location = studio.get("//evil.example/?token=secret").headers["location"]
    assert location.startswith("/")
    assert not location.startswith("//")


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
    assert rules.is_own_name("studio.example")
    assert rules.is_own_name("192.0.2.7")
    assert not rules.is_own_name("evil.example")

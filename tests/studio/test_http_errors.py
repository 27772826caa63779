"""What the studio refuses, and with which status."""

import gzip
import struct
import zlib

import pytest
import requests

GOOD = {"content": "content.dancing", "styles": ["style.picasso"]}


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (GOOD | {"settings": {"size": 1}}, "size"),
        (GOOD | {"settings": {"sizes": 64}}, "sizes"),
        (GOOD | {"settings": {"beta": -1}}, "beta"),
        (GOOD | {"settings": {"style_layers": {"relu9_9": 1}}}, "relu9_9"),
        (GOOD | {"settings": {"alpha": 0, "beta": 0}}, "alpha and beta"),
        (GOOD | {"settings": {"start": "/etc/passwd"}}, "start"),
        (GOOD | {"settings": {"start": "../photograph.png"}}, "start"),
        (GOOD | {"settings": {"region": ["/etc/passwd:/etc/passwd"]}}, "region"),
        (GOOD | {"regions": [{"mask": "0" * 64, "style": "style.glass"}]}, "no picture"),
        (GOOD | {"settings": {"style_weights": [1, 2]}}, "style_weights"),
        (GOOD | {"preset": "nobody's"}, "nobody's"),
        (GOOD | {"content": "content.nobody"}, "content.nobody"),
        (GOOD | {"content": "../../etc/passwd"}, "content"),
        (GOOD | {"styles": []}, "style"),
        (GOOD | {"styles": ["style.picasso"] * 9}, "styles"),
        (GOOD | {"mode": "cubism"}, "mode"),
        ({"styles": ["style.picasso"]}, "content"),
        ([], "valid"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/api/works", "/api/plan"])
def test_orders_that_cannot_be_painted_are_422(studio, path, order, message):
    # A painter that is still loading does not answer in time on a loaded machine.
    studio.wait_until_ready()
    answer = studio.post(path, json=order)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    assert set(answer.json()) == {"error"}


def png(width, height):
    """A PNG whose header says so, and which has no pixels."""

    def chunk(kind, body):
        data = kind + body
        return struct.pack(">I", len(body)) + data + struct.pack(">I", zlib.crc32(data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"")
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 415),
        (b"%PDF-1.7", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (gzip.compress(b"picture"), 415),
        (png(10_001, 10_000), 413),
        (png(60_000, 60_000), 413),
        (png(64, 64), 422),
    ],
    ids=["empty", "pdf", "svg", "gzip", "large", "huge", "damaged"],
)
def test_what_is_no_good_picture_is_refused(studio, data, status):
    answer = studio.upload(data)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_picture_that_is_cut_short_is_422(studio, picture_bytes):
    data = picture_bytes(64, 64, form="JPEG")
    assert studio.upload(data[: len(data) // 2]).status_code == 422


def test_an_upload_of_too_many_bytes_is_413_before_it_is_read(studio):
    headers = {"content-length": str(2**32), "content-type": "multipart/form-data; boundary=x"}
    answer = studio.post("/api/pictures", data=iter([b""]), headers=headers)
    assert answer.status_code == 413


def test_an_upload_that_does_not_say_how_long_it_is_is_413_too(studio):
    def parts():
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        for _ in range(65):
            yield bytes(2**20)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = studio.post("/api/pictures", data=parts(), headers=headers)
    assert answer.status_code == 413


def test_other_types_of_body_are_415(studio):
    assert studio.post("/api/works", data="size=64").status_code == 415
    assert studio.post("/api/pictures", json={}).status_code == 415


@pytest.mark.parametrize("length", [2**19, 2**23])
def test_a_long_order_is_413_and_the_client_hears_it(studio, length):
    for _ in range(5):
        answer = studio.post("/api/works", json=GOOD | {"preset": "x" * length})
        assert answer.status_code == 413
        assert "expected at most" in answer.json()["error"]
    assert studio.get("/api/status").ok


def test_whoever_sends_much_hears_any_refusal(studio):
    body = b"x" * 2**22
    assert studio.post("/api/pictures", data=body).status_code == 415
    assert requests.post(f"{studio.address}/api/works", data=body, timeout=30).status_code == 401


@pytest.mark.slow
def test_a_full_queue_is_429(open_studio):
    studio = open_studio("--queue-limit=1")
    orders = [studio.order(settings={"iterations": 100_000}) for _ in range(4)]
    assert [answer.status_code for answer in orders][-1] == 429
    assert "wait" in orders[-1].json()["error"]
    assert studio.get("/api/status").json()["waiting"] == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/web/../server.py", 404),
        ("GET", "/web/%2e%2e/server.py", 404),
        ("GET", "/api/works/0123456789abcdef", 404),
        ("GET", "/api/works/..%2f..", 404),
        ("GET", "/api/works/nonsense", 422),
        ("GET", f"/api/pictures/{'0' * 64}", 404),
        ("GET", "/api/pictures/style.nobody", 404),
        ("GET", "/api/pictures/style..nobody", 422),
        ("DELETE", "/api/works", 405),
    ],
)
def test_what_is_not_there_is_told_in_json(studio, method, path, status):
    answer = studio.ask(method, path)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


def test_no_answer_names_a_path_of_the_server(studio, picture_bytes, weights_file):
    name = "../../../../tmp/secret\x00/photo\ngraph.png"
    picture = studio.upload(picture_bytes(40, 40, seed=9), name).json()
    assert "/" not in picture["name"]
    assert picture["name"].endswith("graph.png")
    small = {"content": picture["id"], "styles": ["style.picasso"]}
    errors = [
        studio.upload(b"nothing").text,
        studio.upload(png(64, 64)).text,
        studio.order(pictures=small, settings={"size": 16}).text,
        studio.get("/api/works").text,
        studio.get("/api/status").text,
    ]
    for text in errors:
        for private in (str(studio.folder), str(weights_file), "/tmp", "site-packages", "/src/"):
            assert private not in text

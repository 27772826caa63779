"""The page of the blind choice in a real browser, and what the command refuses."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect
from tests.studio.conftest import PAGE_PATIENCE_MS, Studio

LEVELS = {"bold": 200, "gentle": 120, "peer": 40}


@pytest.fixture
def pictures(tmp_path):
    """Two pairs by three methods, each method a grey of its own; and a single picture."""
    folder = tmp_path / "pictures"
    for method, level in LEVELS.items():
        (folder / method).mkdir(parents=True)
        for pair in ("bay", "town"):
            image = Image.fromarray(np.full((40, 60, 3), level, dtype=np.uint8))
            image.save(folder / method / f"{pair}.png")
    image.save(folder / "bold" / "alone.png")
    return folder


@pytest.fixture
def compare(pictures):
    """``compare(*words)``: a server of the comparison, printed address and all."""
    opened = []

    def start(*words):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "impasto",
                "studio",
                "--port=0",
                f"--compare={pictures}",
                *words,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        opened.append(Studio(process, process.stdout.readline().strip(), pictures))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def open_choice(browser):
    """``open_choice(server)``: the page as a new visitor sees it; it must meet no error."""
    contexts, troubles = [], []

    def start(server):
        context = browser.new_context()
        context.set_default_timeout(PAGE_PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: said.type == "error" and troubles.append(said.text))
        page.goto(server.printed)
        return page

    yield start
    for context in contexts:
        context.close()
    assert not troubles


def check_access(page):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        violations = Axe().run(page).response["violations"]
        assert not violations, [(v["id"], v["nodes"][0]["html"]) for v in violations]


def grey_of(page, side):
    """The grey of the picture on one side, which tells the test its method."""
    image = page.locator(f"[data-answer={side}] img")
    expect(image).to_be_visible()
    image.evaluate("image => image.decode()")
    return image.evaluate(
        "image => { const canvas = document.createElement('canvas'); canvas.width = 1;"
        " canvas.height = 1; const context = canvas.getContext('2d');"
        " context.drawImage(image, 0, 0, 1, 1);"
        " return context.getImageData(0, 0, 1, 1).data[0]; }"
    )


def wait_for(page, answered):
    expect(page.locator("#progress")).to_have_text(f"{answered} of 6 answered")


def test_a_visitor_chooses_blindly_and_sees_the_ranking(compare, open_choice, pictures):
    server = compare()
    page = open_choice(server)
    wait_for(page, 0)
    check_access(page)
    content = page.content()
    assert not any(method in content for method in LEVELS)
    for answered in range(6):
        left, right = (grey_of(page, side) for side in ("left", "right"))
        side = "left" if left > right else "right"
        if answered % 2:
            page.keyboard.press(f"Arrow{side.capitalize()}")
        else:
            page.locator(f"[data-answer={side}]").click()
        wait_for(page, answered + 1)
    rows = page.locator("#ranking tbody tr")
    expect(rows).to_have_count(3)
    assert [row.split()[0] for row in rows.all_inner_texts()] == ["bold", "gentle", "peer"]
    expect(page.locator("#left-out li")).to_have_text(
        "bold/alone.png: no other method has a picture of this pair"
    )
    check_access(page)
    choices = json.loads((pictures / "choices.json").read_text())["choices"]
    assert len(choices) == 6
    for choice in choices:
        methods = [choice["left"], choice["right"]]
        assert choice[choice["chosen"]] == max(methods, key=LEVELS.get)


def test_choices_outlast_a_restart_and_the_ranking_can_be_seen_early(compare, open_choice):
    server = compare()
    page = open_choice(server)
    page.get_by_role("button", name="Neither").click()
    wait_for(page, 1)
    page.get_by_role("button", name="Show the ranking now").click()
    expect(page.locator("#ranking tbody tr")).to_have_count(3)
    check_access(page)
    page.get_by_role("button", name="Go on choosing").click()
    expect(page.locator("#choice")).to_be_visible()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) in (0, 130)
    page.close()
    page = open_choice(compare("--compare-seed=5"))
    wait_for(page, 1)


def test_the_guard_is_the_studios(compare):
    server = compare()
    assert server.get("/api/progress").status_code == 401
    assert server.get("/api/trials/0/left").status_code == 401
    server.session.headers.update(server.bearer)
    answer = server.get("/api/progress")
    assert answer.json() == {"trial": 0, "answered": 0, "total": 6}
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    picture = server.get("/api/trials/0/left")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert not any(method in str(picture.headers) for method in LEVELS)
    for path in ("/api/trials/6/left", "/api/trials/-1/left"):
        assert server.get(path).status_code == 404
    assert server.get("/api/trials/0/middle").status_code == 422
    assert server.post("/api/trials/1", json={"chosen": "left"}).status_code == 409
    assert server.post("/api/trials/0", json={"chosen": "both"}).status_code == 422
    foreign = server.post(
        "/api/trials/0", json={"chosen": "left"}, headers={"origin": "http://evil.example"}
    )
    assert foreign.status_code == 403
    assert server.get("/api/progress").json()["answered"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--compare=absent"], "expected a folder of pictures, got 'absent'"),
        (["--compare=.", "--device=cpu"], "expected no painting options beside it, got --device"),
        (["--compare=.", "--queue-limit=3"], "got --queue-limit"),
        (["--compare-seed=3"], "expected --compare FOLDER beside it"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(words, message, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "impasto", "studio", "--port=0", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert message in line

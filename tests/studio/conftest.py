"""What the studio's tests need: a real server process with a real painter, and ways to ask it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import requests
from PIL import Image

# Patience, not speed: a loaded machine is slow, and a studio that hangs never answers.
PATIENCE_S = 180
PAGE_PATIENCE_MS = 30_000


def make_picture(height=72, width=96, seed=1, form="PNG"):
    """A picture file of seeded blots."""
    blots = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC).save(stream, form)
    return stream.getvalue()


@dataclass
class Studio:
    """A server process, and what a program does with it."""

    process: subprocess.Popen
    printed: str
    folder: Path
    is_ready: bool = False
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def address(self):
        return self.printed.partition("?")[0].rstrip("/")

    @property
    def token(self):
        return unquote(self.printed.partition("?token=")[2])

    @property
    def bearer(self):
        return {"authorization": f"Bearer {self.token}"}

    def forget_token(self):
        """Be a visitor who has not seen the printed address."""
        del self.session.headers["authorization"]

    def ask(self, method, path, headers=(), **options):
        # One connection each: a server may close one that was refused, or was idle.
        options["headers"] = {"connection": "close", **dict(headers)}
        return self.session.request(
            method, f"{self.address}{path}", timeout=PATIENCE_S, allow_redirects=False, **options
        )

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def post(self, path, **options):
        return self.ask("POST", path, **options)

    def upload(self, data, name="photograph.png"):
        return self.post("/api/pictures", files={"file": (name, data)})

    def wait_until_ready(self):
        """Wait for the worker process, which takes its time on a loaded machine."""
        end_s = time.monotonic() + PATIENCE_S
        while not self.is_ready and time.monotonic() < end_s:
            (painter,) = self.get("/api/status").json()["painters"]
            # A broken one never will be.
            self.is_ready = painter["state"] != "loading"
            time.sleep(0.1)

    def order(self, *, pictures=None, settings=(), **fields):
        """Order a painting that takes a moment, unless its settings say otherwise."""
        self.wait_until_ready()
        if pictures is None:
            pictures = {"content": "content.dancing", "styles": ["style.picasso"]}
        chosen = {"size": 48, "coarsest": 48, "iterations": 4, **dict(settings)}
        if "strength" not in chosen:
            chosen = {"alpha": 1, "beta": 5e4, **chosen}
        return self.post("/api/works", json={**pictures, "settings": chosen, **fields})

    def work(self, work_id):
        return self.get(f"/api/works/{work_id}").json()

    def wait(self, work_id, *states, until=None):
        """Wait for a work to be in one of ``states``, or for ``until(work)``."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            work = self.work(work_id)
            if work.get("state") in states or (until and until(work)):
                return work
            time.sleep(0.05)
        raise AssertionError(f"expected {states}, got {work}")

    def painted(self, **options):
        """Order a painting, and wait until it is finished."""
        return self.wait(self.order(**options).json()["id"], "finished")

    def events(self, query=""):
        """Yield (kind, data) of the event stream, until the server ends it."""
        with self.session.get(
            f"{self.address}/api/events{query}", stream=True, timeout=PATIENCE_S
        ) as stream:
            kind = None
            for line in stream.iter_lines(decode_unicode=True):
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    yield kind, json.loads(line[6:])

    def painter_pid(self):
        """The painter's process: a child of the server that runs spawned code."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        return None

    def close(self):
        self.session.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.communicate()


def start_studio(folder, weights, *words, within=(), **variables):
    process = subprocess.Popen(
        [
            *(*within, sys.executable, "-m", "impasto", "studio", "--port=0", f"--folder={folder}"),
            *(f"--weights={weights}", "--threads=1", "--confirm-hours=100", *words),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
    )
    printed = process.stdout.readline().strip()
    if not re.match(r"https?://.+/\?token=", printed):
        process.kill()
        raise AssertionError(f"the studio did not start: {process.communicate()[1]}")
    studio = Studio(process, printed, folder)
    studio.session.headers.update(studio.bearer)
    return studio


@pytest.fixture(scope="session")
def picture_bytes():
    """``picture_bytes(height, width, seed=, form=)``: a picture file."""
    return make_picture


@pytest.fixture(scope="session")
def studio(weights_file, tmp_path_factory):
    """A studio that many tests share."""
    opened = start_studio(tmp_path_factory.mktemp("studio") / "kept", weights_file)
    yield opened
    opened.close()


@pytest.fixture
def open_studio(weights_file, tmp_path):
    """``open_studio(*words, folder=, **variables)``: a studio of the test's own."""
    opened = []

    def start(*words, folder=tmp_path / "kept", within=(), **variables):
        opened.append(start_studio(folder, weights_file, *words, within=within, **variables))
        return opened[-1]

    yield start
    for studio in opened:
        studio.close()


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium; ./test says how to install it.

    While Playwright is open, nothing else in this thread can run an event loop.
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PAGE_PATIENCE_MS)

    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    assert program, (
        "the studio is tested in a browser; on Debian and Ubuntu: sudo apt install chromium"
    )
    with sync_playwright() as playwright:
        # In a container Chromium's own sandbox cannot be set up.
        started = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """``open_page(studio, **context)``: a new visitor's tab; it must meet no error."""
    contexts, troubles = [], []

    def start(studio, **options):
        context = browser.new_context(**options)
        context.set_default_timeout(PAGE_PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: said.type == "error" and troubles.append(said.text))
        # The page waits less long than a loaded machine needs to start a painter.
        studio.wait_until_ready()
        page.goto(studio.printed)
        page.wait_for_selector("#styles .tiles button")
        return page

    yield start
    for context in contexts:
        context.close()
    # A refusal or a silence that a test provokes is no trouble; a blocked or broken script is.
    provoked = re.compile(r"the server responded|net::ERR_")
    assert not [trouble for trouble in troubles if not provoked.search(trouble)]

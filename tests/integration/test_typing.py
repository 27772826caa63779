"""What a type checker says of a user's script."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
# The lines, and what mypy says of each: a part of its message, or nothing.
LINES = {
    'impasto.style_transfer("a.jpg", "b.jpg", size=768).save("c.png")': None,
    'impasto.style_transfer("a.jpg", ["b.jpg", Path("c.jpg")], size=(96, 64))': None,
    'impasto.style_transfer(np.zeros((8, 8, 3)), b"", size="original")': None,
    'impasto.style_transfer("a.jpg", "b.jpg", style_layers="relu1_1..relu4_1")': None,
    'impasto.style_transfer("a.jpg", "b.jpg", content_layers={"relu4_2": 1})': None,
    'impasto.style_transfer("a.jpg", "b.jpg", region=["sky.png:night.jpg"])': None,
    'impasto.style_transfer("a.jpg", "b.jpg", region=[impasto.Region("a.png", "b.jpg")])': None,
    'impasto.content("a.jpg", memory="6GiB", start=np.zeros((8, 8)), weights=Path("w"))': None,
    'impasto.style("a.jpg", preset="fast", color="free", optimizer="adam")': None,
    'job: impasto.Job = impasto.make_job("style", None, "a.jpg", threads=2)': None,
    "pixels: Tensor = next(impasto.iterate(job)).result().pixels": None,
    "wrapped: impasto.ImageSource = Path('a.jpg')": None,
    'impasto.Painter(device="cpu").style_transfer("a.jpg", "b.jpg", size=64).save("c.png")': None,
    'impasto.Painter(torch.nn.ReLU()).iterate("a.jpg", "b.jpg").cancel()': None,
    'shape = next(impasto.iterate("a.jpg", "b.jpg", size=64)).pixels.shape': None,
    'impasto.style(open("a.jpg", "rb"), progress=True)': None,
    'impasto.style("a.jpg", terms={"a": lambda pixels, features: pixels.mean()})': None,
    'impasto.VGGFeatures({})(torch.zeros(1), "relu1_1").shape': None,
    'impasto.evaluate("a.jpg", "b.jpg", "c.jpg", strength=0.5)["total"]': None,
    'impasto.video("a.mp4", "b.jpg", "c.mp4", size=384, temporal=0.7).path.name': None,
    'impasto.video(Path("a"), ["b.jpg"], "c.gif", fps=12, on_step=lambda step: step.shot)': None,
    'frames: int = impasto.video("a.mp4", "b.jpg", "c.mp4", range="2s..5s", every=2).frames': None,
    'impasto.video("a.mp4", "b.jpg")': 'Missing positional argument "output"',
    'impasto.video("a.mp4", "b.jpg", "c.mp4", temporal="high")': 'incompatible type "str"',
    'impasto.video("a.mp4", "b.jpg", "c.mp4", siz=384)': 'Unexpected keyword argument "siz"',
    'impasto.Painter("vgg11")': "incompatible type \"Literal['vgg11']\"",
    'impasto.Painter().style("a.jpg", siz=256)': 'Unexpected keyword argument "siz"',
    'impasto.iterate("a.jpg", "b.jpg", siz=256)': "No overload variant",
    'impasto.register_statistic("mine", 3)': 'incompatible type "int"',
    "impasto.no_such_name": 'has no attribute "no_such_name"',
    "impasto.style_transfer(3, None)": 'incompatible type "int"',
    'impasto.style_transfer("a.jpg", None)': 'incompatible type "None"',
    'impasto.style_transfer("a.jpg", "b.jpg", siz=256)': 'Unexpected keyword argument "siz"',
    'impasto.style_transfer("a.jpg", "b.jpg", size="large")': "incompatible type \"Literal['large",
    'impasto.content("a.jpg", sizes=256)': 'Unexpected keyword argument "sizes"',
    'impasto.style("a.jpg", seed="one")': 'incompatible type "str"',
    'impasto.make_job("collage", "a.jpg")': "incompatible type \"Literal['collage']\"",
    'impasto.make_job("content", "a.jpg", device=0)': 'incompatible type "int"',
    'impasto.Job("content", content_image=3)': 'incompatible type "int"',
    'impasto.style("a.jpg").pictures': 'has no attribute "pictures"',
}
HEAD = """from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import impasto

"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """What mypy says of each line of the script, by line."""
    folder = tmp_path_factory.mktemp("typing")
    (folder / "script.py").write_text(HEAD + "\n".join(LINES) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "script.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(SRC), "MYPY_CACHE_DIR": str(SRC.parent / ".mypy_cache")},
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    first = HEAD.count("\n") + 1
    told = {line: [] for line in LINES}
    for row in done.stdout.splitlines():
        if row.startswith("script.py:") and ": error: " in row:
            place, _, message = row.partition(": error: ")
            told[list(LINES)[int(place.split(":")[1]) - first]].append(message)
    return told


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_accepted_or_refused(complaints, line):
    expected, said = LINES[line], complaints[line]
    if expected is None:
        assert said == []
    else:
        assert any(expected in message for message in said), said

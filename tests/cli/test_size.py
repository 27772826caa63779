"""``--size``: both sides and the picture's own, in every command."""

import json
from pathlib import Path

import pytest
from PIL import Image

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")


def size_of(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def options(weights_file):
    return ["--weights", str(weights_file), "--coarsest=32", "--iterations=2"]


@pytest.mark.parametrize(("size", "expected"), [("original", (96, 72)), ("64x64", (64, 64))])
def test_transfer_plan_and_replay(impasto, options, size, expected):
    outcome = impasto(*TRANSFER, *options, "--size", size, "--json")
    assert outcome.code == 0
    assert size_of("out.png") == expected
    events = [json.loads(line) for line in outcome.out.splitlines()]
    notes = [event["text"] for event in events if event["event"] == "message"]
    assert any("cropped at its centre" in note for note in notes) == (size == "64x64")
    plan = impasto("plan", *TRANSFER[:3], *options, "--size", size, "--json")
    rows = [json.loads(line) for line in plan.out.splitlines()]
    assert [(row["width_px"], row["height_px"]) for row in rows if row["event"] == "size"][-1] == (
        expected
    )
    words = ("replay", "out.png", "--content", "photograph.png", "--style", "painting.png")
    assert impasto(*words, *options[:2], "-o", "again.png").code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    assert impasto(*words, *options[:2], "-o", "set.png", "--set", "size=48x32").code == 0
    assert size_of("set.png") == (48, 32)


def test_a_batch_and_a_sheet(impasto, jobs_file, options):
    name = jobs_file({"size": "original"}, {"size": "48x32"}, {"size": [32, 48]})
    assert impasto("batch", name, "-q").code == 0
    assert [size_of(f"{number}.png") for number in range(3)] == [(96, 72), (48, 32), (32, 48)]
    words = ("sheet", "photograph.png", "--style", "painting.png", "-o", "sheet.png")
    assert impasto(*words, *options, "--vary", "size=48x32,original,32", "-q").code == 0


def test_a_format_that_cannot_hold_the_original(impasto, options):
    Image.new("RGB", (16400, 20), "red").save("long.png")
    outcome = impasto("content", "long.png", "-o", "out.webp", "--size", "original", *options)
    assert outcome.code == 2
    assert "expected at most 16383 pixels a side in WEBP, got 16400" in outcome.err


def test_beside_an_aspect(impasto, options):
    outcome = impasto(
        "style", "painting.png", "-o", "out.png", *options, "--size", "96x64", "--aspect", "1:1"
    )
    assert outcome.code == 2
    assert "expected size as both sides, or aspect, got 96x64 and 1:1; leave one out" in outcome.err

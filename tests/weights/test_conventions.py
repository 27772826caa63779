"""Weights for other pixels than torchvision's: recognised, and converted to the same features."""

import pytest
import torch

from impasto import api, models, weights
from impasto.errors import WeightsError
from impasto.models import VGGFeatures
from impasto.weights import conventions, formats

pytestmark = pytest.mark.heavy

MEAN_255 = torch.tensor([123.68, 116.779, 103.939])
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def to_caffe(tensors, order="BGR", scale=1.0):
    """The same network for pixels in 0..255 minus the mean, its features times ``scale``."""
    weight = tensors["conv1_1.weight"] / (255 * STD).view(1, 3, 1, 1)
    offset = weight.sum((2, 3)) @ (MEAN_255 - 255 * MEAN)
    made = {
        name: tensor * scale if name.endswith("bias") else tensor
        for name, tensor in tensors.items()
    }
    weight = weight * scale
    made["conv1_1.weight"] = weight.flip(1) if order == "BGR" else weight
    made["conv1_1.bias"] = (tensors["conv1_1.bias"] + offset) * scale
    return made


def seeded(network="vgg16", blue=0.8):
    """A network of the real shapes, whose filters weigh blue less than red."""
    generator = torch.Generator().manual_seed(5)
    tensors = {
        name: torch.randn(shape, generator=generator) * (2 / (9 * shape[1])) ** 0.5
        if name.endswith("weight")
        else 0.1 * torch.randn(shape, generator=generator)
        for name, shape in formats.shapes(network).items()
    }
    tensors["conv1_1.weight"][:, 2] *= blue
    return tensors


def published(network):
    """As seeded, with the corner by which the published network is known, as Caffe has it."""
    tensors = to_caffe(seeded(network), scale=255 * float(STD.mean()))
    weight = tensors["conv1_1.weight"].clone()
    weight[0, :, 0, 0] = torch.tensor(conventions._CORNERS[network])
    return tensors | {"conv1_1.weight": weight}


def written(folder, tensors):
    path = folder / "weights.safetensors"
    path.write_bytes(formats.encode(tensors))
    return path


def read(path, network="vgg16"):
    notes = []
    return formats.read(path, network, notes.append), notes


def close(actual, expected):
    return all(torch.allclose(actual[name], expected[name], atol=1e-5) for name in expected)


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
@pytest.mark.parametrize(("order", "named"), [("BGR", "Caffe"), ("RGB", "MatConvNet")])
def test_weights_for_pixels_of_0_to_255_are_converted_and_named(tmp_path, network, order, named):
    actual, notes = read(written(tmp_path, to_caffe(seeded(network), order)), network)
    assert close(actual, seeded(network))
    (note,) = notes
    assert named in note
    assert f"({order} in 0..255 minus the mean): converted" in note


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_torchvision_s_convention_is_left_bit_for_bit(tmp_path, network):
    actual, notes = read(written(tmp_path, seeded(network)), network)
    assert all(torch.equal(actual[name], tensor) for name, tensor in seeded(network).items())
    assert notes == []


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
@pytest.mark.parametrize("flipped", [False, True], ids=["BGR", "RGB"])
@pytest.mark.parametrize("scaled", [False, True], ids=["as published", "as Gatys et al. scaled"])
def test_the_published_networks_are_known_by_a_corner(tmp_path, network, flipped, scaled):
    tensors = published(network)
    if scaled:
        tensors = tensors | {"conv1_1.weight": 0.01 * tensors["conv1_1.weight"]}
    if flipped:
        tensors = tensors | {"conv1_1.weight": tensors["conv1_1.weight"].flip(1)}
    actual, notes = read(written(tmp_path, tensors), network)
    assert ("RGB" if flipped else "BGR") in notes[0]
    if not scaled:
        # Features of the published networks are larger; converted they are of the usual size.
        expected = seeded(network)
        assert torch.allclose(actual["conv2_1.bias"], expected["conv2_1.bias"], atol=1e-5)
        assert torch.allclose(
            actual["conv1_1.weight"][1:], expected["conv1_1.weight"][1:], atol=1e-5
        )


def test_converted_weights_see_what_the_original_saw(tmp_path):
    tensors = published("vgg16")
    actual, _ = read(written(tmp_path, tensors))
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    pixels = (255 * image - MEAN_255.view(1, 3, 1, 1)).flip(1)
    original = torch.nn.functional.conv2d(
        pixels, tensors["conv1_1.weight"], tensors["conv1_1.bias"]
    )
    seen = VGGFeatures(actual).features(image, ["conv1_1"])["conv1_1"][..., 1:-1, 1:-1]
    torch.testing.assert_close(seen, original / (255 * float(STD.mean())), atol=1e-4, rtol=1e-4)


def test_an_order_of_channels_that_cannot_be_told_is_refused(tmp_path):
    tensors = to_caffe(seeded())
    tensors["conv1_1.weight"][:, 0] = tensors["conv1_1.weight"][:, 2]
    path = written(tmp_path, tensors)
    with pytest.raises(
        WeightsError, match=r"in an unknown order \(RGB or BGR\); convert"
    ) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_the_convention_is_noted_when_a_painting_begins(tmp_path, picture):
    options = {"size": 40, "coarsest": 28, "iterations": 2, "threads": 1, "precision": "fp32"}
    layers = {"style_layers": "relu1_1", "content_layers": "relu1_2", "alpha": 1}
    pictures = picture(40, 40).float(), picture(44, 44, seed=2).float()
    plain = written(tmp_path, seeded())
    one = api.style_transfer(*pictures, weights=str(plain), **options, **layers)
    caffe = written(tmp_path, to_caffe(seeded()))
    other = api.style_transfer(*pictures, weights=str(caffe), **options, **layers)
    assert one.notes == ()
    assert "the Caffe convention" in other.notes[0]
    torch.testing.assert_close(other.pixels, one.pixels, atol=1e-3, rtol=0)


@pytest.mark.real
def test_the_real_network_in_the_caffe_convention_gives_the_same_features(tmp_path):
    tensors = weights.load("vgg16", offline=True)
    path = written(tmp_path, to_caffe(tensors))
    actual, notes = read(path)
    assert "BGR" in notes[0]
    torch.testing.assert_close(actual["conv1_1.weight"], tensors["conv1_1.weight"])
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    one, other = (
        models.load("vgg16", weights=file, offline=True).features(image, ["relu4_1"])["relu4_1"]
        for file in (None, path)
    )
    torch.testing.assert_close(other, one, atol=1e-3, rtol=1e-3)

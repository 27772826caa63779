"""The networks as data, checked against the paper's table and against a real cascade."""

import pytest
import torch
import torch.nn.functional as F

from impasto.config import networks
from impasto.config.settings import make_settings
from impasto.errors import SettingsError

# Simonyan and Zisserman (2015), table 1, columns D and E.
VGG16 = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
VGG19 = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"


@pytest.mark.parametrize(("network", "table"), [("vgg16", VGG16), ("vgg19", VGG19)])
def test_the_layers_are_those_of_the_paper(network, table):
    expected = []
    block, place, channels = 1, 1, 3
    for word in table.split():
        if word == "M":
            expected.append((f"pool{block}", channels))
            block, place = block + 1, 1
        else:
            channels = int(word)
            expected += [(f"conv{block}_{place}", channels), (f"relu{block}_{place}", channels)]
            place += 1
    layers = networks.network_spec(network).layers
    assert [(layer.name, layer.channels) for layer in layers] == expected


def test_known_places():
    by_name = networks.VGG16.by_name
    assert by_name["conv1_1"] == networks.Layer("conv1_1", "conv", 1, 64, 1, 1)
    assert by_name["relu4_2"] == networks.Layer("relu4_2", "relu", 4, 512, 8, 34)
    assert by_name["relu5_1"].stride_px == 16
    assert by_name["relu5_1"].halo_px == 58
    assert by_name["pool5"].stride_px == 32


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_a_feature_sees_its_own_pixels_and_the_halo_around_them(network):
    # Convolutions of ones and average pooling: whatever is looked at has a gradient.
    image = torch.zeros(1, 1, 320, 1, dtype=torch.float64, requires_grad=True)
    kernel = torch.ones(1, 1, 3, 1, dtype=torch.float64)
    features = image
    for layer in networks.network_spec(network).layers:
        if layer.kind == "conv":
            features = F.conv2d(features, kernel, padding=(1, 0))
        elif layer.kind == "pool":
            features = F.avg_pool2d(features, (2, 1))
        middle = features.shape[2] // 2
        (gradient,) = torch.autograd.grad(features[0, 0, middle, 0], image, retain_graph=True)
        seen = gradient.flatten().nonzero().flatten()
        first = middle * layer.stride_px - layer.halo_px
        last = (middle + 1) * layer.stride_px - 1 + layer.halo_px
        assert (seen[0].item(), seen[-1].item()) == (first, last)


@pytest.mark.parametrize(
    ("name", "network", "hint"),
    [
        ("relu4-2", "vgg16", "relu4_2"),
        ("Relu4_2", "vgg16", "relu4_2"),
        ("relu3_4", "vgg16", "vgg19 has it"),
        ("pool6", "vgg19", "pool5"),
        ("29", "vgg16", "names run conv1_1, relu1_1 ... pool5"),
        ("", "vgg16", "names run conv1_1, relu1_1 ... pool5"),
    ],
)
def test_an_unknown_layer_is_refused_with_a_hint(name, network, hint):
    with pytest.raises(SettingsError, match=f"{network} has no layer {name!r}") as raised:
        networks.check_layer(name, network)
    assert hint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_deepest_layer_is_the_last_on_the_way_from_the_image():
    assert networks.VGG16.deepest(["relu4_2", "pool1", "conv4_3", "relu1_1"]).name == "conv4_3"
    assert networks.VGG16.deepest(["pool4", "relu4_3"]).name == "pool4"


def test_the_deepest_of_layers_with_an_unknown_one_is_refused():
    with pytest.raises(SettingsError, match="relu9_9"):
        networks.VGG16.deepest(["relu1_1", "relu9_9"])


@pytest.mark.parametrize(
    ("names", "side_px"), [(["conv1_1"], 1), (["pool1", "relu1_1"], 2), (["relu5_1"], 16)]
)
def test_the_smallest_side_leaves_every_layer_one_feature(names, side_px):
    assert networks.VGG16.smallest_side_px(names) == side_px


def test_the_layers_up_to_some_end_with_the_deepest():
    names = [layer.name for layer in networks.VGG16.upto(["relu1_1", "conv2_1"])]
    assert names == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1"]


def test_weights_have_a_shape_for_each_convolution():
    shapes = networks.VGG16.conv_shapes(["pool1", "relu2_1"])
    assert shapes == {
        "conv1_1": (64, 3, 3, 3), "conv1_2": (64, 64, 3, 3), "conv2_1": (128, 64, 3, 3),
    }  # fmt: skip
    assert len(networks.VGG16.conv_shapes()) == 13
    assert len(networks.VGG19.conv_shapes()) == 16


def test_operations_are_counted_by_layer():
    first, second = 2 * 9 * 3 * 64, 2 * 9 * 64 * 64
    assert networks.VGG16.flops_per_pixel(["relu1_1"]) == first
    assert networks.VGG16.flops_per_pixel(["relu1_2", "relu1_1"]) == first + second
    assert networks.VGG16.flops_per_pixel(["relu2_1"]) == first + second + 2 * 9 * 64 * 128 / 4


def test_torchvision_counts_layers_of_all_kinds():
    names = networks.VGG16.torchvision_names()
    assert (names["conv1_1"], names["conv2_1"], names["conv5_3"]) == (
        "features.0", "features.5", "features.28",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "weights"),
    [
        ("relu4_2", {"relu4_2": 1.0}),
        ("relu1_1=2,relu2_1=0.5", {"relu1_1": 2.0, "relu2_1": 0.5}),
        (" relu1_1 , relu2_1 = 1e-3 ", {"relu1_1": 1.0, "relu2_1": 1e-3}),
        (["relu1_1", "relu2_1=3"], {"relu1_1": 1.0, "relu2_1": 3.0}),
        (["relu1_1,relu2_1=3", "pool1"], {"relu1_1": 1.0, "relu2_1": 3.0, "pool1": 1.0}),
        (("relu1_1",), {"relu1_1": 1.0}),
        ({"relu1_1": 2, "relu2_1": "0.5"}, {"relu1_1": 2.0, "relu2_1": 0.5}),
        ({}, {}),
    ],
)
def test_layers_are_read_from_words_lists_and_mappings(value, weights):
    assert networks.parse_layer_weights(value) == weights


def test_the_order_of_the_layers_is_kept():
    assert list(networks.parse_layer_weights("relu3_1,relu1_1,relu2_1")) == [
        "relu3_1",
        "relu1_1",
        "relu2_1",
    ]


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ("relu4_2=heavy", "relu4_2=heavy"),
        ("relu4_2=", "relu4_2="),
        ("relu4_2=1=2", "relu4_2=1=2"),
        ("relu1_1,,relu2_1", "''"),
        ("", "''"),
        ({"relu4_2": "heavy"}, "heavy"),
        ({"relu4_2": None}, "None"),
        (None, "None"),
        (42, "42"),
        ([["relu4_2"]], "relu4_2"),
    ],
)
def test_what_is_no_layer_and_weight_is_refused(value, got):
    with pytest.raises(SettingsError, match="expected") as raised:
        networks.parse_layer_weights(value)
    assert got in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", ["relu4_2,relu4_2", ["relu4_2=1", "relu4_2=2"]])
def test_a_layer_given_twice_is_refused(value):
    with pytest.raises(SettingsError, match="expected each layer once, got 'relu4_2' twice"):
        networks.parse_layer_weights(value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("relu1_1..relu2_2", {"relu1_1": 1, "relu1_2": 1, "relu2_1": 1, "relu2_2": 1}),
        ("pool1..pool3=2,conv4_1", {"pool1": 2, "pool2": 2, "pool3": 2, "conv4_1": 1}),
        (["conv3_2 .. conv3_2 = 3"], {"conv3_2": 3}),
        ({"conv1_2..conv2_1": 0.5}, {"conv1_2": 0.5, "conv2_1": 0.5}),
    ],
)
def test_a_range_names_the_layers_of_its_kind(words, expected):
    assert networks.parse_layer_weights(words) == expected


def test_a_range_goes_through_the_network_at_hand():
    assert "relu3_4" in make_settings(style_layers="relu3_1..relu4_1", network="vgg19").style_layers
    assert "relu3_4" not in make_settings(style_layers="relu3_1..relu4_1").style_layers


@pytest.mark.parametrize("words", ["relu1_1..pool3", "relu3_1..relu2_1", "relu1_1..", "..relu1_1"])
def test_a_range_that_is_none_is_refused(words):
    with pytest.raises(SettingsError):
        networks.parse_layer_weights(words)


def test_a_layer_inside_a_range_and_beside_it_is_refused():
    with pytest.raises(SettingsError, match="'relu2_1' twice"):
        networks.parse_layer_weights("relu1_1..relu3_1,relu2_1=4")

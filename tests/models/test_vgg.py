"""The network by hand against the same network by plain autograd, layer by layer."""

import copy
import pickle
import weakref

import pytest
import torch
import torch.nn.functional as F

from impasto import models
from impasto.config.networks import network_spec
from impasto.errors import ImpastoError, SettingsError, ShapeError, WeightsError
from impasto.models.pooling import pool, pool_backward
from impasto.models.vgg import VGGFeatures

NETWORKS = ["vgg16", "vgg19"]
VARIANTS = [("max", "zeros"), ("average", "zeros"), ("max", "replicate"), ("average", "replicate")]


def names_of(name, *, without=()):
    return [layer.name for layer in network_spec(name).layers if layer.name not in without]


def relative(found, expected):
    return (found - expected).norm() / expected.norm()


def weighed(features):
    """One number that depends on every feature, differently on each."""
    total = 0.0
    for place, maps in enumerate(features.values()):
        generator = torch.Generator().manual_seed(place)
        weights = torch.randn(maps.shape, dtype=torch.float64, generator=generator)
        total = total + (weights.to(maps) * maps).sum() / maps.numel()
    return total


def gradient_of(compute, image, weigh=weighed):
    leaf = image.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(weigh(compute(leaf)), leaf)
    return gradient


def check_same_as_plain(ours, plain, image, names, tolerance):
    found = ours.features(image, names)
    expected = plain(image)
    assert list(found) == names
    for name in names:
        assert found[name].shape == expected[name].shape
        assert relative(found[name], expected[name]) < tolerance, name
    gradient = gradient_of(lambda leaf: ours.features(leaf, names), image)
    plain_gradient = gradient_of(lambda leaf: {name: plain(leaf)[name] for name in names}, image)
    assert relative(gradient, plain_gradient) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize(("pooling", "padding"), VARIANTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_and_its_gradient_equal_the_plain_network(
    name, pooling, padding, dtype, tolerance, small_network, plain_features, picture
):
    ours = small_network(name, dtype=dtype, pooling=pooling, padding=padding)
    check_same_as_plain(
        ours,
        lambda image: plain_features(image, name, pooling=pooling, padding=padding),
        picture(37, 45, batch=2, dtype=dtype),
        names_of(name),
        tolerance,
    )


@pytest.mark.parametrize("name", names_of("vgg16"))
def test_one_layer_alone_gives_the_same_features_and_gradient(
    name, small_network, plain_features, picture
):
    check_same_as_plain(small_network(), plain_features, picture(), [name], 1e-10)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (35, 63), (61, 34)])
def test_odd_sizes_drop_the_last_row_or_column_at_a_pooling(
    size, small_network, plain_features, picture
):
    names = ["pool1", "pool2", "pool3", "pool4", "pool5"]
    check_same_as_plain(small_network(), plain_features, picture(*size), names, 1e-10)


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image.transpose(2, 3),
        lambda image: image.flip(3),
        lambda image: image[:, :, ::2, 1::2],
        lambda image: image.contiguous(memory_format=torch.channels_last),
        lambda image: image[:1].expand(3, -1, -1, -1),
    ],
)
def test_any_memory_layout_gives_the_same_features(view, small_network, plain_features, picture):
    image = view(picture(70, 82, batch=2))
    check_same_as_plain(small_network(), plain_features, image, ["relu2_1", "relu4_2"], 1e-10)


def test_each_picture_of_a_batch_has_its_own_features(small_network, picture):
    batch = picture(batch=3)
    together = small_network().features(batch, ["relu4_1"])["relu4_1"]
    for place in range(3):
        alone = small_network().features(batch[place : place + 1], ["relu4_1"])["relu4_1"]
        torch.testing.assert_close(together[place : place + 1], alone)


def test_features_before_a_rectifier_are_not_overwritten_by_it(small_network, picture):
    names = names_of("vgg16")
    found = small_network().features(picture(), names)
    for layer in network_spec("vgg16").layers:
        if layer.kind == "conv":
            before = found[layer.name]
            assert before.min() < 0
            assert found[layer.name.replace("conv", "relu")].equal(before.clamp_min(0))


def test_layers_come_in_the_order_asked_for(small_network, picture):
    asked = ["relu4_1", "conv1_1", "pool2", "relu1_1"]
    found = small_network().features(picture(), asked)
    assert list(found) == asked
    in_order = small_network().features(picture(), sorted(asked))
    assert all(found[name].equal(in_order[name]) for name in asked)


def test_order_does_not_change_the_gradient(small_network, picture):
    def gradient(names):
        return gradient_of(
            lambda leaf: small_network().features(leaf, names),
            picture(),
            lambda found: sum(found[name].square().sum() for name in sorted(names)),
        )

    names = ["relu4_1", "conv1_1", "pool2", "relu1_1"]
    torch.testing.assert_close(gradient(names), gradient(names[::-1]), rtol=1e-12, atol=1e-12)


def test_a_layer_asked_for_twice_is_given_once_with_its_whole_gradient(small_network, picture):
    names = ["relu2_1", "conv2_1", "relu2_1", "conv2_1"]
    found = small_network().features(picture(), names)
    assert list(found) == ["relu2_1", "conv2_1"]
    twice = gradient_of(lambda leaf: small_network().features(leaf, names), picture())
    once = gradient_of(lambda leaf: small_network().features(leaf, names[:2]), picture())
    torch.testing.assert_close(twice, once)


def test_no_layers_give_no_features(small_network, picture):
    assert small_network().features(picture(), []) == {}


@pytest.mark.parametrize("used", ["relu1_1", "pool2", "conv3_2", "relu5_1"])
def test_the_gradient_may_come_from_one_of_the_layers_alone(used, small_network, picture):
    names = ["relu1_1", "pool2", "conv3_2", "relu5_1"]
    among = gradient_of(lambda leaf: {used: small_network().features(leaf, names)[used]}, picture())
    alone = gradient_of(lambda leaf: small_network().features(leaf, [used]), picture())
    torch.testing.assert_close(among, alone, rtol=1e-12, atol=1e-14)
    assert alone.abs().max() > 0


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_the_gradient_is_the_slope(pooling, padding, small_network, picture):
    ours = small_network(pooling=pooling, padding=padding)
    names = ["conv1_1", "relu1_2", "pool1", "relu2_2", "conv3_1"]

    def compute(image):
        return tuple(ours.features(image, names).values())

    image = picture(7, 9).requires_grad_()
    assert torch.autograd.gradcheck(compute, (image,), fast_mode=True)


def test_equal_maxima_send_their_gradient_to_the_first():
    generator = torch.Generator().manual_seed(3)
    # Few values, so that nearly every window has ties.
    features = torch.randint(0, 3, (2, 3, 9, 11), generator=generator).double()
    leaf = features.clone().requires_grad_()
    pooled = F.max_pool2d(leaf, 2)
    slope = torch.rand(pooled.shape, dtype=torch.float64, generator=generator)
    (expected,) = torch.autograd.grad(pooled, leaf, slope)
    assert pool(features, "max").equal(pooled)
    assert pool_backward(slope, features, pooled.detach(), "max").equal(expected)


def test_a_replicated_border_shows_no_frame_on_a_flat_picture(small_network):
    image = torch.full((1, 3, 16, 16), 0.9, dtype=torch.float64)
    flat = small_network(padding="replicate").features(image, ["conv1_1"])["conv1_1"]
    framed = small_network(padding="zeros").features(image, ["conv1_1"])["conv1_1"]
    assert flat.std((2, 3)).max() < 1e-12
    assert framed.std((2, 3)).min() > 1e-3


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float16, 0.003)])
def test_narrow_features_stay_near_wide_ones(dtype, tolerance, small_network, picture):
    names = names_of("vgg16", without=["pool5"])
    image = picture(48, 64)
    narrow = small_network(dtype=dtype).features(image.float(), names)
    wide = small_network().features(image, names)
    for name in names:
        assert narrow[name].dtype == dtype
        assert relative(narrow[name].double(), wide[name]) < tolerance, name


def test_a_narrow_network_sees_changes_finer_than_its_own_numbers(small_network):
    # Bfloat16 has no number between 0.75 and 0.7539; the steps of the optimiser are finer.
    ours = small_network(dtype=torch.bfloat16)
    image = torch.full((1, 3, 16, 16), 0.75)
    finer = image + 0.001
    assert image.bfloat16().equal(finer.bfloat16())
    change = (
        ours.features(finer, ["conv1_1"])["conv1_1"] - ours.features(image, ["conv1_1"])["conv1_1"]
    )
    assert change.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_gradient_of_a_narrow_network_is_as_wide_as_the_image(dtype, small_network, picture):
    ours = small_network(dtype=dtype)
    names = ["relu1_1", "relu2_2", "relu3_1"]
    gradient = gradient_of(lambda leaf: ours.features(leaf, names), picture().float())
    exact = gradient_of(lambda leaf: small_network().features(leaf, names), picture())
    assert gradient.dtype == torch.float32
    cosine = F.cosine_similarity(gradient.double().flatten(), exact.flatten(), dim=0)
    assert cosine > 0.95


def most_kept(ours, image):
    """How many earlier convolutions' maps are alive, at most, when the next one begins."""
    maps, counts = [], []
    convolve = ours.convolutions.convolve

    def watched(features, name, **options):
        counts.append(sum(ref() is not None for ref in maps))
        found = convolve(features, name, **options)
        maps.append(weakref.ref(found))
        return found

    ours.convolutions.convolve = watched
    ours.features(image, ["relu4_1"])
    return max(counts)


def test_nothing_is_kept_when_no_gradient_is_asked_for(small_network, picture):
    leaf = picture().requires_grad_()
    assert most_kept(small_network(), leaf) > 5
    assert most_kept(small_network(), picture()) <= 1
    with torch.no_grad():
        assert most_kept(small_network(), leaf) <= 1


def test_features_without_a_gradient_need_none(small_network, picture):
    found = small_network().features(picture(), ["relu4_1"])["relu4_1"]
    assert not found.requires_grad
    leaf = picture().requires_grad_()
    assert small_network().features(leaf, ["relu4_1"])["relu4_1"].requires_grad
    with torch.no_grad():
        assert not small_network().features(leaf, ["relu4_1"])["relu4_1"].requires_grad


def test_the_image_is_left_as_it_was(small_network, picture):
    image = picture()
    gradient_of(lambda leaf: small_network().features(leaf, ["conv1_1", "relu3_1"]), image)
    assert image.equal(picture())


def test_what_a_loss_gave_as_slope_is_left_as_it_was(small_network, picture):
    leaf = picture().requires_grad_()
    found = small_network().features(leaf, ["relu1_1", "relu2_1"])
    slopes = [torch.ones_like(maps) for maps in found.values()]
    torch.autograd.grad(list(found.values()), leaf, slopes)
    assert all(slope.equal(torch.ones_like(slope)) for slope in slopes)


def test_a_second_derivative_is_refused_not_wrong(small_network, picture):
    leaf = picture().requires_grad_()
    total = small_network().features(leaf, ["relu2_1"])["relu2_1"].square().sum()
    (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (32, 32)])
def test_an_image_of_another_shape_is_refused(shape, small_network):
    with pytest.raises(ShapeError, match=r"expected an image \(B, 3, H, W\), got") as raised:
        small_network().features(torch.rand(shape), ["relu1_1"])
    assert str(shape) in str(raised.value)


def test_an_image_of_whole_numbers_is_refused(small_network):
    image = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ShapeError, match=r"expected .* floats in \[0, 1\], got torch.uint8"):
        small_network().features(image, ["relu1_1"])


@pytest.mark.parametrize(
    ("layer", "side_px"), [("relu2_1", 2), ("relu5_1", 16), ("pool5", 32), ("pool1", 2)]
)
def test_an_image_too_small_for_the_layer_is_refused(layer, side_px, small_network, picture):
    found = small_network().features(picture(side_px, side_px), [layer])[layer]
    assert found.shape[-2:] == (1, 1)
    message = (
        rf"expected an image of at least {side_px} x {side_px} pixels .* got 40 x {side_px - 1}"
    )
    with pytest.raises(ShapeError, match=message):
        small_network().features(picture(side_px - 1, 40), ["relu1_1", layer])


def test_an_unknown_layer_is_refused(small_network, picture):
    with pytest.raises(SettingsError, match="vgg19 has it"):
        small_network().features(picture(), ["relu3_4"])


def test_weights_that_end_before_the_layer_are_refused(small_parameters, picture):
    shallow = {
        name: value
        for name, value in small_parameters["vgg16"].items()
        if name.startswith(("conv1", "conv2"))
    }
    ours = VGGFeatures(shallow, dtype=torch.float64)
    assert ours.features(picture(), ["relu2_2"])["relu2_2"].shape[1] == 5
    with pytest.raises(WeightsError, match=r"expected weights of conv3_1 .* relu4_1"):
        ours.features(picture(), ["relu4_1"])


# The square root of the mean square of each layer's response to the bundled dancer.
REAL_RESPONSES = {
    "conv1_1": 1.2463,
    "relu1_1": 0.77639,
    "relu2_1": 2.2518,
    "relu3_1": 4.5819,
    "relu4_1": 5.7610,
    "relu4_2": 4.5689,
    "relu5_1": 3.5015,
    "conv5_3": 9.8627,
    "pool5": 1.5219,
}


@pytest.mark.real
def test_the_real_network_answers_as_recorded(real_network):
    from impasto import images
    from impasto.images import samples

    image = images.resize(images.load(samples.path("content", "dancing")).pixels, 224, 224)
    found = real_network.features(image, list(REAL_RESPONSES))
    responses = {name: maps.square().mean().sqrt().item() for name, maps in found.items()}
    assert responses == pytest.approx(REAL_RESPONSES, rel=1e-3)


@pytest.mark.real
def test_loading_gives_the_network_asked_for(real_network):
    again = models.load(
        "vgg16", dtype=torch.bfloat16, pooling="average", padding="replicate", offline=True
    )
    assert (again.name, again.dtype) == ("vgg16", torch.bfloat16)
    assert (again.pooling, again.padding) == ("average", "replicate")
    assert (real_network.dtype, real_network.pooling) == (torch.float32, "max")
    assert real_network.padding == "zeros"


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_circular_network_knows_no_border(pooling, small_network, plain_features, picture):
    network = small_network(pooling=pooling, padding="circular")
    image = picture(32, 48).requires_grad_()
    names = ["relu1_1", "conv2_2", "pool3", "relu4_1"]
    found = network.features(image, names)
    expected = plain_features(image, pooling=pooling, padding="circular")
    for name in names:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-11)
    ours, plain = (
        torch.autograd.grad(sum(maps[name].square().sum() for name in names), image)[0]
        for maps in (found, expected)
    )
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-11)
    rolled = network.features(torch.roll(image, (8, 16), (2, 3)), ["relu4_1"])["relu4_1"]
    torch.testing.assert_close(rolled, torch.roll(found["relu4_1"], (1, 2), (2, 3)))


def test_the_same_network_with_another_padding(small_network, picture):
    network = small_network(padding="circular")
    image = picture(16, 16)
    other = network.padded("zeros").features(image, ["relu2_1"])["relu2_1"]
    assert other.equal(small_network(padding="zeros").features(image, ["relu2_1"])["relu2_1"])
    assert network.padding == "circular"


def test_the_network_is_a_module(small_network, picture):
    network, image = small_network(), picture()
    maps = network(image, ["relu2_2", "relu3_1"])
    assert network(image, "relu3_1").equal(maps["relu3_1"])
    assert network.features(image, "relu3_1").equal(maps["relu3_1"])
    assert repr(network) == (
        "VGGFeatures('vgg16', dtype=torch.float64, pooling='max', padding='zeros', device='cpu')"
    )
    assert list(network.parameters()) == []


def test_a_state_is_that_of_the_weights_and_can_be_loaded(small_network, small_parameters, picture):
    network, image = small_network(), picture()
    state = network.state_dict()
    assert state.keys() == small_parameters["vgg16"].keys()
    assert all(state[name].equal(value) for name, value in small_parameters["vgg16"].items())
    other = small_network()
    before = other(image, "relu3_1")
    changed = {name: value * 1.1 for name, value in state.items()}
    other.load_state_dict(changed)
    assert not other(image, "relu3_1").equal(before)
    other.load_state_dict(state)
    assert other(image, "relu3_1").equal(before)
    with pytest.raises(RuntimeError, match=r"Missing key.*conv1_1.weight"):
        other.load_state_dict({k: v for k, v in state.items() if k != "conv1_1.weight"})
    with pytest.raises(RuntimeError, match=r"expected the shape \(4, 3, 3, 3\), got \(1,\)"):
        other.load_state_dict({**state, "conv1_1.weight": torch.zeros(1)})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*conv9_9"):
        other.load_state_dict({**state, "conv9_9.weight": torch.zeros(1)})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_converted_network_is_one_of_that_type(dtype, small_network, picture):
    network = torch.nn.Sequential(small_network(padding="replicate")).to(dtype)[0]
    made, image = small_network(dtype=dtype, padding="replicate"), picture().float()
    assert network.dtype == dtype
    assert network(image, "relu3_1").equal(made(image, "relu3_1"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_network_is_copied_and_pickled(dtype, small_network, picture):
    network, image = small_network(dtype=dtype), picture().float()
    maps = network(image, "relu4_1")
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert other is not network
        assert other(image, "relu4_1").equal(maps)


def test_what_the_backward_pass_cannot_do_is_said(small_network, picture):
    network, image = small_network(), picture().requires_grad_()
    loss = network(image, "relu2_1").square().sum()
    (gradient,) = torch.autograd.grad(loss, image, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
    with pytest.raises(ImpastoError, match=r"a transform of torch\.func"):
        torch.func.grad(lambda pixels: network(pixels, "relu2_1").sum())(image.detach())

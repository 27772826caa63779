"""The network in eight bits against the same network in float64: maps, gradients, codes."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from impasto.compute.device import has_native_int8
from impasto.compute.distributed import ALONE, Ranks
from impasto.models import int8
from impasto.models.codes import Codes, encode_features, encode_gradient
from impasto.models.int8 import Int8Pass, Ranges

pytestmark = pytest.mark.skipif(
    not (int8.has_operator() and has_native_int8(torch.device("cpu"))),
    reason="needs a CPU with AVX512-VNNI or AMX, and a torch with convolutions of eight bits",
)
RELUS = ("relu1_1", "relu2_1", "relu3_1", "relu4_2")
SCALE = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_2": 4.0}


@pytest.fixture(scope="module")
def networks(small_network):
    """``networks(**options)``: one of 16 bits, which computes in 8, too, and a wide one."""

    def make(**options):
        return (
            small_network(dtype=torch.bfloat16, **options),
            small_network(dtype=torch.float64, **options),
        )

    return make


def evaluate(network, image, names, eight=None, *, keep_gradients=True):
    """The maps, and the gradient of a sum with a fixed weight for each of their values."""
    leaf = image.detach().clone().requires_grad_()
    maps = network.features(leaf, names, keep_gradients=keep_gradients, int8=eight)
    total = 0.0
    for place, (name, features) in enumerate(maps.items()):
        generator = torch.Generator().manual_seed(place)
        weights = torch.randn(features.shape, dtype=torch.float64, generator=generator)
        total = total + SCALE.get(name, 1.0) * (weights.to(features) * features).sum().double()
    (gradient,) = torch.autograd.grad(total, leaf)
    return {name: features.detach().double() for name, features in maps.items()}, gradient.double()


def measured(network, image, names):
    recording = Ranges()
    evaluate(network, image, names, Int8Pass(recording=recording))
    return recording


def alike(found, expected):
    return float(cosine_similarity(found.flatten(), expected.flatten(), dim=0))


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("size", [(48, 64), (37, 51)])
@pytest.mark.parametrize("padding", ["zeros", "replicate", "circular"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_maps_and_gradient_are_near_those_of_the_wide_network(
    pooling, padding, size, networks, picture
):
    narrow, wide = networks(pooling=pooling, padding=padding)
    image = picture(*size)
    expected, wide_gradient = evaluate(wide, image, RELUS)
    ranges = measured(narrow, image, RELUS)
    found, gradient = evaluate(narrow, image, RELUS, Int8Pass(ranges))
    for name in RELUS:
        assert found[name].shape == expected[name].shape
        assert relative(found[name], expected[name]) < 0.06, name
    # A maximum passes its gradient on to another position when its codes become equal.
    assert alike(gradient, wide_gradient) > (0.99 if pooling == "average" else 0.97)
    # bfloat16 is not exact either: weights of no pattern are the hardest case.
    _, narrow_gradient = evaluate(narrow, image, RELUS)
    assert 1 - alike(gradient, wide_gradient) < 3 * (1 - alike(narrow_gradient, wide_gradient))


def test_maps_before_a_rectifier_and_behind_a_pool_are_given_too(networks, picture):
    narrow, wide = networks()
    names = ("conv1_1", "conv2_2", "relu2_2", "pool2", "conv3_1")
    image = picture(32, 32)
    expected, wide_gradient = evaluate(wide, image, names)
    found, gradient = evaluate(narrow, image, names, Int8Pass(measured(narrow, image, names)))
    assert float(found["conv2_2"].min()) < 0
    for name in names:
        assert relative(found[name], expected[name]) < 0.06, name
    assert alike(gradient, wide_gradient) > 0.97


@pytest.mark.parametrize("names", [("relu1_1",), ("conv1_1",), ("pool1",), ("relu2_2", "pool3")])
def test_any_layer_may_be_the_deepest(names, networks, picture):
    narrow, wide = networks()
    image = picture(32, 24)
    _, expected = evaluate(wide, image, names)
    _, gradient = evaluate(narrow, image, names, Int8Pass(measured(narrow, image, names)))
    assert alike(gradient, expected) > 0.97


def test_gradients_of_the_maps_are_kept_unless_they_may_be_overwritten(networks, picture):
    narrow, _ = networks()
    image, ranges = picture(32, 32), None
    ranges = measured(narrow, image, RELUS)
    leaf = image.clone().requires_grad_()
    maps = narrow.features(leaf, RELUS, int8=Int8Pass(ranges))
    slopes = [torch.ones_like(features) for features in maps.values()]
    torch.autograd.backward(list(maps.values()), slopes)
    assert all(bool((slope == 1).all()) for slope in slopes)
    _, kept = evaluate(narrow, image, RELUS, Int8Pass(ranges))
    _, overwritten = evaluate(narrow, image, RELUS, Int8Pass(ranges), keep_gradients=False)
    assert kept.equal(overwritten)


def test_features_beyond_their_range_are_cut_off_and_counted(networks, picture):
    narrow, _ = networks()
    image = picture(32, 32)
    ranges = measured(narrow, image, RELUS)
    half = Ranges({name: large / 2 for name, large in ranges.features.items()}, ranges.gradients)
    found, _ = evaluate(narrow, image, RELUS, Int8Pass(half))
    # The largest code, not one that began again at 0.
    assert float(found["relu1_1"].max()) == pytest.approx(half.features["conv1_1"], rel=0.01)
    recording = Ranges(limits=half)
    evaluate(narrow, image, RELUS, Int8Pass(recording=recording))
    assert recording.most_beyond() > 0.01
    recording = Ranges(limits=ranges)
    evaluate(narrow, image, RELUS, Int8Pass(recording=recording))
    assert recording.most_beyond() == 0


def test_a_gradient_that_reaches_the_largest_code_gets_a_larger_range(networks, picture):
    narrow, _ = networks()
    image = picture(32, 32)
    ranges = measured(narrow, image, RELUS)
    right = Int8Pass(ranges)
    evaluate(narrow, image, RELUS, right)
    for name, largest in ranges.gradients.items():
        assert right.largest[name] == pytest.approx(largest, rel=0.3), name
    small = Int8Pass(
        Ranges(ranges.features, {name: 0.1 * g for name, g in ranges.gradients.items()})
    )
    evaluate(narrow, image, RELUS, small)
    assert small.largest["conv4_2"] > 3 * small.ranges.gradients["conv4_2"]


def test_saved_maps_are_packed_as_codes(networks, picture):
    narrow, _ = networks()
    image = picture(32, 32)
    eight = Int8Pass(measured(narrow, image, RELUS))
    found = []
    for packs in (False, True):
        leaf = image.clone().requires_grad_()
        if packs:
            with eight.packing():
                maps = narrow.features(leaf, RELUS, int8=eight)
                part = maps["relu2_1"][:, :, 2:9, 3:]
                total = part.float().square().sum() + (part * part).float().sum()
        else:
            maps = narrow.features(leaf, RELUS, int8=eight)
            part = maps["relu2_1"][:, :, 2:9, 3:]
            total = part.float().square().sum() + (part * part).float().sum()
        found.append(torch.autograd.grad(total, leaf)[0])
    assert found[0].equal(found[1])


def test_a_map_of_zeros_has_codes():
    codes = encode_features(torch.zeros(1, 4, 3, 3, dtype=torch.bfloat16), 1e-32)
    assert not codes.values.any()
    assert not Codes(codes.values, 0.1).wide().any()


def test_codes_round_to_the_nearest():
    wide = torch.tensor([0.0, 0.4, 0.6, 127.0, 128.0, 254.0, 255.0, 300.0]).bfloat16()
    codes = encode_features(wide.view(1, 8, 1, 1).clone(), 1.0)
    assert codes.values.flatten().tolist() == [0, 0, 1, 127, 128, 254, 255, 255]
    wide = torch.tensor([-300.0, -127.0, -0.6, -0.4, 0.4, 0.6, 126.0, 300.0]).bfloat16()
    codes = encode_gradient(wide.view(1, 8, 1, 1).clone(), 1.0)
    assert codes.values.flatten().tolist() == [-127, -127, -1, 0, 0, 1, 126, 127]


def test_ranges_of_all_ranks_are_the_largest(monkeypatch):
    ranges = Ranges({"conv1_1": 1.0}, {"conv1_2": 2.0}, beyond={"conv1_1": (1, 10)})
    ranges.combine(("conv1_1", "conv1_2"), ALONE)
    assert ranges.features == {"conv1_1": 1.0}
    others = Ranks(0, 2)
    monkeypatch.setattr(Ranks, "most", lambda self, values: values.clamp_(min=1.5))
    monkeypatch.setattr(Ranks, "add_in_place", lambda self, values: values.mul_(2))
    ranges.combine(("conv1_1", "conv1_2"), others)
    assert ranges.features == {"conv1_1": 1.5, "conv1_2": 1.5}
    assert ranges.gradients == {"conv1_1": 1.5, "conv1_2": 2.0}
    assert ranges.beyond["conv1_1"] == (2, 20)


@pytest.mark.parametrize(
    "broken",
    [
        lambda *inputs: (_ for _ in ()).throw(TypeError("other arguments")),
        lambda *inputs: torch.zeros(1, 2, 3, 3),
    ],
    ids=["other arguments", "wrong sums"],
)
def test_an_operator_that_is_another_is_not_taken(broken, monkeypatch):
    monkeypatch.setattr(int8, "_convolved", broken)
    assert not int8.has_operator.__wrapped__()

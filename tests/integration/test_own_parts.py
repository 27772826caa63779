"""Statistics, networks and loss terms that a program has itself, without a package."""

import copy
import gc
import json

import numpy as np
import pytest
import torch
from examples import histogram_loss, own_network
from torch import nn

import impasto
from impasto.cli.commands import replay
from impasto.config.registry import STATISTICS
from impasto.config.settings import make_settings
from impasto.engine import checkpoint, setup
from impasto.errors import (
    CheckpointError,
    ImageError,
    OutOfMemoryError,
    SettingsError,
    ShapeError,
)
from impasto.job import recipe
from impasto.losses import LayerStatistic
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_targets

# What the example registers must not reach the parameters of other tests.
STATISTICS._own.pop("histograms")
OPTIONS = {
    "size": 48, "coarsest": 32, "iterations": 6, "alpha": 1.0, "beta": 5e4, "threads": 1,
    "palette": 0,
}  # fmt: skip
LAYERS = {"content_layers": "relu2", "style_layers": "relu1,relu3"}


@pytest.fixture
def pictures(picture):
    return picture(48, 40, seed=1).float(), picture(44, 48, seed=2).float()


@pytest.fixture(autouse=True)
def _histograms():
    impasto.register_statistic("histograms", histogram_loss.Histograms)


def region(height, width, style):
    mask = np.zeros((height, width), dtype=np.float32)
    mask[:, width // 2 :] = 1
    return impasto.Region(mask, style)


def falls(painting):
    """Paint; the loss falls at each size."""
    steps = list(painting)
    for scale in {step.scale for step in steps}:
        totals = [step.losses["total"] for step in steps if step.scale == scale]
        assert totals[-1] < totals[0]
    return steps, painting.result


@pytest.mark.usefixtures("job_of")
def test_a_registered_statistic_paints_with_regions_and_pyramid_and_names_its_module(pictures):
    steps, result = falls(
        impasto.iterate(
            *pictures, statistic=histogram_loss.HISTOGRAMS, precision="fp32", style_scale=[1.0],
            region=[region(48, 40, pictures[0])], **OPTIONS,
        )
    )  # fmt: skip
    assert {"style:relu1_1", "style:relu1_1:region1"} <= steps[0].losses.keys()
    assert result.settings.statistic == "histograms"
    (part,) = result.recipe.parts
    assert (part.name, part.package, part.version) == (
        "histograms", "examples.histogram_loss", "unknown",
    )  # fmt: skip
    assert recipe.parse(result.recipe.text(), "'a.png'") == result.recipe


def test_a_recipe_with_a_statistic_that_is_not_registered_is_refused_in_one_line(
    job_of, pictures, paint
):
    text = paint(job_of(statistic="histograms"))[1].recipe.text()
    del STATISTICS._own["histograms"]
    told = "the module examples.histogram_loss, which is not registered here; repeat it in the"
    with pytest.raises(ImageError, match=told):
        recipe.parse(text, "'a.png'")


@pytest.mark.usefixtures("job_of")
def test_another_statistic_under_the_same_name_is_not_taken_for_the_first(pictures):
    class Means(LayerStatistic):
        @staticmethod
        def layer_sum(features, roots):
            return features.float().sum((0, 2, 3))

        @staticmethod
        def layer_distance(target):
            return lambda means: (means - target).square().mean()

    class Squares(Means):
        @staticmethod
        def layer_sum(features, roots):
            return features.float().square().sum((0, 2, 3))

    results = []
    for kind in (Means, Squares, Means):
        impasto.register_statistic("own", kind)
        results.append(
            impasto.style_transfer(*pictures, statistic="own", precision="fp32", **OPTIONS)
        )
    first, other, again = (result.pixels for result in results)
    assert first.equal(again)
    assert not first.equal(other)


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("gram", histogram_loss.Histograms, "'gram', which impasto has itself"),
        ("two words", histogram_loss.Histograms, "one word of letters and digits"),
        ("mine", 3, "a class with the methods sum, distance, got 3"),
        ("mine", dict, "a class with the methods sum, distance"),
    ],
)
def test_what_cannot_be_registered_is_refused(name, part, message):
    with pytest.raises(SettingsError, match=message):
        impasto.register_statistic(name, part)


@pytest.fixture
def painter():
    with impasto.Painter(own_network.SmallNet(6), threads=1) as made:
        yield made


def test_features_of_a_module_and_their_gradients_are_its_own(picture):
    module = own_network.SmallNet(4).double()
    del module.halo_px
    network = impasto.Painter(module)._module
    made = setup.ModuleFeatures(network, torch.device("cpu"))
    image = picture(45, 38).requires_grad_()
    other = image.detach().clone().requires_grad_()
    maps = made.features(image, ("relu3", "conv1"))
    first = module.conv1(other - 0.5)
    deep = module(other)
    torch.testing.assert_close(maps["conv1"], first)
    torch.testing.assert_close(maps["relu3"], deep[..., :11, :9])
    (maps["relu3"].sum() + maps["conv1"].square().sum()).backward()
    (deep.sum() + first.square().sum()).backward()
    torch.testing.assert_close(image.grad, other.grad)


def test_a_module_paints_and_is_named_with_the_hash_of_its_numbers(painter, pictures, tmp_path):
    _, result = falls(painter.iterate(*pictures, region=[region(48, 40, pictures[0])],
                                      **LAYERS, **OPTIONS))  # fmt: skip
    name = result.recipe.settings.network
    assert name.startswith("examples.own_network.SmallNet@")
    assert result.recipe.weights_sha256.startswith(name.partition("@")[2])
    (part,) = result.recipe.parts
    assert (part.option, part.package) == ("network", "examples.own_network")
    assert result.recipe.decisions.precision == "fp32"
    # Strength is measured with it too.
    by_strength = {k: v for k, v in OPTIONS.items() if k not in ("alpha", "beta")}
    measured = painter.style_transfer(*pictures, strength=0.5, **LAYERS, **by_strength)
    assert measured.recipe.decisions.alpha > 0
    # Resumed, it goes on to the same bits.
    painting = painter.iterate(*pictures, **LAYERS, **OPTIONS)
    whole = painter.style_transfer(*pictures, **LAYERS, **OPTIONS)
    for _ in range(4):
        next(painting)
    checkpoint.write(painting.checkpoint(), tmp_path / "kept")
    resumed = painter.iterate(
        *pictures, resume=checkpoint.read(tmp_path / "kept"), **LAYERS, **OPTIONS
    )
    assert len(list(resumed)) == 2
    assert resumed.result.pixels.equal(whole.pixels)


def test_a_recipe_with_a_module_that_is_gone_is_refused_by_its_name(pictures):
    def painted():
        with impasto.Painter(own_network.SmallNet(5), threads=1) as painter:
            return painter.style_transfer(*pictures, **LAYERS, **OPTIONS).recipe.text()

    text = painted()
    gc.collect()
    told = (
        r"the network 'examples\.own_network\.SmallNet@\w{8}' of the module examples\.own_network"
    )
    with pytest.raises(ImageError, match=told):
        recipe.parse(text, "'a.png'")


def test_other_numbers_are_another_network(painter):
    module = own_network.SmallNet(6)
    again = impasto.Painter(module)
    with torch.no_grad():
        module.conv1.weight[0, 0, 0, 0] += 1
    other = impasto.Painter(module)
    names = [one._network for one in (painter, again, other)]
    assert names[0] == names[1] != names[2]


def test_a_module_is_copied(pictures, painter):
    module = own_network.SmallNet(6)
    with impasto.Painter(module, threads=1) as own:
        before = own.style_transfer(*pictures, **LAYERS, **OPTIONS)
        with torch.no_grad():
            module.conv1.weight.zero_()
        assert module.training
        assert own.style_transfer(*pictures, **LAYERS, **OPTIONS).pixels.equal(before.pixels)


def test_a_module_that_declares_halos_is_exact_in_tiles(picture):
    with impasto.Painter(own_network.SmallNet(6).double()) as painter:
        network = setup.ModuleFeatures(painter._module, torch.device("cpu"))
        settings = make_settings(network=network.name, alpha=1, beta=1e4, **LAYERS)
    image, content = picture(75, 90, seed=1), picture(75, 90, seed=2)
    made = [
        Objective(
            network,
            Targets(
                content_targets(network, content, settings, tile_px=tile_px),
                style_targets(network, [picture(60, 50, seed=3)], settings, tile_px=tile_px),
            ),
            settings,
            tile_px=tile_px,
        ).evaluate(image)
        for tile_px in (None, 16, 36)
    ]
    for tiled in made[1:]:
        torch.testing.assert_close(tiled.total, made[0].total)
        torch.testing.assert_close(tiled.gradient, made[0].gradient)


def test_a_module_that_does_not_is_refused_in_tiles(picture):
    module = own_network.SmallNet(6)
    del module.halo_px
    pictures = picture(300, 300, seed=1).float(), picture(300, 300, seed=2).float()
    options = {**LAYERS, **OPTIONS, "size": 300, "coarsest": 300, "iterations": 1}
    with impasto.Painter(module, threads=1) as painter:
        with pytest.raises(OutOfMemoryError, match=r"network 'examples\.own_network\.SmallNet@"):
            painter.style_transfer(*pictures, memory=2**20, **options)
        painter.style_transfer(*pictures, **{**options, "size": 64, "coarsest": 64})


class Fails(nn.Module):
    def forward(self, image):
        return image.view(3, 5)


class Inplace(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, image):
        return self.relu(self.conv(image))


def test_an_inplace_rectifier_does_not_overwrite_the_layer_before_it(picture):
    module = Inplace().double()
    spec = impasto.Painter(module)._module
    image = picture(20, 20)
    maps = setup.ModuleFeatures(spec, torch.device("cpu")).features(image, ("conv", "relu"))
    torch.testing.assert_close(maps["conv"], copy.deepcopy(module).conv(image))
    assert maps["conv"].min() < 0 <= maps["relu"].min()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: impasto.Painter(Fails()),
            "a module that takes images .* got Fails, which fails",
        ),
        (lambda p: impasto.Painter(nn.Identity()), "a module with named layers whose output"),
        (lambda p: impasto.Painter(own_network.SmallNet(4), weights="w.pth"), "weights: expected"),
        (
            lambda p: impasto.Painter(own_network.SmallNet(4)).style_transfer(
                *p, **{**LAYERS, "content_layers": "relu4_2"}
            ),
            "no layer 'relu4_2': vgg16 has it",
        ),
        (
            lambda p: impasto.Painter(own_network.SmallNet(4)).style(p[1], seamless=True, **LAYERS),
            "seamless: expected it only with impasto's own networks",
        ),
    ],
)
def test_a_module_that_cannot_serve_is_refused(pictures, call, message):
    with pytest.raises(SettingsError, match=message):
        call(pictures)


def darkness(pixels, features):
    return pixels.mean()


def test_a_loss_term_draws_the_picture_and_is_recorded(job_of, paint, tmp_path):
    job = job_of(terms={"dark": impasto.LossTerm(darkness, weight=1e4)}, palette=0)
    steps, result = paint(job)
    without = paint(job_of(palette=0))[1]
    assert result.pixels.mean() < without.pixels.mean() - 0.01
    assert "own:dark" in steps[0].losses
    (term,) = result.recipe.terms
    assert (term.name, term.weight, term.version) == ("dark", 1e4, "unknown")
    assert term.function.endswith("test_own_parts:darkness")
    painted = recipe.parse(result.recipe.text(), "'a.png'")
    with pytest.raises(SettingsError, match=r"loss term 'dark' .* which a command cannot have"):
        replay.make_job(painted, content=None, styles=[], start=None, runtime={})
    kept = paint_some(job, 3, tmp_path / "kept")
    assert paint(job, resume=kept)[1].pixels.equal(result.pixels)
    with pytest.raises(CheckpointError):
        paint(job_of(palette=0), resume=kept)


def paint_some(job, steps, path):
    painting = impasto.iterate(job)
    for _ in range(steps):
        next(painting)
    checkpoint.write(painting.checkpoint(), path)
    return checkpoint.read(path)


def test_a_recipe_without_terms_is_read_as_one_with_none(job_of, paint):
    fields = json.loads(paint(job_of(iterations=1))[1].recipe.text())
    del fields["terms"]
    assert recipe.parse(json.dumps(fields), "'a.png'").terms == ()


def test_the_gradient_of_a_loss_term_is_that_of_autograd_and_adds_up_over_tiles(
    small_network, picture
):
    def energy(pixels, features):
        return pixels.square().sum() + features["relu2_1"].square().sum()

    network, image = small_network(), picture(64, 96)
    term = impasto.LossTerm(energy, weight=3.0, layers=("relu2_1",), additive=True)
    settings = make_settings(alpha=0.0, beta=0.0, total_variation=0.0)
    whole, tiled = (
        Objective(network, Targets({}, {}), settings, own={"energy": term}, tile_px=tile_px)
        .evaluate(image) for tile_px in (None, 32)
    )  # fmt: skip
    leaf = image.clone().requires_grad_()
    wanted = 3.0 * energy(leaf, network.features(leaf, ["relu2_1"])) / (64 * 96)
    wanted.backward()
    torch.testing.assert_close(whole.total, wanted.detach())
    torch.testing.assert_close(whole.gradient, leaf.grad)
    torch.testing.assert_close(tiled.total, whole.total)
    torch.testing.assert_close(tiled.gradient, whole.gradient)
    alone = Objective(
        network, Targets({}, {}), settings,
        own={"energy": impasto.LossTerm(energy, layers=("relu2_1",))},
    )  # fmt: skip
    assert alone.evaluate(image).total > 0
    with pytest.raises(SettingsError, match="expected a picture held whole"):
        Objective(
            network, Targets({}, {}), settings, tile_px=32,
            own={"energy": impasto.LossTerm(energy, layers=("relu2_1",))},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        ({"a": lambda pixels, features: 3}, ShapeError, "expected a to return a scalar .* got int"),
        ({"a": lambda pixels, features: pixels}, ShapeError, r"got \(1, 3,"),
        ({"a b": darkness}, SettingsError, "names of letters"),
        ({"a": 3}, SettingsError, "function: expected a function of pixels and features, got 3"),
        ([darkness], SettingsError, "a mapping from names to functions"),
        (
            {"a": impasto.LossTerm(darkness, layers=("relu9_9",))},
            SettingsError,
            "no layer 'relu9_9'",
        ),
    ],
)
def test_a_wrong_term_is_refused(job_of, paint, terms, error, message):
    with pytest.raises(error, match=message):
        paint(job_of(terms=terms))


def test_the_layers_of_a_term_are_read(job_of, paint):
    def sparse(pixels, features):
        return features["relu3_1"].abs().mean()

    term = impasto.LossTerm(sparse, weight=100.0, layers=("relu3_1",))
    steps, _ = paint(job_of(terms={"sparse": term}, style_layers="relu1_1"))
    assert steps[-1].losses["own:sparse"] > 0

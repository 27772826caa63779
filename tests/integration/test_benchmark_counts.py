"""What the benchmarks count and compare with is itself right."""

import pytest
import torch
from benchmarks.suite import reference, steps
from benchmarks.suite.steps import step_gflop

from impasto.config.settings import Settings
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, style_targets
from impasto.models.vgg import VGGFeatures
from impasto.planning import synthetic
from impasto.planning.plan import ComputePlan

CPU = torch.device("cpu")


def test_a_convolution_is_counted_forward_and_back():
    # 3 -> 64 channels, 9 taps, a product and a sum, twice; 10 x 20 positions.
    assert step_gflop("vgg16", ["conv1_1"], 10, 20) * 1e9 == 2 * 2 * 9 * 3 * 64 * 200


def test_a_step_with_every_motif_at_512_pixels_is_301_gflop():
    settings = Settings(motifs=1)
    layers = [*settings.content_layers, *settings.layers_of_style]
    assert step_gflop("vgg16", layers, 512, 512) == pytest.approx(301.4, abs=0.05)


def test_the_plain_network_is_the_network_by_hand():
    layers = ["conv1_2", "pool1", "relu2_1"]
    parameters = synthetic.seeded_parameters("vgg16", layers)
    image = synthetic.seeded_picture(20, 24, seed=1)
    plain = reference.plain_features(parameters, "vgg16", image, layers)
    ours = VGGFeatures(parameters, "vgg16").features(image, layers)
    for name in layers:
        torch.testing.assert_close(plain[name], ours[name], rtol=1e-4, atol=1e-4)


def test_the_plain_step_descends_what_ours_does():
    # Of style at one layer alone, two weights give parallel gradients.
    settings = Settings(alpha=0, style_layers="relu1_1", content_layers="relu1_1")
    settings = settings.model_copy(update={"padding": "zeros", "total_variation": 0})
    parameters = synthetic.seeded_parameters("vgg16", ["relu1_1"])
    style, image = (synthetic.seeded_picture(16, 16, seed) for seed in (1, 2))
    plain = reference.PlainStep(parameters, ComputePlan(CPU, torch.float32), settings, 16)
    plain._P = reference.plain_features(parameters, "vgg16", image, ["relu1_1"])
    network = VGGFeatures(parameters, "vgg16")
    targets = Targets({}, style_targets(network, [style], settings))
    ours = Objective(network, targets, settings).evaluate(image).gradient
    cosine = torch.nn.functional.cosine_similarity(ours.flatten(), plain.run().flatten(), dim=0)
    assert cosine > 0.9999


def test_the_notebook_paints():
    content, style = (synthetic.seeded_picture(16, 16, seed) for seed in (1, 2))
    counted = []
    picture = reference.notebook(content, style, 3, lambda: counted.append(1))
    assert len(counted) == 3
    assert picture.shape == content.shape
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert not picture.equal(content)


def test_growth_is_a_time_for_each_megapixel():
    (row,) = steps.measure_growth({"fp32": ComputePlan(CPU, torch.float32)}, [0.001], repeats=1)
    assert (row.size_px, row.megapixels) == (32, 32 * 32 / 1e6)
    assert row.s_per_megapixel == row.time_s / row.megapixels

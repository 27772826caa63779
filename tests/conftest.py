"""What several tests need: a small seeded VGG, the same written plainly, and a whole one."""

import math

import pytest
import torch
import torch.nn.functional as F

from impasto import api, models, weights
from impasto.config.networks import architecture
from impasto.engine.painting import iterate
from impasto.weights import formats

MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
CHANNELS_PER_BLOCK = (4, 5, 6, 7, 8)


def seeded_parameters(name):
    """A few channels a layer, scaled (He et al., 2015) so that signals live to the last."""
    generator = torch.Generator().manual_seed(16)
    parameters = {}
    channels_in = 3
    for layer in architecture(name):
        if layer.kind != "conv":
            continue
        channels = CHANNELS_PER_BLOCK[layer.block - 1]
        weight = torch.randn(channels, channels_in, 3, 3, dtype=torch.float64, generator=generator)
        parameters[f"{layer.name}.weight"] = weight * math.sqrt(2 / (9 * channels_in))
        parameters[f"{layer.name}.bias"] = 0.1 * torch.randn(
            channels, dtype=torch.float64, generator=generator
        )
        channels_in = channels
    return parameters


@pytest.fixture(scope="session")
def small_parameters():
    """``small_parameters[name]``: float64 weights and biases, in torchvision's order of axes."""
    return {name: seeded_parameters(name) for name in ("vgg16", "vgg19")}


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory):
    """A weights file of VGG-16's shapes, seeded and scaled as He et al. (2015) do."""
    generator = torch.Generator().manual_seed(16)
    tensors = {
        name: torch.randn(shape, generator=generator) * math.sqrt(2 / (9 * shape[1]))
        if name.endswith("weight")
        else 0.1 * torch.randn(shape, generator=generator)
        for name, shape in formats.shapes("vgg16").items()
    }
    path = tmp_path_factory.mktemp("weights") / "seeded.safetensors"
    path.write_bytes(formats.encode(tensors))
    return path


@pytest.fixture(scope="session")
def small_network(small_parameters):
    """``small_network(name, dtype=, pooling=, padding=, device=)``: a VGG of few channels."""

    def make(name="vgg16", *, dtype=torch.float64, **options):
        return models.Network(small_parameters[name], name, dtype=dtype, **options)

    return make


@pytest.fixture(scope="session")
def plain_features(small_parameters):
    """The small network's features as torchvision would compute them, by plain autograd."""

    def compute(image, name="vgg16", *, pooling="max", padding="zeros"):
        found = {}
        features = (image - MEAN.to(image)) / STD.to(image)
        for layer in architecture(name):
            if layer.kind == "conv":
                weight = small_parameters[name][f"{layer.name}.weight"].to(image)
                bias = small_parameters[name][f"{layer.name}.bias"].to(image)
                if padding == "circular" or (layer.name == "conv1_1" and padding == "replicate"):
                    features = F.pad(features, (1, 1, 1, 1), mode=padding)
                    features = F.conv2d(features, weight, bias)
                else:
                    features = F.conv2d(features, weight, bias, padding=1)
            elif layer.kind == "relu":
                features = F.relu(features)
            elif pooling == "max":
                features = F.max_pool2d(features, 2)
            else:
                features = F.avg_pool2d(features, 2)
            found[layer.name] = features
            if min(features.shape[-2:]) < 2 and layer.kind == "pool":
                break
        return found

    return compute


@pytest.fixture(scope="session")
def picture():
    """``picture(height, width)``: seeded pixels of [0, 1], smooth enough to have content."""

    def make(height=33, width=37, *, batch=1, seed=0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(batch, 3, 6, 6, dtype=torch.float64, generator=generator)
        smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")
        grain = torch.rand(batch, 3, height, width, dtype=torch.float64, generator=generator)
        return (0.7 * smooth + 0.3 * grain).to(dtype)

    return make


@pytest.fixture(scope="session")
def real_network():
    """VGG-16 with its real weights, from wherever this machine keeps them; never fetched here."""
    return models.load("vgg16", offline=True)


@pytest.fixture
def job_of(small_network, picture, monkeypatch):
    """``job_of(mode, **options)``: a job of two sizes, painted by the small network."""

    def load(name, *, dtype, pooling, padding, device, **_):
        return small_network(name, dtype=dtype, pooling=pooling, padding=padding, device=device)

    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(weights, "sha256", lambda *_, **__: "0" * 64)

    def make(mode="style_transfer", *, painting=2, **options):
        options = {"size": 48, "coarsest": 32, "iterations": 12, "precision": "fp32"} | options
        if "strength" not in options:
            options = {"alpha": 1.0, "beta": 5e4} | options
        content = None if mode == "style" else picture(48, 40, seed=1).float()
        styles = [picture(40, 44, seed=seed).float() for seed in (painting, 3)]
        return api.make_job(
            mode, content, () if mode == "content" else styles, threads=1, **options
        )

    return make


@pytest.fixture(scope="session")
def paint():
    """``paint(job, **options)``: all Steps of a job, and its Result."""

    def run(job, **options):
        painting, steps = iterate(job, **options), []
        while True:
            try:
                steps.append(next(painting))
            except StopIteration as end:
                return steps, end.value

    return run

"""What several tests need: a small seeded VGG, the same written plainly, and a whole one."""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tests.forkserver import ForkServer

from impasto import api, models, weights
from impasto.cli.app import run
from impasto.config.networks import network_spec
from impasto.config.registry import STATISTICS
from impasto.engine.painting import iterate
from impasto.images import palette
from impasto.planning import plan
from impasto.weights import formats

pytest_plugins = ["tests.films"]

MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
CHANNELS_PER_BLOCK = (4, 5, 6, 7, 8)
# At the sizes of tests, several threads only wait for each other.
torch.set_num_threads(1)


def seeded_parameters(name):
    """A few channels a layer, scaled (He et al., 2015) so that signals live to the last."""
    generator = torch.Generator().manual_seed(16)
    parameters = {}
    channels_in = 3
    for layer in network_spec(name).layers:
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


@pytest.fixture(autouse=True)
def _nothing_kept():
    """What a test has loaded, replaced or registered is not kept for the next."""
    STATISTICS._own.clear()  # examples register theirs when they are imported
    yield
    STATISTICS._own.clear()
    api.release()
    plan._fastest.cache_clear()


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
        return models.VGGFeatures(small_parameters[name], name, dtype=dtype, **options)

    return make


@pytest.fixture(scope="session")
def plain_features(small_parameters):
    """The small network's features as torchvision would compute them, by plain autograd."""

    def compute(image, name="vgg16", *, pooling="max", padding="zeros"):
        found = {}
        features = (image - MEAN.to(image)) / STD.to(image)
        for layer in network_spec(name).layers:
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
    # A small painting would spend half its time on the other sixteen.
    rotations = palette._rotations()[:8]
    monkeypatch.setattr(palette, "_rotations", lambda: rotations)

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


def paint_picture(height, width, seed, mode="RGB"):
    """Seeded blots of colour: something to repaint, and something to learn from."""
    channels = len(mode)
    blots = np.random.default_rng(seed).integers(0, 256, (7, 7, channels), dtype=np.uint8)
    return Image.fromarray(blots, mode).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that the command works in: a photograph, two paintings, and no cache."""
    paint_picture(72, 96, seed=1).save(tmp_path / "photograph.png")
    paint_picture(80, 64, seed=2).save(tmp_path / "painting.png")
    paint_picture(64, 64, seed=3).save(tmp_path / "other.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IMPASTO_WEIGHTS_VGG16", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@dataclass(frozen=True)
class Outcome:
    """How the command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def quick(weights_file):
    """Options of a painting that takes a moment: two sizes, four iterations, no trials first."""
    return [
        *("--weights", str(weights_file), "--size=48", "--coarsest=32", "--iterations=4"),
        *("--alpha=1", "--beta=5e4"),
    ]


@pytest.fixture
def quick_at_a_strength(quick):
    """The same, with the strength found by trials; its default, where no other is named."""
    return quick[:-2]


@pytest.fixture
def impasto(folder, capfd, monkeypatch):
    """``impasto(*words)``: the command in this process, in ``folder``."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def call(*words, run=run):
        capfd.readouterr()
        try:
            run([str(word) for word in words])
        except SystemExit as end:
            out, err = capfd.readouterr()
            return Outcome(end.code or 0, out, err)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    return call


@pytest.fixture(scope="session")
def fork_server():
    """Starts the command in processes that need not import torch."""
    with tempfile.TemporaryDirectory() as folder:
        server = ForkServer(Path(folder) / "socket")
        yield server
        server.close()


@pytest.fixture
def start_process(folder, fork_server):
    """``start_process(*words, first="")``: the command as a process, after some Python code.

    Where code runs first, even the imports are its own.
    """
    started = []

    def start(*words, first="", **options):
        options = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        options |= {"cwd": folder, "env": os.environ | {"PYTHONUNBUFFERED": "1"}}
        if first:
            code = f"{first}\nfrom impasto.cli.app import run\nrun()"
            words = [sys.executable, "-c", code, *map(str, words)]
            process = subprocess.Popen(words, **options)
        else:
            process = fork_server.start(words, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_process(start_process):
    """``run_process(*words)``: the command as a process, to its end."""

    def call(*words, **options):
        process = start_process(*words, **options)
        out, err = process.communicate(timeout=120)
        return Outcome(process.returncode, out, err)

    return call


@pytest.fixture
def jobs_file(folder, weights_file):
    """``jobs_file(*words, **options)``: a file of jobs, each a painting that takes a moment."""

    def write(*jobs, **options):
        common = {
            "weights": str(weights_file),
            "threads": 1,
            "size": 48,
            "coarsest": 32,
            "iterations": 4,
            "style_layers": "relu1_1,relu3_1",
            "content_layers": "relu2_2",
            # Given, they need not be measured first.
            "alpha": 1,
            "beta": 1e4,
            "content": "photograph.png",
            "style": "painting.png",
            **options,
        }
        lines = [
            json.dumps({"output": f"{number}.png", **common, **job})
            for number, job in enumerate(jobs)
        ]
        (folder / "jobs.jsonl").write_text("\n".join(lines))
        return "jobs.jsonl"

    return write


@pytest.fixture
def states(folder):
    """``states(output)``: what the journal of the jobs' file says of an output, in order."""

    def read(output, journal="jobs.journal.jsonl"):
        lines = [json.loads(line) for line in (folder / journal).read_text().splitlines() if line]
        return [line["state"] for line in lines if line.get("output") == output]

    return read

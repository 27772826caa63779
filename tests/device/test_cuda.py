"""What is computed on a CUDA device is what the processor computes, recorded or not."""

import pytest
import torch

from impasto.compute.cuda_graph import CudaGraph
from impasto.config.settings import make_settings
from impasto.engine import checkpoint
from impasto.engine.painting import iterate
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_targets
from impasto.models import pooling as pooling_module
from impasto.optim.preconditioner import Preconditioner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LAYERS = {
    "content_layers": "relu2_2,conv3_1=2",
    "style_layers": "relu1_1=4,relu2_1=2,conv2_2,pool2,relu3_1",
}


@pytest.fixture(autouse=True)
def exact():
    """Float32 is float32 here: by torch's default its convolutions have ten bits."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture
def objective_on(small_network, picture):
    """``objective_on(device, **options)``: the same objective on any device."""

    def make(device, *, size=(45, 58), tile_px=None, pooling="max", padding="replicate",
             dtype=torch.float64, **options):  # fmt: skip
        settings = make_settings(**{**LAYERS, "beta": 100.0, "total_variation": 3.0, **options})
        ours = small_network(pooling=pooling, padding=padding, dtype=dtype, device=device)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        content = picture(*size, seed=5, dtype=wide).to(device)
        style = picture(41, 34, seed=6, dtype=wide).to(device)
        targets = Targets(
            content_targets(ours, content, settings), style_targets(ours, [style], settings)
        )
        return Objective(ours, targets, settings, tile_px=tile_px)

    return make


@pytest.mark.parametrize("statistic", ["gram", "moments", "gram+mean+std"])
@pytest.mark.parametrize("padding", ["replicate", "zeros", "circular"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_gradient_is_the_processors(pooling, padding, statistic, objective_on, picture):
    options = {"pooling": pooling, "padding": padding, "statistic": statistic}
    image = picture(48, 64, seed=8)
    options["size"] = (48, 64)
    wanted = objective_on(CPU, **options).evaluate(image)
    ours = objective_on(CUDA, **options)
    for _ in range(3):  # as it is, recorded, and played again
        found = ours.evaluate(image.to(CUDA))
        torch.testing.assert_close(found.gradient.cpu(), wanted.gradient, rtol=1e-8, atol=1e-12)
        assert found.values() == pytest.approx(wanted.values(), rel=1e-10)


@pytest.mark.parametrize("padding", ["replicate", "zeros", "circular"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_in_narrower_types_it_is_as_near_as_the_processors(dtype, padding, objective_on, picture):
    image, options = picture(48, 64, seed=8), {"padding": padding, "size": (48, 64)}
    exact = objective_on(CPU, **options).evaluate(image).gradient
    errors = [
        objective_on(device, dtype=dtype, **options)
        .evaluate(image.to(device, torch.float32))
        .gradient.cpu()
        .sub(exact)
        .norm()
        / exact.norm()
        for device in (CPU, CUDA)
    ]
    assert errors[1] < 1.5 * errors[0] + 1e-6


def test_a_recording_plays_on_other_images_and_leaves_what_it_gave(objective_on, picture):
    ours = objective_on(CUDA)
    images = [picture(45, 58, seed=seed).to(CUDA) for seed in range(4)]
    found = [ours.evaluate(image) for image in images]
    for image, evaluation in zip(images, found, strict=True):
        wanted = objective_on(CPU).evaluate(image.cpu())
        torch.testing.assert_close(evaluation.gradient.cpu(), wanted.gradient)
        assert evaluation.values() == pytest.approx(wanted.values())


def test_only_what_stays_on_the_device_and_is_held_whole_is_recorded(
    objective_on, picture, monkeypatch
):
    played = []
    play = CudaGraph.play
    monkeypatch.setattr(CudaGraph, "play", lambda *given: played.append(given) or play(*given))
    image = picture(45, 58, seed=8).to(CUDA)
    objective_on(CUDA, statistic="moments").evaluate(image)
    objective_on(CUDA, tile_px=32).evaluate(image)
    assert not played
    objective_on(CUDA).evaluate(image)
    assert len(played) == 1


def test_tiles_are_exact(objective_on, picture):
    image = picture(90, 75, seed=8).to(CUDA)
    whole = objective_on(CUDA, size=(90, 75)).evaluate(image)
    tiles = objective_on(CUDA, size=(90, 75), tile_px=32).evaluate(image)
    torch.testing.assert_close(tiles.gradient, whole.gradient, rtol=1e-9, atol=1e-12)
    assert tiles.values() == pytest.approx(whole.values(), rel=1e-9)


def test_the_metric_is_the_processors():
    values = torch.randn(3 * 31 * 40, generator=torch.Generator().manual_seed(0))
    there = values.to(CUDA)
    metric, metric_there = (Preconditioner(torch.Size((1, 3, 31, 40))) for _ in range(2))
    metric.apply(values)
    metric_there.apply(there)
    torch.testing.assert_close(there.cpu(), values)


@pytest.mark.parametrize("mode", ["style_transfer", "content", "style"])
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_painting_is_the_processors(mode, optimiser, job_of, paint):
    here, there = (
        paint(job_of(mode, optimiser=optimiser, device=device))[0] for device in ("cpu", "cuda")
    )
    # Rounding parts the two further at every step.
    for place in (0, 1, 2, 5, 11):
        wanted = here[place].losses["total"]
        assert there[place].losses["total"] == pytest.approx(wanted, rel=1e-3 * (1 + place))


def test_it_goes_on_from_a_checkpoint_to_the_same_picture(job_of, tmp_path, paint):
    job = job_of(device="cuda")
    _, whole = paint(job)
    painting = iterate(job)
    for _ in range(5):
        next(painting)
    checkpoint.write(painting.checkpoint(), tmp_path / "kept")
    painting.close()
    _, resumed = paint(job, resume=checkpoint.read(tmp_path / "kept"))
    torch.testing.assert_close(resumed.pixels, whole.pixels, rtol=0, atol=2 / 255)


def test_where_the_device_runs_out_of_memory_it_goes_on_in_tiles(job_of):
    job = job_of(size=1600, coarsest=1600, iterations=4, device="cuda")
    painting = iterate(job)
    torch.cuda.reset_peak_memory_stats()
    next(painting)
    torch.cuda.empty_cache()
    held, total = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[1]
    room = held + 0.6 * (torch.cuda.max_memory_allocated() - held)
    try:
        torch.cuda.set_per_process_memory_fraction(room / total)
        step = next(painting)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "memory ran out after 1 steps: the painting goes on in tiles" in step.notes[0]
    assert next(painting).losses["total"] < step.losses["total"] * 1.5


@pytest.mark.parametrize("size", [(33, 40), (16, 17), (2, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_our_kernels_pool_as_the_processor_does(dtype, size):
    generator = torch.Generator().manual_seed(0)
    # Few values: the largest of four is often among them twice.
    features = torch.randint(0, 4, (2, 24, *size), generator=generator).to(dtype)
    features = features.contiguous(memory_format=torch.channels_last)
    pooled = pooling_module.pool(features, "max")
    gradient = torch.randn(pooled.shape, generator=generator).to(dtype)
    wanted = pooling_module.pool_backward(gradient, features, pooled, "max")
    assert pooling_module._kernels_for(features.to(CUDA)) is not None
    found = pooling_module.pool(features.to(CUDA), "max")
    assert found.cpu().equal(pooled)
    back = pooling_module.pool_backward(gradient.to(CUDA), features.to(CUDA), found, "max")
    assert back.cpu().equal(wanted)


def test_without_triton_the_built_in_operations_do_it(monkeypatch, objective_on, picture):
    image = picture(45, 58, seed=8).to(CUDA)
    wanted = objective_on(CUDA).evaluate(image).gradient
    monkeypatch.setattr(pooling_module, "_kernels", lambda device: None)
    torch.testing.assert_close(objective_on(CUDA).evaluate(image).gradient, wanted)

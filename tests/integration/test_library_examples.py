"""The scripts in examples/ that use impasto as a library, and one of them as a package."""

import asyncio
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import impasto
from impasto.losses.style import make_statistic

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = {
    "size": 32, "coarsest": 32, "iterations": 4, "alpha": 1.0, "beta": 5e4, "precision": "fp32",
    "threads": 1, "palette": 0,
}  # fmt: skip
TYPED = [
    "histogram_loss.py", "own_network.py", "step_by_step.py", "serve_asyncio.py",
    "serve_fastapi.py", "cross_layer/impasto_cross_layer.py",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _histograms():
    from examples import histogram_loss

    impasto.register_statistic("histograms", histogram_loss.Histograms)


@pytest.fixture
def pictures(job_of, folder):
    return "photograph.png", "painting.png"


@pytest.mark.parametrize("name", ["histogram_loss", "own_network", "step_by_step"])
def test_a_script_paints_and_saves(name, pictures):
    script = importlib.import_module(f"examples.{name}")
    options = {k: v for k, v in QUICK.items() if k != "precision" or name != "own_network"}
    result = script.main(*pictures, "out.png", **options)
    with Image.open("out.png") as saved:
        assert saved.size == result.image.size == (32, 24)


def test_asyncio_stays_free_and_can_cancel(pictures):
    from examples import serve_asyncio

    async def both():
        ticks = 0
        task = asyncio.create_task(serve_asyncio.paint(*pictures, **QUICK))
        while not task.done():
            ticks += 1
            await asyncio.sleep(0.001)
        return ticks, await task

    ticks, result = asyncio.run(both())
    assert ticks > 3
    assert len(result.history) == 4

    async def cancelled():
        long = asyncio.create_task(serve_asyncio.paint(*pictures, **{**QUICK, "iterations": 5000}))
        await asyncio.sleep(0.3)
        long.cancel()
        await asyncio.wait([long])
        return long.cancelled()

    assert asyncio.run(cancelled())


def test_fastapi_takes_uploads_and_refuses_what_is_no_picture(pictures, monkeypatch):
    fastapi = pytest.importorskip("fastapi")
    from examples import serve_fastapi

    monkeypatch.setattr(serve_fastapi, "OPTIONS", QUICK)

    def upload(path):
        return fastapi.UploadFile(io.BytesIO(Path(path).read_bytes()), filename=path)

    answer = serve_fastapi.paint(*map(upload, pictures))
    with Image.open(io.BytesIO(answer.body)) as painted:
        assert painted.size == (32, 24)
    assert answer.media_type == "image/png"
    Path("notes.txt").write_text("no picture")
    with pytest.raises(fastapi.HTTPException, match=r"'notes\.txt'") as refused:
        serve_fastapi.paint(*map(upload, ("photograph.png", "notes.txt")))
    assert refused.value.status_code == 422
    assert [route.path for route in serve_fastapi.app.routes if route.path == "/paint"]


def test_the_gradio_page_shows_steps_and_the_result(pictures, monkeypatch):
    pytest.importorskip("gradio")
    from examples import serve_gradio

    iterate = impasto.iterate
    monkeypatch.setattr(impasto, "iterate", lambda *p, strength, size: iterate(*p, **QUICK))
    shown = list(serve_gradio.paint(*pictures, 0.5))
    assert len(shown) == 1


@pytest.mark.heavy
def test_a_package_brings_a_statistic(tmp_path, folder, weights_file):
    packages = tmp_path / "packages"
    build = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
             "--disable-pip-version-check", "--target", packages,
             EXAMPLES / "cross_layer"]  # fmt: skip
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    words = ["transfer", "photograph.png", "painting.png", "-o", "out.png", "--size=48",
             "--coarsest=32", "--iterations=4", "--alpha=1", "--beta=5e4", "--quiet",
             "--statistic=cross-layer", f"--weights={weights_file}"]  # fmt: skip
    paths = [str(packages), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run(
        [sys.executable, "-m", "impasto", *words], check=True, timeout=300, env=environment
    )
    shown = subprocess.run(
        [sys.executable, "-m", "impasto", "recipe", "out.png"],
        check=True, timeout=300, env=environment, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert '"package": "impasto-cross-layer"' in shown
    assert '"version": "0.1"' in shown
    refused = subprocess.run(
        [sys.executable, "-m", "impasto", "recipe", "out.png"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "impasto-cross-layer 0.1, which is not installed here" in refused.stderr


@pytest.fixture
def cross_layer(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "cross_layer"))
    return importlib.import_module("impasto_cross_layer").CrossLayer


def test_cross_layer_sums_add_up_over_parts_and_know_one_answer(cross_layer):
    generator = torch.Generator().manual_seed(0)
    shallow = torch.rand(1, 2, 8, 12, generator=generator, dtype=torch.float64)
    deep = torch.rand(1, 3, 4, 6, generator=generator, dtype=torch.float64)
    statistic = cross_layer(("a", "b"))
    whole = statistic.sum({"a": shallow, "b": deep}, {"a": None, "b": None})
    halves = [
        statistic.sum(
            {"a": shallow[..., 6 * i : 6 * i + 6], "b": deep[..., 3 * i : 3 * i + 3]},
            {"a": None, "b": None},
        )
        for i in range(2)
    ]
    pooled = shallow.reshape(1, 2, 4, 2, 6, 2).mean((3, 5))
    torch.testing.assert_close(whole["b"], torch.einsum("bchw,bdhw->cd", deep, pooled))
    for name, value in whole.items():
        torch.testing.assert_close(halves[0][name] + halves[1][name], value)
    roots = {"a": torch.full((1, 1, 8, 12), 0.5), "b": torch.full((1, 1, 4, 6), 0.5)}
    masked = statistic.sum({"a": shallow, "b": deep}, roots)
    torch.testing.assert_close(masked["b"], whole["b"] / 4)
    assert all(value == 0 for value in statistic.distance(whole)(whole).values())


def test_histograms_are_zero_at_the_target_and_have_autograds_gradient():
    from examples.histogram_loss import HISTOGRAMS, Histograms

    features = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    target = Histograms.layer_sum(features, None) / 81
    shuffled = features.flatten(2)[..., torch.randperm(81)].view_as(features)
    compare = Histograms.layer_distance(target)
    assert compare(Histograms.layer_sum(shuffled, None) / 81) == pytest.approx(0, abs=1e-8)
    # All pixels count twice: the same histogram.
    double = torch.full((1, 1, 9, 9), 2**0.5)
    assert compare(Histograms.layer_sum(features, double) / 162) == pytest.approx(0, abs=1e-8)
    moved = (features + 0.1).requires_grad_()
    loss = compare(Histograms.layer_sum(moved, None) / 81)
    (gradient,) = torch.autograd.grad(loss, moved)
    assert loss > 0.01
    assert (gradient > 0).all()
    assert make_statistic(impasto.Settings(statistic=HISTOGRAMS)).additive is False


@pytest.mark.heavy
def test_the_scripts_are_typed():
    src = EXAMPLES.parent / "src"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", *TYPED],
        cwd=EXAMPLES,
        env={**os.environ, "MYPYPATH": str(src), "MYPY_CACHE_DIR": str(src.parent / ".mypy_cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout

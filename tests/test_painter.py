"""A Painter keeps its network, and iterate, cancel and the like work on it."""

import logging
import os
import subprocess
import sys
import threading

import pytest
import torch

import impasto
from impasto import api, models
from impasto.engine.warm import WarmEngine
from impasto.errors import SettingsError, ShapeError

OPTIONS = {
    "size": 32, "coarsest": 32, "iterations": 3, "alpha": 1.0, "beta": 5e4,
    "precision": "fp32", "threads": 1, "palette": 0,
}  # fmt: skip
CALL = {name: value for name, value in OPTIONS.items() if name != "precision"}


@pytest.fixture
def loads(job_of, monkeypatch):
    """The networks that were loaded, by name; they are small."""
    names, load = [], models.load

    def counted(name, **options):
        names.append(name)
        return load(name, **options)

    monkeypatch.setattr(models, "load", counted)
    return names


@pytest.fixture
def pictures(picture):
    return picture(40, 40, seed=1).float(), picture(36, 36, seed=2).float()


@pytest.fixture
def painter():
    with impasto.Painter(precision="fp32", threads=1) as made:
        yield made


def test_the_functions_load_the_network_once_and_paint_the_same_bits(loads, pictures):
    first, second = (impasto.style_transfer(*pictures, **OPTIONS) for _ in range(2))
    impasto.style(pictures[1], **{**OPTIONS, "alpha": None})
    assert loads == ["vgg16"]
    alone = WarmEngine().paint(api.make_job("style_transfer", *pictures, **OPTIONS))
    assert first.pixels.equal(second.pixels)
    assert first.pixels.equal(alone.pixels)
    assert first.recipe == second.recipe == alone.recipe


TWICE = """
import sys, time
import torch
import impasto
from impasto import api
from impasto.images import samples

pictures = samples.path("content", "chelsea"), samples.path("style", "nocturne")
for _ in range(int(sys.argv[1])):
    began_s = time.process_time()
    result = impasto.style_transfer(*pictures, size=48, iterations=4, threads=1, offline=True)
    print(time.process_time() - began_s, float(result.pixels.double().square().sum()))
"""


@pytest.mark.real
@pytest.mark.heavy
@pytest.mark.usefixtures("real_network")
def test_a_second_call_takes_at_most_a_quarter_and_has_the_bits_of_a_cold_one(tmp_path):
    (tmp_path / "twice.py").write_text(TWICE)

    def calls(count):
        run = subprocess.run(
            [sys.executable, tmp_path / "twice.py", str(count)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return [line.split() for line in run.stdout.splitlines()]

    (first_s, _), (second_s, warm) = calls(2)
    ((_, cold),) = calls(1)
    assert float(second_s) <= float(first_s) / 4
    assert warm == cold


def test_one_network_is_kept(loads, pictures):
    for name in ("vgg16", "vgg19", "vgg19", "vgg16"):
        impasto.style_transfer(*pictures, network=name, **OPTIONS)
    assert loads == ["vgg16", "vgg19", "vgg16"]
    api.release()
    impasto.style_transfer(*pictures, **OPTIONS)
    assert loads[-2:] == ["vgg16", "vgg16"]


def test_another_file_of_weights_at_the_same_path_is_loaded(loads, pictures, tmp_path):
    file = tmp_path / "weights.safetensors"
    for text in ("one", "another", "another"):
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        impasto.style_transfer(*pictures, weights=file, **OPTIONS)
    assert len(loads) == 2


def test_a_painter_has_all_modes_and_loads_once(loads, painter, pictures):
    shared = impasto.style_transfer(*pictures, **OPTIONS)
    loads.clear()
    own = painter.style_transfer(*pictures, **CALL)
    rebuilt = painter.content(pictures[0], **{**CALL, "beta": None})
    texture = painter.style(pictures[1], **{**CALL, "alpha": None})
    stepwise = painter.iterate(*pictures, **CALL)
    assert len(list(stepwise)) == 3
    assert loads == ["vgg16"]
    assert [result.mode for result in (own, rebuilt, texture)] == [
        "style_transfer", "content", "style",
    ]  # fmt: skip
    assert own.pixels.equal(shared.pixels)
    assert stepwise.result.pixels.equal(shared.pixels)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"network": "vgg19"}, "network: expected 'vgg16', which this Painter was made with, got"),
        ({"device": "cuda"}, "device: expected 'auto', which .* got 'cuda'; leave it out, or make"),
        ({"weights": "w.pth"}, "weights: expected None"),
        ({"settings": impasto.Settings(network="vgg19")}, "network: .* got 'vgg19'"),
    ],
)
def test_a_call_for_another_network_or_device_is_refused(painter, pictures, option, message):
    with pytest.raises(SettingsError, match=message):
        painter.style_transfer(*pictures, **option)


def test_a_closed_painter_says_so(loads, pictures):
    with impasto.Painter() as painter:
        painting = painter.iterate(*pictures, **CALL)
    with pytest.raises(ValueError, match="this Painter is closed: expected an open one"):
        painter.content(pictures[0])
    assert "closed" in repr(painter)
    assert len(list(painting)) == 3  # it was under way


def test_a_loop_ends_where_it_is_cancelled_and_has_a_result(loads, pictures):
    painting = impasto.iterate(*pictures, **OPTIONS)
    assert painting.result is None
    for step in painting:
        assert painting.result.pixels.shape == (1, 3, 32, 32)
        if step.step == 2:
            painting.cancel()
    assert step.step == 2
    assert painting.result.recipe.decisions.stopped_after == 2
    assert painting.result.pixels.equal(step.pixels)
    before = impasto.iterate(*pictures, **OPTIONS)
    before.cancel()
    assert (list(before), before.result) == ([], None)


def test_to_cancel_at_the_last_step_is_to_finish(loads, pictures):
    painting = impasto.iterate(*pictures, **OPTIONS)
    for step in painting:
        if step.step == 3:
            painting.cancel()
    assert painting.result.recipe.decisions.stopped_after is None


def test_pixels_of_a_step_are_a_copy(loads, pictures):
    painting = impasto.iterate(*pictures, **OPTIONS)
    step = next(painting)
    pixels = step.pixels
    assert (pixels.dtype, pixels.shape) == (torch.float32, (1, 3, 32, 32))
    pixels.zero_()
    assert step.pixels.max() > 0.1
    assert len(list(painting)) == 2


def test_on_step_may_end_the_painting_and_its_checkpoint_stays(loads, pictures, tmp_path):
    file, seen = tmp_path / "checkpoint", []

    def stop(step):
        seen.append(step.step)
        return step.step < 2

    result = impasto.style_transfer(*pictures, on_step=stop, checkpoint=file, **OPTIONS)
    assert (seen, len(result.history)) == ([1, 2], 2)
    assert file.exists()
    resumed = impasto.style_transfer(*pictures, checkpoint=file, **OPTIONS)
    assert resumed.pixels.equal(impasto.style_transfer(*pictures, **OPTIONS).pixels)
    assert not file.exists()


def test_iterate_takes_a_job_alone(loads, pictures):
    job = impasto.make_job("content", pictures[0], **{**OPTIONS, "beta": None})
    assert len(list(impasto.iterate(job))) == 3
    with pytest.raises(SettingsError, match="size: expected a Job alone"):
        impasto.iterate(job, size=64)
    with pytest.raises(SettingsError, match="style_images: expected a Job alone"):
        impasto.iterate(job, pictures[1])


def test_threads_take_turns_and_paint_the_same(loads, pictures):
    expected = [impasto.style_transfer(*pictures, seed=1, start=start, **OPTIONS).pixels
                for start in ("content", "noise")]  # fmt: skip
    painted, order = [None, None], []
    ready = threading.Barrier(2)

    def work(index, start):
        ready.wait()
        painting = impasto.iterate(*pictures, seed=1, start=start, **{**OPTIONS, "iterations": 3})
        for _ in painting:
            order.append(index)
        painted[index] = painting.result.pixels

    threads = [threading.Thread(target=work, args=one) for one in enumerate(("content", "noise"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(mine.equal(other) for mine, other in zip(painted, expected, strict=True))
    assert len(order) == 6


def test_a_painting_is_cancelled_from_another_thread(loads, pictures):
    painting = impasto.iterate(*pictures, **{**OPTIONS, "iterations": 10_000})
    started = threading.Event()

    def work():
        for _ in painting:
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    painting.cancel()
    thread.join(60)
    assert not thread.is_alive()
    assert 0 < painting.result.recipe.decisions.stopped_after < 10_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_paints_with_a_network_of_its_own(loads, pictures):
    expected = impasto.style_transfer(*pictures, **OPTIONS).pixels
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writer, "w") as answers:
            again = impasto.style_transfer(*pictures, **OPTIONS).pixels
            answers.write(f"{again.equal(expected)} {len(loads)}")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        assert answers.read() == "True 2"
    os.waitpid(child, 0)


def test_notes_are_logged_as_warnings_and_the_rest_as_info(loads, pictures, caplog):
    grey = torch.full((3, 40, 40), 0.5)
    with caplog.at_level(logging.INFO, "impasto"):
        impasto.style_transfer(pictures[0], grey, **OPTIONS)
    logged = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert logged[0][0] == "WARNING"
    assert "has one colour alone" in logged[0][1]
    assert ("INFO", "painting 32 x 32 pixels on cpu in fp32, 3 steps") in logged


def test_progress_is_shown_if_asked_for(loads, pictures, capfd):
    impasto.style_transfer(*pictures, **OPTIONS)
    assert capfd.readouterr() == ("", "")
    impasto.style_transfer(*pictures, progress=True, **OPTIONS)
    out, err = capfd.readouterr()
    assert out == ""
    assert "32 x 32" in err
    assert "100%" in err


def test_a_batch_goes_on_after_an_error(loads, pictures):
    jobs = [
        impasto.make_job("style_transfer", *pictures, **OPTIONS),
        impasto.make_job("content", "absent.png", **OPTIONS),
        impasto.make_job("content", pictures[0], **{**OPTIONS, "beta": None}),
    ]
    first, second, third = impasto.batch(job for job in jobs)
    assert isinstance(second, impasto.ImageError)
    assert (first.mode, third.mode) == ("style_transfer", "content")


def test_an_evaluation_is_what_a_painting_begins_with(loads, pictures):
    options = {**OPTIONS, "margin": 0.0, "start": "content", "iterations": 1}
    (step,) = list(impasto.iterate(*pictures, **options))
    photograph = impasto.images.resize(pictures[0], 32, 32)
    terms = impasto.evaluate(photograph, *pictures, alpha=1.0, beta=5e4, precision="fp32",
                             threads=1)  # fmt: skip
    assert terms.keys() == step.losses.keys()
    assert terms["content:relu4_2"] == pytest.approx(0, abs=1e-6)
    assert sum(value for name, value in terms.items() if name != "total") == pytest.approx(
        terms["total"]
    )
    painted = impasto.evaluate(step.pixels, *pictures, alpha=1.0, beta=5e4, precision="fp32",
                               threads=1)  # fmt: skip
    assert painted["total"] <= terms["total"]
    with pytest.raises(ShapeError, match="leave out size and margin"):
        impasto.evaluate(photograph, *pictures, size=48)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: impasto.Job("collage"), "mode: expected one of style_transfer, content, style"),
        (lambda: impasto.Job("style", style_images="a.jpg"), "style_images: expected a list or"),
        (lambda: impasto.Job("style", settings={}), "settings: expected Settings, got {}"),
        (lambda: impasto.Job("style", terms=3), "terms: expected a mapping from names"),
        (lambda: impasto.Settings(siz=3), "no option 'siz': did you mean size?"),
        (lambda: impasto.Settings(size=3), "size: expected a number greater than or equal to 16"),
        (lambda: impasto.Runtime(threads=0), "threads: expected a number greater"),
    ],
)
def test_constructors_refuse_with_settings_errors(make, message):
    with pytest.raises(SettingsError, match=message):
        make()

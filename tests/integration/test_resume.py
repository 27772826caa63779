"""No run is lost: killed or stopped at any moment, it goes on to the same picture."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

import impasto as package
from impasto import api
from impasto.engine import checkpoint
from impasto.errors import CheckpointError
from impasto.job import recipe

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")
KEPT = Path(".out.png.checkpoint")
STEPS = ("--iterations", "24", "--threads", "1")

if os.name != "posix":
    pytest.skip("signals are for POSIX systems", allow_module_level=True)


@pytest.fixture
def uninterrupted(run_process, quick):
    """The bytes of the picture that nothing has interrupted."""

    def paint(*words):
        assert run_process(words[0], *quick, *words[1:], *STEPS, "-q").code == 0
        assert not KEPT.exists()
        data = Path("out.png").read_bytes()
        Path("out.png").unlink()
        return data

    return paint


@pytest.mark.parametrize(
    "words",
    [
        TRANSFER,
        (*TRANSFER, "--memory", "1MiB", "--size", "300", "--coarsest", "300",
         "--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_1"),
    ],
    ids=["whole", "tiles"],
)  # fmt: skip
def test_killed_and_resumed_it_paints_the_same_bits(start_process, uninterrupted, quick, words):
    expected = uninterrupted(*words)
    words = (words[0], *quick, *words[1:], *STEPS)
    often = ("--checkpoint-every", "0.01s", "--resume", "--json")
    done = 0
    for _ in range(2):
        process = start_process(*words, *often)
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["step"] >= done + 5:
                break
        process.kill()
        process.communicate()
        done = event["step"]
    assert done >= 10
    assert KEPT.exists()
    process = start_process(*words, *often)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    # It has gone on, and not begun afresh.
    events = map(json.loads, out.splitlines())
    assert next(event["step"] for event in events if event["event"] == "step") > 1
    assert Path("out.png").read_bytes() == expected
    assert not list(Path().glob(".out*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_and_resumed_it_paints_the_same_bits(
    start_process, run_process, uninterrupted, quick, number, code
):
    expected = uninterrupted(*TRANSFER)
    process = start_process(*TRANSFER, *quick, *STEPS, "--json")
    for _ in range(7):
        process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert KEPT.exists()
    assert run_process(*TRANSFER, *quick, *STEPS, "--resume").code == 0
    assert Path("out.png").read_bytes() == expected
    assert not KEPT.exists()


def stop_early(start_process, *words):
    process = start_process(*words, "--json")
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert KEPT.exists()


def test_without_a_checkpoint_it_starts_afresh_and_says_so(impasto, quick):
    outcome = impasto(*TRANSFER, *quick, "--resume", "--json")
    assert outcome.code == 0
    first, second, *_ = map(json.loads, outcome.out.splitlines())
    assert (
        first["text"]
        == "no checkpoint '.out.png.checkpoint': the painting starts from the beginning"
    )
    assert second["step"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*TRANSFER, "--strength", "0.7"), "strength was 0.5, and is 0.7"),
        (("transfer", "photograph.png", "other.png", "-o", "out.png"), "styles was"),
        ((*TRANSFER, "--precision", "fp16"), "precision was"),
    ],
)
def test_a_checkpoint_of_another_painting_is_refused(
    impasto, start_process, quick_at_a_strength, words, told
):
    steps = (*quick_at_a_strength, "--iterations", "4000", "--threads", "1")
    stop_early(start_process, *TRANSFER, *steps)
    kept = KEPT.read_bytes()
    outcome = impasto(*words, *steps, "--resume")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert line.startswith("impasto: the checkpoint is of another painting: ")
    assert told in line
    assert KEPT.read_bytes() == kept


def test_a_damaged_checkpoint_is_refused(impasto, quick):
    KEPT.write_bytes(b"\x80\x04cposix\nsystem\n")
    outcome = impasto(*TRANSFER, *quick, "--resume")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert "is not a readable checkpoint" in line


def test_with_other_memory_it_goes_on_in_another_way(start_process, run_process, quick):
    steps = ("--iterations", "150", "--threads", "1")
    stop_early(start_process, *TRANSFER, *quick, *steps)
    outcome = run_process(*TRANSFER, *quick, *steps, "--resume", "--json", "--memory", "1MiB")
    assert outcome.code == 0
    notes = [line for line in map(json.loads, outcome.out.splitlines()) if "text" in line]
    assert any("asked to fit into other memory after" in note["text"] for note in notes)
    (budget,) = recipe.read("out.png").decisions.budgets
    assert budget.memory == 2**20


def test_a_run_that_diverges_leaves_no_checkpoint(impasto, quick):
    outcome = impasto(
        *TRANSFER, *quick, "--optimiser", "adam", "--learning-rate", "10", "--iterations", "400",
        "--coarsest", "48", "--checkpoint-every", "0.01s",
    )  # fmt: skip
    assert outcome.code == 1
    assert not KEPT.exists()


def test_asked_never_to_keep_it_keeps_nothing(start_process, quick):
    process = start_process(
        *TRANSFER, *quick, "--iterations", "4000", "--json", "--checkpoint-every", "never"
    )
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[-2])["text"].endswith("the best picture so far is saved")
    assert not KEPT.exists()


def test_from_python_a_checkpoint_is_kept_gone_on_from_and_removed(folder, weights_file):
    options = {"weights": weights_file, "size": 48, "coarsest": 32, "iterations": 8, "threads": 1}
    pictures = "photograph.png", "painting.png"
    whole = package.style_transfer(*pictures, **options)

    def stop(step):
        if step.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        package.style_transfer(*pictures, **options, checkpoint="kept", on_step=stop)
    assert len(checkpoint.read("kept").rows) == 5
    with pytest.raises(CheckpointError, match="alpha was"):
        package.style_transfer(*pictures, **options, alpha=2, checkpoint="kept")
    seen = []
    again = package.style_transfer(*pictures, **options, checkpoint="kept", on_step=seen.append)
    assert [step.step for step in seen] == [6, 7, 8]
    assert again.pixels.equal(whole.pixels)
    assert not Path("kept").exists()


def test_what_happens_between_two_steps_is_not_counted_as_painting(folder, weights_file):
    job = api.make_job("style", None, "painting.png", weights=weights_file, size=32, iterations=3)
    painting = package.iterate(job)
    first = next(painting)
    time.sleep(0.5)
    assert next(painting).time_s - first.time_s < 0.4

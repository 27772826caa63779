"""How a painting ends early: signals, divergence, memory, faults; and which exit code says so."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from tests.cli.programs import slowed

from impasto.weights import formats

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")
LONG = (*TRANSFER, "--json", "--save-every", "1000000")

if os.name != "posix":
    pytest.skip("signals are for POSIX systems", allow_module_level=True)

# Where the weights would be loaded, the process says so and waits.
WAITING = """
import time
import impasto.models
def load(*arguments, **options):
    print("loading", flush=True)
    time.sleep(60)
impasto.models.load = load
"""
FAULTY = """
import impasto.models
def load(*arguments, **options):
    raise {error}
impasto.models.load = load
"""


def size_of(path):
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.fixture
def long(quick):
    """A painting that would take minutes, at its coarsest size for most of them."""
    return [*LONG, *quick, "--iterations", "20000"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_writes_the_best_picture_at_the_size_asked_for(
    start_process, folder, long, number, code
):
    with Image.open("painting.png") as painting:
        painting.convert("L").save("painting.png")
    process = start_process(*long, "--timelapse", "run.gif")
    for _ in range(3):
        assert json.loads(process.stdout.readline())["width_px"] == 32
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "")
    message, result = map(json.loads, out.splitlines()[-2:])
    assert message["text"] == (
        "stopped early: the best picture so far is saved, and --resume goes on from there"
    )
    assert (result["event"], result["path"]) == ("result", "out.png")
    assert size_of(folder / "out.png") == size_of(folder / "run.gif") == (48, 36)
    # The painting is grey, and so is every picture that leaves.
    for name in ("out.png", "run.gif"):
        with Image.open(name) as picture:
            channels = np.asarray(picture.convert("RGB")).astype(int)
        assert np.ptp(channels, axis=-1).max() <= 4
        assert np.ptp(channels) > 40
    assert not list(folder.glob(".*.part"))


@pytest.mark.parametrize("name", ["images.to_image", "images.save.write"])
def test_more_signals_do_not_keep_it_from_writing(start_process, folder, long, name):
    process = start_process(*long, first=slowed(name))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    while process.stdout.readline() != "waiting\n":
        pass
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert size_of(folder / "out.png") == (48, 36)


def test_a_signal_while_the_finished_picture_is_written_changes_nothing(
    start_process, folder, quick
):
    process = start_process(*TRANSFER, *quick, first=slowed("images.save.write"))
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "out.png\n")
    assert size_of(folder / "out.png") == (48, 36)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_step_writes_nothing(start_process, folder, number, code):
    process = start_process(*TRANSFER, first=WAITING)
    assert process.stdout.readline() == "loading\n"
    process.send_signal(number)
    told = "stopped before the first step: there is no picture yet\n"
    assert process.communicate(timeout=60) == ("", told)
    assert process.returncode == code
    assert not (folder / "out.png").exists()


def test_a_process_told_to_ignore_interrupts_does(start_process, folder, quick):
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    process = start_process(*TRANSFER, *quick, "--json", first=ignore)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_run_that_diverges_keeps_its_best_picture(impasto, quick):
    outcome = impasto(
        *TRANSFER, *quick, "--json", "--optimiser", "adam", "--learning-rate", "10",
        "--iterations", "400", "--coarsest", "48",
    )  # fmt: skip
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert line.startswith("impasto: the loss left its valley")
    assert json.loads(outcome.out.splitlines()[-1])["event"] == "result"
    assert size_of("out.png") == (48, 36)


def test_a_loss_that_is_not_finite_at_the_start_leaves_no_picture(
    impasto, folder, quick, weights_file
):
    # Weights so large that Gram matrices leave the range of float32.
    tensors = load_file(weights_file)
    tensors["conv2_1.weight"] *= 1e25
    Path("huge.safetensors").write_bytes(formats.encode(tensors))
    outcome = impasto(*TRANSFER, *quick, "--weights", "huge.safetensors", "--beta", "1e5")
    assert (outcome.code, outcome.out) == (1, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("impasto: expected a finite loss at the start")
    assert not (folder / "out.png").exists()


def test_a_painting_that_does_not_fit_in_memory_says_so(run_process):
    outcome = run_process(*TRANSFER, first=FAULTY.format(error="MemoryError"))
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert line.startswith("impasto: expected a painting of 512 x 384 pixels to fit in memory")


def test_a_fault_of_our_own_keeps_its_traceback(run_process):
    outcome = run_process(*TRANSFER, first=FAULTY.format(error="ZeroDivisionError('ours')"))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("Traceback")
    assert outcome.err.endswith("ZeroDivisionError: ours\n")


# The first handler is there, and the command is not yet imported.
STARTING = """
import signal
from impasto.__main__ import main
at_once = signal.signal
def tell(*arguments):
    signal.signal = at_once
    before = at_once(*arguments)
    print("starting", flush=True)
    return before
signal.signal = tell
main()
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_an_interrupt_while_it_starts_prints_nothing(start_process, folder, quick, delay_s):
    process = start_process(*TRANSFER, *quick, "--iterations", "100000", "-q", first=STARTING)
    assert process.stdout.readline() == "starting\n"
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


# Code that must not raise, such as a finaliser, swallows an exception.
SWALLOWING = """
import time
import impasto.models
class Swallower:
    def __del__(self):
        print("finalising", flush=True)
        time.sleep(0.5)
def load(*arguments, **options):
    Swallower()
    time.sleep(600)
impasto.models.load = load
"""


def test_an_interrupt_in_code_that_must_not_raise_comes_once_more(start_process):
    process = start_process(*TRANSFER, "-q", first=SWALLOWING)
    assert process.stdout.readline() == "finalising\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_an_interrupt_that_becomes_another_exception_prints_no_traceback(start_process):
    error = """
import time
import impasto.models
def load(*arguments, **options):
    try:
        print("loading", flush=True)
        time.sleep(60)
    except BaseException as interrupt:
        raise ImportError("a library failed to load") from interrupt
impasto.models.load = load
"""
    process = start_process(*TRANSFER, first=error)
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130

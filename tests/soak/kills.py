"""End paintings at random moments, go on, and compare the picture with the uninterrupted one.

    python tests/soak/kills.py --ends 50 --seed 0
    python tests/soak/kills.py --ends 50 --seed 0 --signal SIGINT

Real processes of the command, ended by a signal: while they load, paint or write. After SIGKILL a
picture is absent or whole. After SIGINT there is the best picture so far, or a message that it came
before the first step; nothing else is left but the checkpoint, and nobody sees a traceback. Ends
with 1 if any of that is not so, or if a picture differs in the end.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from scene import make_pictures, make_weights

COMMON = [
    *("--threads=1", "--size=64", "--coarsest=48", "--iterations=150", "--alpha=1", "--beta=1e4"),
    *("--style-layers=relu1_1,relu2_1", "--content-layers=relu2_2"),
]
PAIR = ["photograph.png", "painting.png"]
KINDS = {
    "plain": ["transfer", *PAIR],
    "region": ["transfer", *PAIR, "--region=mask.png:other.png"],
    "adam": ["transfer", *PAIR, "--optimiser=adam"],
    "16 bits": ["transfer", *PAIR, "--bits=16"],
    "sheet": ["sheet", PAIR[0], "--style=painting.png", "--vary=seed=1,2,3", "--cell=64",
              "--iterations=50"],
    "strength": ["transfer", *PAIR, "--strength=0.5", "--iterations=80"],
    "content": ["content", PAIR[0]],
    "style": ["style", PAIR[1], "--history=4"],
    "fp32": ["transfer", *PAIR, "--precision=fp32"],
    "tiles": ["transfer", *PAIR, "--memory=1MiB", "--size=400", "--coarsest=300",
              "--iterations=12"],
}  # fmt: skip
OUTPUT, CHECKPOINT, PARTIAL = "out.png", ".out.png.checkpoint", ".part"
# A painting is then left to finish: a sheet has no checkpoint, and might never on a busy machine.
MOST_ENDS = 8
STAGES = ("loading", "painting", "writing a checkpoint", "writing the picture")
TOO_EARLY = "stopped before the first step"
# The command, which says when it has begun to handle signals: before, Python itself answers them.
PROGRAM = """
import signal
from impasto.__main__ import main
at_once = signal.signal
def tell(*arguments):
    signal.signal = at_once
    before = at_once(*arguments)
    print('{"event": "starting"}', flush=True)
    return before
signal.signal = tell
main()
"""


@dataclass
class Ended:
    """How a process has ended.

    Attributes:
        stage: what it was doing when the signal was sent.
        code: its exit code.
        events: what it printed.
        err: what it printed on standard error.
    """

    stage: str
    code: int
    events: list[dict[str, object]]
    err: str

    @property
    def steps(self) -> list[int]:
        """The steps that it painted."""
        return [int(str(event["step"])) for event in self.events if event["event"] == "step"]


@dataclass
class Tally:
    """What has been counted."""

    stages: collections.Counter[str] = field(default_factory=collections.Counter)
    resumed: int = 0
    pictures: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def ends(self) -> int:
        """How many processes a signal has ended."""
        return sum(self.stages.values())


def words_of(kind: str) -> list[str]:
    """Return the words of a kind of painting; of two equal options the last counts."""
    own = {word.partition("=")[0] for word in KINDS[kind]}
    weights_by = {"--alpha", "--beta"} if "--strength" in own else set()
    common = [word for word in COMMON if word.partition("=")[0] not in own | weights_by]
    return [*KINDS[kind], *common, "--weights=seeded.safetensors", "-o", OUTPUT, "--json"]


def start(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the command; it prints to files, because a full pipe would stop it."""
    printed = folder / "printed"
    printed.mkdir(exist_ok=True)
    with (printed / "out").open("wb") as out, (printed / "err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", PROGRAM, *words], cwd=folder, stdout=out, stderr=err
        )


def printed_lines(folder: Path, name: str = "out") -> list[str]:
    """Return what the command has printed so far."""
    return (folder / "printed" / name).read_text().splitlines()


def wait_for(process: subprocess.Popen[bytes], has_come: Callable[[], bool]) -> None:
    """Wait until something has come, or the process has ended."""
    while process.poll() is None and not has_come():
        time.sleep(0.001)


def is_writing(folder: Path, stage: str) -> bool:
    """Tell whether a checkpoint, or the picture, is being written."""
    partials = {path.name for path in folder.iterdir() if path.suffix == PARTIAL}
    is_checkpoint = CHECKPOINT + PARTIAL in partials
    return is_checkpoint if stage == STAGES[2] else bool(partials) and not is_checkpoint


def run_and_end(
    words: list[str], folder: Path, number: signal.Signals | None, chance: random.Random
) -> Ended:
    """Run the command, and send it the signal, if there is one, at some moment."""
    process = start(words, folder)
    stage = chance.choices(STAGES, (1, 4, 2, 1))[0]
    if "sheet" in words and stage == STAGES[2]:
        stage = STAGES[3]  # a sheet has no checkpoint
    if number is None:
        process.wait(timeout=600)
    wait_for(process, lambda: bool(printed_lines(folder)))
    if stage == STAGES[0]:
        time.sleep(chance.uniform(0, 2.5))
    else:
        wait_for(process, lambda: any('"step"' in line for line in printed_lines(folder)[-3:]))
    if stage == STAGES[1]:
        time.sleep(chance.expovariate(1 / 0.8))
    elif stage in STAGES[2:]:
        time.sleep(chance.expovariate(1 / 0.4) if stage == STAGES[2] else 0)
        wait_for(process, lambda: is_writing(folder, stage))
        time.sleep(chance.choice((0, chance.uniform(0, 0.005))))
    if number is not None:
        process.send_signal(number)
    code = process.wait(timeout=300)
    events = []
    for line in printed_lines(folder):
        # What is printed at the moment of a kill may be cut short.
        with suppress(ValueError):
            events.append(json.loads(line))
    return Ended(stage, code, events, "\n".join(printed_lines(folder, "err")))


def faults_of(ended: Ended, folder: Path, whole: bytes, number: signal.Signals) -> list[str]:
    """Say what is wrong about how a process has ended."""
    is_graceful = number != signal.SIGKILL
    output = folder / OUTPUT
    data = output.read_bytes() if output.exists() else None
    if ended.code == 0:
        return []
    faults = []
    if ended.code != (-number if number == signal.SIGKILL else 128 + number):
        faults.append(f"the exit code {ended.code}")
    if ended.err:
        faults.append(f"on standard error: {ended.err!r}")
    if not is_graceful:
        return [*faults, *(["a half picture"] if data not in (None, whole) else [])]
    strays = {path.name for path in folder.glob(".*")} - {CHECKPOINT}
    if strays:
        faults.append(f"left behind: {sorted(strays)}")
    texts = [str(event.get("text")) for event in ended.events]
    if ended.steps:
        if ended.events[-1]["event"] not in ("result", "sheet"):
            faults.append(f"no word of a picture, but {ended.events[-1]}")
        faults += [] if data is not None and is_picture(output, whole) else ["no whole picture"]
    elif len(ended.events) > 1 and not any(TOO_EARLY in text for text in texts):
        faults.append(f"no word of why there is no picture, but {ended.events[-1]}")
    return faults


def is_picture(path: Path, whole: bytes) -> bool:
    """Tell whether a file is a whole picture, as large as it is to be in the end."""
    expected = path.with_name("expected.png")
    expected.write_bytes(whole)
    try:
        with Image.open(path) as picture, Image.open(expected) as other:
            picture.load()
            return picture.size == other.size
    except (OSError, SyntaxError):
        return False
    finally:
        expected.unlink()


def paint_whole(kind: str, folder: Path) -> bytes:
    """Return the picture that nothing has interrupted."""
    if start(words_of(kind), folder).wait(timeout=600):
        raise SystemExit(f"{kind}: {printed_lines(folder, 'err')}")
    data = (folder / OUTPUT).read_bytes()
    (folder / OUTPUT).unlink()
    return data


def paint_with_ends(
    kind: str,
    folder: Path,
    whole: bytes,
    number: signal.Signals,
    chance: random.Random,
    tally: Tally,
) -> None:
    """Paint one picture, however often the signal ends it, and check what comes of it."""
    words = words_of(kind)
    if kind != "sheet":
        words += ["--resume", "--checkpoint-every=0.05s"]
    ends = 0
    while True:
        ended = run_and_end(words, folder, number if ends < MOST_ENDS else None, chance)
        tally.resumed += bool(ended.steps) and ended.steps[0] > 1
        tally.faults += [
            f"{kind}, {ended.stage}: {fault}" for fault in faults_of(ended, folder, whole, number)
        ]
        if ended.code == 0:
            break
        tally.stages[ended.stage] += 1
        ends += 1
        # Once the picture is there, the checkpoint goes.
        is_finished = (folder / OUTPUT).exists() and (folder / OUTPUT).read_bytes() == whole
        if not (any(folder.glob(".*")) or is_finished) and kind != "sheet" and ended.steps:
            tally.faults.append(f"{kind}, {ended.stage}: no checkpoint")
    tally.pictures += 1
    is_same = (folder / OUTPUT).read_bytes() == whole
    left = sorted(path.name for path in folder.glob(".*"))
    if not is_same or left:
        tally.faults.append(f"{kind}: the same bits: {is_same}, left behind: {left}")
    print(f"{kind}: ended {ends} times, the same bits: {is_same}, left behind: {left}", flush=True)
    (folder / OUTPUT).unlink()


def main() -> None:
    """Paint, end, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ends", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=["SIGKILL", "SIGINT", "SIGTERM"], default="SIGKILL")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    number = signal.Signals[options.signal]
    # A shell ignores SIGINT for what it runs in the background, and processes inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance, tally = random.Random(options.seed), Tally()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["IMPASTO_CACHE"] = str(folder / "cache")
        make_weights(folder / "seeded.safetensors")
        make_pictures(folder)
        whole: dict[str, bytes] = {}
        while tally.ends < options.ends or tally.pictures < len(options.kinds):
            kind = options.kinds[tally.pictures % len(options.kinds)]
            whole[kind] = whole.get(kind) or paint_whole(kind, folder)
            paint_with_ends(kind, folder, whole[kind], number, chance, tally)
    for fault in tally.faults:
        print("FAULT", fault)
    stages = ", ".join(f"{tally.stages[stage]} while {stage}" for stage in STAGES)
    print(
        f"{tally.ends} times ended by {options.signal} ({stages}), {tally.resumed} times gone on "
        f"from a checkpoint, {tally.pictures} pictures, {len(tally.faults)} faults"
    )
    raise SystemExit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()

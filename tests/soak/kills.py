"""Kill paintings at random moments, go on, and compare the picture with the uninterrupted one.

    python tests/soak/kills.py --kills 50 --seed 0

Real processes of the command, killed with SIGKILL: while they load, paint or write, in all three
modes, with both optimisers and in tiles. Ends with 1 if any picture differs or any process fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scene import make_pictures, make_weights

COMMON = ["--threads=1", "--size=64", "--coarsest=48", "--iterations=600"]
KINDS = {
    "transfer": ["transfer", "photograph.png", "painting.png"],
    "content": ["content", "photograph.png"],
    "style": ["style", "painting.png", "--history=4"],
    "adam": ["transfer", "photograph.png", "painting.png", "--optimiser=adam"],
    "fp32": ["transfer", "photograph.png", "painting.png", "--precision=fp32"],
    "tiles": [
        "transfer", "photograph.png", "painting.png", "--memory=1MiB", "--size=400",
        "--coarsest=300", "--iterations=40", "--style-layers=relu1_1,relu2_1",
        "--content-layers=relu2_1",
    ],
}  # fmt: skip


def command(words: list[str], folder: Path, output: str, *more: str) -> list[str]:
    """Return the command line that paints ``words``; of two equal options the last counts."""
    weights = f"--weights={folder / 'seeded.safetensors'}"
    own = {word.partition("=")[0] for word in words}
    common = [word for word in COMMON if word.partition("=")[0] not in own]
    return [sys.executable, "-m", "impasto", *words, *common, weights, "-o", output, *more]


def run_and_kill(line: list[str], folder: Path, chance: random.Random) -> tuple[bool, int]:
    """Run the command and kill it at some moment.

    Returns:
        Whether it had finished by then, and the first step that it painted.
    """
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, text=True)
    first = 0
    if chance.random() < 0.1:
        time.sleep(chance.uniform(0, 3))  # while it loads
    else:
        assert process.stdout is not None
        for text in process.stdout:
            event = json.loads(text)
            if event["event"] == "step":
                first = event["step"]
                break
        time.sleep(chance.expovariate(1 / 2.5))
    finished = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    code = process.wait()
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"a process has ended with {code}: {' '.join(line)}")
    return code == 0 or finished, first


def main() -> None:
    """Paint, kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    kills, resumed, pictures, different = 0, 0, 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["IMPASTO_CACHE"] = str(folder / "cache")
        make_weights(folder / "seeded.safetensors")
        make_pictures(folder)
        expected = {}
        while kills < given.kills or pictures < len(KINDS):
            kind, words = list(KINDS.items())[pictures % len(KINDS)]
            if kind not in expected:
                line = command(words, folder, "whole.png", "--quiet")
                subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                expected[kind] = (folder / "whole.png").read_bytes()
            line = command(words, folder, "out.png", "--json", "--resume",
                           "--checkpoint-every=0.05s")  # fmt: skip
            own = 0
            while True:
                finished, first = run_and_kill(line, folder, chance)
                resumed += first > 1
                if finished:
                    break
                own += 1
            same = (folder / "out.png").read_bytes() == expected[kind]
            left = sorted(path.name for path in folder.glob(".*"))
            kills, pictures = kills + own, pictures + 1
            if not same or left:
                different.append(kind)
            print(f"{kind}: {own} kills, the same bits: {same}, left behind: {left}", flush=True)
            (folder / "out.png").unlink()
    print(
        f"{kills} kills, {resumed} times gone on from a checkpoint, {pictures} pictures, "
        f"{len(different)} of them different"
    )
    raise SystemExit(1 if different else 0)


if __name__ == "__main__":
    main()

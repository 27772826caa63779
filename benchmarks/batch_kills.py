"""Kill a batch at random moments, restart it, and count jobs done, lost and done twice.

    python -m benchmarks.batch_kills --jobs 40 --kills 50 --json FILE

The parent process is killed with SIGKILL; its workers must notice that by themselves. At the end
the batch runs to completion, and its pictures are compared with those of an uninterrupted batch.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def command(folder: Path, jobs: int, size_px: int, options: list[str]) -> list[str]:
    """Return the command line of the batch."""
    content, style = ROOT / "img/content/chelsea.jpg", ROOT / "img/style/nocturne.jpg"
    return [
        *(sys.executable, "-m", "impasto", "batch", "--json", "--no-sheet", "--threads", "1"),
        *("--content", str(content), "--style", str(style), "-o", str(folder)),
        *("--vary", f"seed={','.join(map(str, range(jobs)))}", "--start", "noise"),
        *("--size", str(size_px), "--coarsest", str(size_px), "--iterations", "6", *options),
    ]


def kill_once(command_line: list[str], chance: random.Random) -> bool:
    """Start the batch and kill it at a random moment; return False if it had ended already."""
    process = subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    # The moment can be during the start, between two events, or within one.
    if chance.random() < 0.8:
        for _ in range(chance.randrange(1, 12)):
            process.stdout.readline()
        time.sleep(chance.random() * 0.3)
    else:
        time.sleep(chance.random() * 3)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return alive


def campaign(jobs: int, kills: int, size_px: int, options: list[str], seed: int) -> dict[str, Any]:
    """Kill batches of ``jobs`` until the number of kills is reached; return the counts."""
    chance = random.Random(seed)
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as root:
        whole = Path(root) / "whole"
        subprocess.run(command(whole, jobs, size_px, options), check=True, capture_output=True)
        wanted = {path.name: path.read_bytes() for path in whole.glob("*.png")}
        while counted["kills"] < kills:
            folder = Path(root) / f"killed{counted['batches']}"
            command_line = command(folder, jobs, size_px, options)
            while counted["kills"] < kills and kill_once(command_line, chance):
                counted["kills"] += 1
            subprocess.run(command_line, check=True, capture_output=True)
            counted["batches"] += 1
            counted.update(_judge(folder, wanted))
            print(dict(counted), flush=True)
    return {"jobs": jobs, "size_px": size_px, "options": options, **counted}


def _judge(folder: Path, wanted: dict[str, bytes]) -> Counter[str]:
    lines = (folder / "journal.jsonl").read_bytes().splitlines()
    done: Counter[str] = Counter()
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        done[record.get("output", "")] += record.get("state") == "done"
    counts: Counter[str] = Counter()
    for name, data in wanted.items():
        picture = folder / name
        counts["done"] += done[name] == 1
        counts["twice"] += done[name] > 1
        counts["lost"] += done[name] == 0 or not picture.exists()
        counts["other_bits"] += picture.exists() and picture.read_bytes() != data
    counts["left_behind"] += len(list(folder.glob(".*.part")))
    return counts


def main() -> None:
    """Read the command line, kill, count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--size", type=int, default=48, help="longest side, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args, options = parser.parse_known_args()
    counts = campaign(args.jobs, args.kills, args.size, options, args.seed)
    if args.json:
        args.json.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

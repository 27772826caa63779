"""Time batches: one process, two processes, and Ray; and the overhead of a job.

    python -m benchmarks.batch --jobs 20 --size 256 --json benchmarks/results/batch.json

The same run measures the possible speed-up of two processes with one thread each, by matrix
products. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from benchmarks.suite import machine

ROOT = Path(__file__).parents[1]
PRODUCTS = """
import sys, time, torch
torch.set_num_threads(1)
a = torch.randn(1024, 1024).to(getattr(torch, sys.argv[1]))
for _ in range(20):
    a @ a
print("ready", flush=True)
sys.stdin.readline()
began_s, count = time.perf_counter(), 0
while time.perf_counter() - began_s < float(sys.argv[2]):
    a @ a
    count += 1
print(count / (time.perf_counter() - began_s))
"""


def products_per_s(processes: int, dtype: str, time_s: float) -> float:
    """Return the total matrix products per second of several processes with one thread each."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PRODUCTS, dtype, str(time_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in started)


def paint(jobs: int, size_px: int, iterations: int, *options: str) -> dict[str, float]:
    """Paint a batch; return the time of the command, of a job, and of its painting."""
    content, style = ROOT / "img/content/chelsea.jpg", ROOT / "img/style/nocturne.jpg"
    with tempfile.TemporaryDirectory() as folder:
        seeds = ",".join(map(str, range(jobs)))
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "impasto", "batch", "--json", "--no-sheet", "--offline"),
                *("--content", content, "--style", style, "--vary", f"seed={seeds}"),
                *("-o", folder, "--size", str(size_px), "--iterations", str(iterations)),
                *options,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        events = [(time.perf_counter(), json.loads(line)) for line in process.stdout]
        assert process.wait() == 0
        whole_s = time.perf_counter() - began_s
    done = [(at_s, event) for at_s, event in events if event["event"] == "done"]
    # The first job of each worker loads the network, so it does not count.
    warm = done[int(options[options.index("--workers") + 1]) :]
    start_s = done[len(done) - len(warm) - 1][0]
    pace_s = (warm[-1][0] - start_s) / len(warm)
    painting_s = sum(event["time_s"] for _, event in warm) / len(warm)
    return {"whole_s": whole_s, "job_s": pace_s, "painting_s": painting_s}


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--size", type=int, default=256, help="longest side, in pixels")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--products", type=float, default=4.0, help="seconds of matrix products")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    dtype = "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16") else "float32"
    variants = {
        "one": ("--workers", "1", "--threads", "1"),
        "one_of_two_threads": ("--workers", "1", "--threads", "2"),
        "two": ("--workers", "2", "--threads", "1"),
        "ray": ("--workers", "2", "--threads", "1", "--cluster", "local"),
    }
    one, two = (products_per_s(count, dtype, args.products) for count in (1, 2))
    rows = {}
    for name, options in variants.items():
        rows[name] = paint(args.jobs, args.size, args.iterations, *options)
        print(name, {key: round(value, 3) for key, value in rows[name].items()}, flush=True)
    gain, possible = rows["one"]["job_s"] / rows["two"]["job_s"], two / one
    results = {
        "jobs": args.jobs,
        "size_px": args.size,
        "iterations": args.iterations,
        "products_gain": possible,
        "two_workers_gain": gain,
        "share_of_possible": gain / possible,
        "ray_pace_beside_two_workers": rows["two"]["job_s"] / rows["ray"]["job_s"],
        "overhead_ms": 1000 * (rows["one"]["job_s"] - rows["one"]["painting_s"]),
        "rows": rows,
        "machine": machine.describe(torch.device("cpu")),
    }
    for name, value in results.items():
        if isinstance(value, float):
            print(f"{name:30} {value:.3f}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

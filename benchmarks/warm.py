"""Time default paintings in a process that has libraries, weights and kernels loaded.

    python -m benchmarks.warm --size 256 512 1024 --device cuda --json warm.json

Another pair is painted first at each size, so that only the network is cached for the timed pair.
The time is from reading the two pictures to the finished pixels in memory. The time until the
first step, with its preparation, is reported too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.suite import machine

from impasto.api import make_job
from impasto.compute.device import choose_device
from impasto.engine.cache import Cache
from impasto.engine.warm import WarmEngine
from impasto.images import samples

CACHED = ("network", "weights_sha256")


def main() -> None:
    """Read the command line, paint, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[512])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", metavar="FILE", help="the network's weights file")
    parser.add_argument("--repeats", type=int, default=3, help="number of runs; the fastest counts")
    parser.add_argument("--output", type=Path, help="folder for the pictures")
    parser.add_argument("--json", type=Path, help="file for the rows")
    args = parser.parse_args()
    options = {"device": args.device, "weights": args.weights, "offline": True}
    engine, rows = WarmEngine(NetworkOnly), []
    for size_px in args.size:
        painted("coffee", "glass", engine, size=size_px, **options)
        runs = [
            painted("chelsea", "nocturne", engine, size=size_px, **options)
            for _ in range(args.repeats)
        ]
        row, result = min(runs, key=lambda run: run[0]["time_s"])
        rows.append({"size_px": size_px, **row})
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
        if args.output:
            args.output.mkdir(parents=True, exist_ok=True)
            result.save(args.output / f"{size_px}.png")
    if args.json:
        description = machine.describe(choose_device(args.device))
        written = {"benchmark": "warm", "machine": description, "rows": rows}
        args.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


class NetworkOnly(Cache):
    """Caches networks, but nothing of the pictures."""

    def get_or_compute(self, kind: str, key: Sequence[Any], compute: Callable[[], Any]) -> Any:
        """Return the network from the cache, and make anything else again."""
        return super().get_or_compute(kind, key, compute) if kind in CACHED else compute()


def painted(
    content: str, style: str, engine: WarmEngine, **options: Any
) -> tuple[dict[str, Any], Any]:
    """Paint a bundled pair; return its times and the result."""
    job = make_job(
        "style_transfer", samples.path("content", content), samples.path("style", style), **options
    )
    steps_s: list[float] = []
    began_s = time.perf_counter()
    result = engine.paint(job, lambda _: steps_s.append(time.perf_counter() - began_s))
    time_s = time.perf_counter() - began_s
    return {"time_s": time_s, "first_step_s": steps_s[0], "steps": len(steps_s)}, result


if __name__ == "__main__":
    main()

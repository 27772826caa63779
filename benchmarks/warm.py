"""Time default paintings in a process that has everything loaded: libraries, weights, kernels.

    python -m benchmarks.warm --size 256 512 1024 --device cuda --json warm.json

Another pair is painted first at each size, so that nothing of the pair that is timed is known
but the network. From reading the two pictures to the finished pixels in memory; beside it the
part of that which the first step took, with all that is prepared for it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.suite import machine

from impasto.api import make_job, paint
from impasto.compute.device import choose_device
from impasto.engine.cache import Cache
from impasto.images import samples

KEPT = ("network", "weights_sha256")


def main() -> None:
    """Read the command line, paint, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[512])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", metavar="FILE", help="the network's weights file")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many counts")
    parser.add_argument("--output", type=Path, help="where the pictures go")
    parser.add_argument("--json", type=Path, help="where rows are written")
    given = parser.parse_args()
    options = {"device": given.device, "weights": given.weights, "offline": True}
    cache, rows = NetworkOnly(), []
    for size_px in given.size:
        painted("coffee", "glass", cache, size=size_px, **options)
        runs = [
            painted("chelsea", "nocturne", cache, size=size_px, **options)
            for _ in range(given.repeats)
        ]
        row, result = min(runs, key=lambda run: run[0]["time_s"])
        rows.append({"size_px": size_px, **row})
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
        if given.output:
            given.output.mkdir(parents=True, exist_ok=True)
            result.save(given.output / f"{size_px}.png")
    if given.json:
        about = machine.describe(choose_device(given.device))
        written = {"benchmark": "warm", "machine": about, "rows": rows}
        given.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


class NetworkOnly(Cache):
    """Remembers networks and nothing of the pictures."""

    def get_or_compute(self, kind: str, key: Sequence[Any], compute: Callable[[], Any]) -> Any:
        """Return the network made before, and anything else anew."""
        return super().get_or_compute(kind, key, compute) if kind in KEPT else compute()


def painted(content: str, style: str, cache: Cache, **options: Any) -> tuple[dict[str, Any], Any]:
    """Paint a pair of the gallery's, and say how long it took."""
    job = make_job(
        "style_transfer", samples.path("content", content), samples.path("style", style), **options
    )
    steps_s: list[float] = []
    began_s = time.perf_counter()
    result = paint(job, lambda _: steps_s.append(time.perf_counter() - began_s), cache=cache)
    time_s = time.perf_counter() - began_s
    return {"time_s": time_s, "first_step_s": steps_s[0], "steps": len(steps_s)}, result


if __name__ == "__main__":
    main()

"""Paint with random settings, and check what comes of them.

    python tests/soak/settings.py --runs 200 --seed 0

Settings and Runtime are drawn from their own fields, so that later options join by themselves.
Each painting must finish, be finite, in range, of the right size and no worse than it began.
Settings that are refused are drawn anew. In the end one of them is painted twenty times more, and
the memory of the process must not grow by that; from size to size it does, because oneDNN keeps
what it has compiled for each.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import gc
import json
import math
import random
import tempfile
import types
from contextlib import suppress
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from scene import make_pictures, make_weights

from impasto import api
from impasto.compute.host import keep_pages
from impasto.config.initialization import STARTS
from impasto.config.networks import network_spec
from impasto.config.registry import choices_of
from impasto.config.settings import MODES, Runtime, Settings
from impasto.errors import Diverged, ImageError, SettingsError
from impasto.job.history import LossHistory
from impasto.job.job import Job
from impasto.job.result import Result

# Bounds that keep a painting quick; whatever is not here is drawn between its own.
QUICK = {
    "size": (32, 96), "coarsest": (16, 96), "iterations": (1, 12), "threads": (1, 1),
    "memory": (2**20, 2**34), "margin": (0.0, 0.2), "history": (1, 20), "beta": (1e2, 1e6),
    "alpha": (1e-2, 1e2), "total_variation": (1.0, 1e5), "learning_rate": (1e-3, 0.2),
}  # fmt: skip
# Those of them that are always drawn: their defaults are not quick.
ALWAYS = {"size", "coarsest", "iterations", "threads"}
# What a random value cannot say.
LEFT_OUT = {"weights", "offline", "device", "network"}
# How much the process may grow while it paints the same once more and again.
MOST_GROWTH_BYTES = 8 * 2**20
REPETITIONS = 20


def draw(name: str, field: FieldInfo, chance: random.Random) -> Any:
    """Draw a value of a field from what it says of itself; None leaves it to its default."""
    if (choices := choices_of(field)) is not None:
        return chance.choice(choices)
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = [part for part in get_args(kind) if part is not type(None)]
    if name == "region":
        return ("mask.png:other.png",)
    if kind is bool:
        return chance.random() < 0.5
    if kind in (int, float):
        return number(name, kind, field, chance)
    if get_origin(kind) is dict:
        names = [layer.name for layer in network_spec("vgg16").layers[:18]]
        return {chance.choice(names): chance.uniform(0.1, 3) for _ in range(chance.randint(1, 4))}
    if get_origin(kind) is tuple:
        return tuple(chance.uniform(0.1, 3) for _ in range(2))
    if name == "start":
        return chance.choice([*STARTS, "other.png"])
    return chance.choice(field.examples) if field.examples else None


def number(name: str, kind: type, field: FieldInfo, chance: random.Random) -> float:
    """Draw a number, evenly over its orders of magnitude where there are several."""
    bounds = {word: getattr(part, word) for part in field.metadata for word in
              ("ge", "gt", "le", "lt") if hasattr(part, word)}  # fmt: skip
    low = bounds.get("ge", bounds.get("gt", 0)) or 0
    high = bounds.get("le", bounds.get("lt", max(1, 10 * low)))
    low, high = QUICK.get(name, (low, high))
    if low > 0 and high / low > 100:
        value = math.exp(chance.uniform(math.log(low), math.log(high)))
    else:
        value = chance.uniform(low, high)
    return kind(min(max(value, low), high))


def draw_job(chance: random.Random) -> tuple[Any, dict[str, Any]]:
    """Draw the pictures and options of a job; about a third of the fields each time."""
    mode = chance.choice(MODES)
    options = {
        name: draw(name, field, chance)
        for model in (Settings, Runtime)
        for name, field in model.model_fields.items()
        if name not in LEFT_OUT and (name in ALWAYS or chance.random() < 0.3)
    }
    options = {name: value for name, value in options.items() if value is not None}
    content = None if mode == "style" else "photograph.png"
    paintings = ["painting.png", "other.png"] if "style_weights" in options else ["painting.png"]
    return (mode, content, () if mode == "content" else paintings), options


def faults(result: Result, options: dict[str, Any]) -> list[str]:
    """List what is wrong with a result."""
    pixels, found = result.pixels, []
    if not pixels.isfinite().all():
        found.append("not finite")
    elif pixels.min() < 0 or pixels.max() > 1:
        found.append("out of range")
    size_px = max(pixels.shape[-2:])
    # A seamless texture's sides are whole multiples of the deepest stride.
    if size_px != options["size"] and not (options.get("seamless") and size_px % 2 == 0):
        found.append(f"of size {tuple(pixels.shape)}")
    for rows in by_scale(result.history):
        if rows[-1]["total"] > rows[0]["total"]:
            found.append(f"the loss rose from {rows[0]['total']} to {rows[-1]['total']}")
    return found


def by_scale(history: LossHistory) -> list[list[dict[str, float]]]:
    """Group the history by the size that was painted."""
    groups: dict[float, list[dict[str, float]]] = {}
    for row in history:
        groups.setdefault(row["scale"], []).append(row)
    return list(groups.values())


def resident_bytes() -> int:
    """Return the memory that the process holds, without what the allocator keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def grown_by_repeating(job: Job) -> int:
    """Paint ``job`` again and again; return by how many bytes the process has grown."""
    held = []
    for _ in range(REPETITIONS):
        with suppress(Diverged):
            api.paint(job)
        held.append(resident_bytes())
    return held[-1] - held[0]


def main() -> None:
    """Draw, paint, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    keep_pages()
    outcomes: collections.Counter[str] = collections.Counter()
    resident: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_weights(folder / "vgg16.safetensors")
        make_pictures(folder)
        while len(resident) < given.runs:
            (mode, content, paintings), options = draw_job(chance)
            if options.get("start") == "other.png":
                options["start"] = str(folder / "other.png")
            if "region" in options:
                options["region"] = (f"{folder / 'mask.png'}:{folder / 'other.png'}",)
            try:
                job = api.make_job(
                    mode,
                    content and folder / content,
                    [folder / painting for painting in paintings],
                    weights=folder / "vgg16.safetensors",
                    **options,
                )
                result = api.paint(job)
                outcome = "painted"
            except (SettingsError, ImageError) as error:
                outcomes["refused"] += 1
                print("refused:", error)
                continue
            except Diverged as error:
                outcome, result = "diverged", error.result
            outcomes[outcome] += 1
            resident.append(resident_bytes())
            wrong = [str(outcome)] if result is None else faults(result, options)
            if wrong:
                outcomes["faulty"] += 1
                print("FAULTY", wrong, mode, json.dumps(options), flush=True)
            elif result.recipe.decisions.memory is not None:
                outcomes["made to fit"] += 1
        grown = grown_by_repeating(job)
    print(
        dict(outcomes),
        f"held {resident[0] // 2**20} MiB after the first, {resident[-1] // 2**20} after the last; "
        f"grown by {grown / 2**20:.1f} MiB in {REPETITIONS} more of that",
    )
    raise SystemExit(1 if outcomes["faulty"] or grown > MOST_GROWTH_BYTES else 0)


if __name__ == "__main__":
    main()

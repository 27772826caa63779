"""Minimise at one size with L-BFGS histories of several lengths and types, and compare the losses.

    python -m benchmarks.histories CONTENT STYLE [CONTENT STYLE ...] --size 256 --json FILE

These are the candidates for a large picture. The sizes below --size are painted once; from there
every candidate minimises the same objective. The loss is the painting's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from benchmarks.schedules import Painting, arguments, pairs, write
from torch import Tensor

from impasto import api, images
from impasto.compute.host import keep_pages
from impasto.losses.objective import Objective
from impasto.optim.adam import Adam
from impasto.optim.base import Optimiser
from impasto.optim.lbfgs import Lbfgs

_STEPS = (10, 20, 30, 50)
_NARROW = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class NarrowAdam(Adam):
    """Adam whose moments are rounded to bfloat16 after each step."""

    def step(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image."""
        following = super().step(image, gradient)
        state = self.state_dict()
        for name in ("exp_avg", "exp_avg_sq"):
            state[name].copy_(state[name].to(torch.bfloat16))
        return following


def candidates() -> dict[str, Optimiser]:
    """Return new optimisers by name."""
    optimisers: dict[str, Optimiser] = {}
    for history in (20, 10, 5, 3, 2, 1):
        optimisers[f"history {history}, float32"] = Lbfgs(history)
        for name, dtype in _NARROW.items():
            optimisers[f"history {history}, {name}"] = Lbfgs(history, dtype)
    for rate in (0.02, 0.01, 0.005):
        optimisers[f"Adam {rate}, float32"] = Adam(rate)
        optimisers[f"Adam {rate}, bfloat16"] = NarrowAdam(rate)
    return optimisers


def descend(objective: Objective, optimiser: Optimiser, image: Tensor) -> list[float]:
    """Return the best loss after each of _STEPS."""
    best, losses = float("inf"), []
    for step in range(1, max(_STEPS) + 1):
        evaluation = objective.evaluate(image)
        best = min(best, evaluation.total.item())
        image = optimiser.step(image, evaluation.gradient)
        if step in _STEPS:
            losses.append(best)
    return losses


def main() -> None:
    """Read the command line, minimise, and write."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    keep_pages()
    rows: list[dict[str, Any]] = []
    for content, style in pairs(arguments(""), args.pictures):
        painting = Painting(content, style, args.size)
        *_, before, last = painting.inputs.scales
        coarse = api.style_transfer(content, style, size=before.longest_px).pixels
        start = images.resize(coarse, last.height_px, last.width_px)
        objective = painting.objective(painting.network, last)
        for name, optimiser in candidates().items():
            losses = descend(objective, optimiser, start)
            pair = f"{Path(content).stem} x {Path(style).stem}"
            rows.append(
                {"pair": pair, "size_px": args.size, "candidate": name, "steps": _STEPS,
                 "losses": losses}
            )  # fmt: skip
            print(f"{pair:30} {name:26}", *(f"{loss:9.1f}" for loss in losses), flush=True)
        if args.json:
            write(args.json, rows, painting.plan.device)


if __name__ == "__main__":
    main()

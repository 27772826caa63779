"""Paint pairs of pictures with several schedules, and compare their float32 losses.

    python -m benchmarks.schedules CONTENT STYLE [CONTENT STYLE ...] --size 256 --json FILE

CANDIDATES has the changes of each candidate; --candidates names a JSON file with more
({name: {field: value}}). For each candidate the loss at the final size is recorded against the time
spent in steps. The loss is evaluated in float32, and this does not count as time. The painting
itself uses the machine's own precision. The ratio of sizes is the square root of 2, up to --size.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.suite import machine
from torch import Tensor

from impasto import api, images, models
from impasto.compute.host import keep_pages
from impasto.engine import inputs
from impasto.engine.inputs import Inputs
from impasto.engine.pyramid import Scale, scales
from impasto.images import colour
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, content_targets, style_shares, style_targets
from impasto.planning.plan import make_plan

# Root mean square of the first move and of the longest, in pixel values of [0, 1]: the values of
# the package's L-BFGS when the figures in docs/speed.md were measured.
FIRST_MOVE = 0.01
LONGEST_MOVE = 0.25


@dataclass(frozen=True)
class Candidate:
    """A schedule.

    Attributes:
        iterations: for each size from the coarsest; None for the package's own.
        coarsest: longest side of the first size, in pixels.
        history: length of the L-BFGS history.
        carry: what the optimiser takes over from the last size: nothing, the ``scale`` of its
            first step, or its resampled ``pairs``.
        metric: exponent of the preconditioner, which lets low frequencies take longer steps
            than high ones; 0 for none. The package's is 1.
    """

    iterations: tuple[int, ...] | None = None
    coarsest: int = 128
    history: int = 20
    carry: str = "nothing"
    metric: float = 1.0


CANDIDATES = {
    "default": Candidate(),
    "history 50": Candidate(history=50),
    "twice": Candidate(iterations=(120, 86, 62)),
    "half": Candidate(iterations=(30, 22, 16)),
    "carry scale": Candidate(carry="scale"),
    "carry pairs": Candidate(carry="pairs"),
    "no metric": Candidate(metric=0.0),
    "metric 0.5": Candidate(metric=0.5),
    "metric 1.5": Candidate(metric=1.5),
    "more coarse, fewer fine": Candidate(iterations=(120, 43, 16)),
    "one size": Candidate(iterations=(160,), coarsest=65536),
}


class PreconditionedLbfgs:
    """The package's L-BFGS, with curvature carried over and an adjustable preconditioner.

    The two-loop recursion starts from a multiple of a filter that grows as
    1 / frequency ** ``exponent``, instead of a multiple of the identity.
    """

    def __init__(self, history: int, exponent: float, shape: torch.Size) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=history)
        self._last: tuple[Tensor, Tensor] | None = None
        self._step = 1.0
        self._shape = shape
        self._filter: Tensor | None = None
        self.scale: Tensor | None = None
        if exponent:
            rows = torch.fft.fftfreq(shape[-2]).view(-1, 1)
            columns = torch.fft.rfftfreq(shape[-1]).view(1, -1)
            frequency = (rows**2 + columns**2).sqrt().clamp_min(1 / max(shape[-2:]))
            self._filter = (frequency / 0.5) ** -exponent

    def begin(self, last: PreconditionedLbfgs, carry: str) -> None:
        """Take over curvature from the last size."""
        # The objective is a mean over positions, so the gradient of a pixel and its curvature
        # fall as their number grows.
        ratio = self._shape.numel() / last._shape.numel()
        if last._pairs:
            s, y, rho = last._pairs[-1]
            self.scale = ratio / (rho * (y @ last._precondition(y)))
        if carry == "pairs":
            for s, y, _ in last._pairs:
                s, y = self._resample(s, last), self._resample(y, last) / ratio
                if s @ y > 0:
                    self._pairs.append((s, y, 1 / (s @ y)))

    def step(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the next image; the first step uses the last size's scale, if there is one."""
        x, g = image.flatten(), gradient.flatten()
        if self._last is None and not self._pairs and self.scale is not None:
            self._last = (x, g)
            return (x - self.scale * self._precondition(g)).view_as(image)
        if self._last is not None:
            s, y = x - self._last[0], g - self._last[1]
            if s @ y > 1e-10 * (y @ y):
                self._pairs.append((s, y, 1 / (s @ y)))
        self._last = (x, g)
        move = self._direction(g)
        length = move.square().mean().sqrt().clamp_min(1e-30)
        if self._pairs:
            move = move * (self._step * LONGEST_MOVE / length).clamp_max(1.0)
        else:
            move = move * (self._step * FIRST_MOVE / length)
        return (x + move).view_as(image)

    def restart(self) -> None:
        """Drop the curvature, and halve the steps."""
        self._pairs.clear()
        self._last = None
        self._step /= 2

    def _direction(self, g: Tensor) -> Tensor:
        q = -g
        if not self._pairs:
            return self._precondition(q)
        along = []
        for s, y, rho in reversed(self._pairs):
            along.append(rho * (s @ q))
            q = q - along[-1] * y
        s, y, rho = self._pairs[-1]
        q = self._precondition(q) / (rho * (y @ self._precondition(y)))
        for (s, y, rho), a in zip(self._pairs, reversed(along), strict=True):
            q.add_((a - rho * (y @ q)) * s)
        return q

    def _precondition(self, q: Tensor) -> Tensor:
        if self._filter is None:
            return q
        spectrum = torch.fft.rfft2(q.view(self._shape)) * self._filter
        return torch.fft.irfft2(spectrum, s=self._shape[-2:]).flatten()

    def _resample(self, vector: Tensor, last: PreconditionedLbfgs) -> Tensor:
        picture = vector.view(last._shape)
        return torch.nn.functional.interpolate(
            picture, size=self._shape[-2:], mode="bilinear", align_corners=False
        ).flatten()


class Painting:
    """One pair of pictures, to be painted with any schedule."""

    def __init__(self, content: str, style: str, size: int, **options: Any) -> None:
        self.job = api.make_job("style_transfer", content, style, size=size, **options)
        self.inputs: Inputs = inputs.read(self.job)
        self.plan = make_plan(self.job.runtime)
        self.network = self._load(self.plan.dtype)
        self.judge = self.objective(self._load(torch.float32), self.inputs.scales[-1])

    def paint(self, candidate: Candidate) -> dict[str, Any]:
        """Paint, and return times, losses and the picture."""
        settings = self.inputs.settings.model_copy(update={"coarsest": candidate.coarsest})
        final = self.inputs.scales[-1]
        plan = scales(final.height_px, final.width_px, settings)
        if candidate.iterations is not None:
            if len(candidate.iterations) != len(plan):
                raise SystemExit(f"expected {len(plan)} numbers of iterations: {candidate}")
            plan = tuple(
                dataclasses.replace(scale, iterations=iterations)
                for scale, iterations in zip(plan, candidate.iterations, strict=True)
            )
        image, optimiser, spent_s = self._start(plan[0]), None, 0.0
        curve: list[dict[str, float]] = []
        for scale in plan:
            image = images.resize(image.clamp(0, 1), scale.height_px, scale.width_px)
            began_s = time.perf_counter()
            objective = self.objective(self.network, scale)
            previous, optimiser = (
                optimiser,
                PreconditionedLbfgs(candidate.history, candidate.metric, image.shape),
            )
            if previous is not None and candidate.carry != "nothing":
                optimiser.begin(previous, candidate.carry)
            spent_s += time.perf_counter() - began_s
            for done, best, step_s in descend(objective, optimiser, image, scale.iterations):
                image, spent_s = best, spent_s + step_s
                if scale is plan[-1] and (done % 10 == 0 or done == scale.iterations):
                    curve.append({"step": done, "time_s": spent_s, "loss": self._judge(image)})
        return {
            "iterations": [scale.iterations for scale in plan],
            "megapixel_steps": sum(scale.work for scale in plan) / 1e6,
            "time_s": spent_s,
            "loss": curve[-1]["loss"],
            "curve": curve,
            "picture": image,
        }

    def _judge(self, image: Tensor) -> float:
        return self.judge.evaluate(image.clamp(0, 1)).values()["total"]

    def objective(self, net: models.VGGFeatures, scale: Scale) -> Objective:
        """Build the objective at a size, on the features of ``net``."""
        assert self.inputs.content is not None
        content = images.resize(self.inputs.content.pixels, scale.height_px, scale.width_px)
        styles = [
            images.resize(
                style.pixels,
                *images.fit(
                    style.height_px,
                    style.width_px,
                    min(scale.longest_px, max(style.height_px, style.width_px)),
                ),
            )
            for style in self.inputs.styles
        ]
        settings = self.inputs.settings
        targets = Targets(
            content_targets(net, content, settings), style_targets(net, styles, settings)
        )
        return Objective(net, targets, settings)

    def _start(self, scale: Scale) -> Tensor:
        assert self.inputs.content is not None
        content = images.resize(self.inputs.content.pixels, scale.height_px, scale.width_px)
        shares = style_shares(len(self.inputs.styles), self.inputs.settings)
        return colour.match(
            content, colour.colours([style.pixels for style in self.inputs.styles], shares)
        )

    def _load(self, dtype: torch.dtype) -> models.VGGFeatures:
        settings, runtime = self.inputs.settings, self.job.runtime
        return models.load(
            settings.network,
            weights=runtime.weights,
            dtype=dtype,
            pooling=settings.pooling,
            padding=settings.padding,
            device=self.plan.device,
        )


def descend(
    objective: Objective, optimiser: PreconditionedLbfgs, image: Tensor, iterations: int
) -> Iterator[tuple[int, Tensor, float]]:
    """Yield the count, the best image so far, and the seconds of each step."""
    best, least = image, math.inf
    for done in range(1, iterations + 1):
        began_s = time.perf_counter()
        evaluation = objective.evaluate(image)
        total = evaluation.values()["total"]
        if total < least:
            best, least, slope = image, total, evaluation.gradient
        if not total < 2 * least:
            optimiser.restart()
            image = optimiser.step(best, slope)
        else:
            image = optimiser.step(image, evaluation.gradient)
        yield done, best, time.perf_counter() - began_s


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all these scripts share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("pictures", nargs="+", metavar="CONTENT STYLE")
    parser.add_argument("--size", type=int, default=256, help="longest side, in pixels")
    parser.add_argument("--json", type=Path, help="where rows are added")
    parser.add_argument("--pictures-to", type=Path, help="a folder for the paintings")
    return parser


def pairs(parser: argparse.ArgumentParser, pictures: list[str]) -> list[tuple[str, str]]:
    """Pair each content picture with the style picture after it."""
    if len(pictures) % 2:
        parser.error("expected pairs of pictures: CONTENT STYLE CONTENT STYLE ...")
    return list(zip(pictures[::2], pictures[1::2], strict=True))


def main() -> None:
    """Read the command line, paint, and write."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="a candidate's name; may be repeated")
    parser.add_argument("--candidates", type=Path, help="more of them, as JSON")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    painted = pairs(parser, args.pictures)
    keep_pages()
    candidates = dict(CANDIDATES)
    if args.candidates:
        more = json.loads(args.candidates.read_text())
        candidates |= {name: Candidate(**fields) for name, fields in more.items()}
    rows = []
    for content, style in painted:
        painting = Painting(content, style, args.size, precision=args.precision)
        for name in args.only or candidates:
            run = painting.paint(candidates[name])
            picture = run.pop("picture")
            pair = f"{Path(content).stem} x {Path(style).stem}"
            rows.append({"pair": pair, "size_px": args.size, "candidate": name, **run})
            print(f"{pair:30} {name:26} {run['time_s']:7.1f} s  {run['loss']:.1f}", flush=True)
            if args.pictures_to:
                args.pictures_to.mkdir(parents=True, exist_ok=True)
                path = args.pictures_to / f"{pair} {name}.png".replace(" ", "_")
                images.save_image(images.to_image(picture), path)
            if args.json:
                write(args.json, rows, painting.plan.device)


def write(path: Path, rows: list[dict[str, Any]], device: torch.device) -> None:
    """Write ``rows`` to ``path``; rows of earlier runs stay, unless a new row replaces them."""
    new = {(row["pair"], row["size_px"], row["candidate"]) for row in rows}
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    earlier = [row for row in before if (row["pair"], row["size_px"], row["candidate"]) not in new]
    written = {"machine": machine.describe(device), "rows": earlier + rows}
    path.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Paint the frames of one shot, one after another, with one look.

The first frame is painted like a picture of its own, from coarse to fine. Each later one starts
from the paintings before it, moved along the optical flow, and takes only as many iterations as the
change needs.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.compute.torch_state import isolated
from impasto.config.settings import FORMULA_WEIGHTS, Settings
from impasto.engine import setup, strength
from impasto.engine.cache import Cache
from impasto.engine.inputs import Inputs
from impasto.engine.inputs import read as read_inputs
from impasto.engine.painting import iterate
from impasto.engine.reporting import finished_pixels
from impasto.engine.scale_loop import ScaleLoop
from impasto.engine.scale_setup import ScaleSetup
from impasto.engine.snapshot import Snapshot
from impasto.film.coherence import KEPT, KEPT_EVERY, PaintedFrame, guide
from impasto.images.palette import ColourMap
from impasto.images.picture import load
from impasto.job.job import Job, Region
from impasto.job.recipe import Decisions, Recipe
from impasto.job.result import Step
from impasto.losses.objective import Objective
from impasto.losses.targets import Held
from impasto.optim.minimizer import Iterate
from impasto.planning.plan import ComputePlan, make_plan
from impasto.weights.download import Progress

# A frame is finished when its loss fell by less than this share in so many steps.
_ENOUGH, _WINDOW = 0.03, 3
_FEWEST_STEPS, _MOST_STEPS = 4, 30
# Where much is new, more steps come first: they form strokes there, which the loss of the whole
# frame hardly shows.
_STEPS_WHERE_NEW, _NEW_SHARE = 10, 0.005
# Temporal weight: at this noise, the gradient of the temporal term is this many times that of the
# rest, if ``temporal`` is 0.5.
_NOISE, _SEED, _HALFWAY = 0.02, 0, 1.0
# At 1, nothing that is known could change at all.
_MOST_TEMPORAL = 0.98


@dataclass(frozen=True)
class ShotLook:
    """What is decided once for a shot.

    Attributes:
        decisions: number type, threads, and the weights that strength came to.
        temporal_weight: of the temporal term.
        maps: the colour map of each part of the picture.
        recipe: of the first frame.
    """

    decisions: Decisions
    temporal_weight: float
    maps: dict[int, ColourMap]
    recipe: Recipe


@dataclass(frozen=True)
class FinishedFrame:
    """A frame that has been painted.

    Attributes:
        index: of the frame in the film.
        pixels: the picture, (1, 3, H, W) in [0, 1], float32 on the CPU.
        steps: iterations that it took.
        losses: value of each weighted term, and their sum as ``total``; empty where nothing had
            changed since the frame before.
    """

    index: int
    pixels: Tensor
    steps: int
    losses: dict[str, float]


class ShotPainter:
    """Paints one frame of a shot after another.

    Attributes:
        look: what was decided for the shot; None before its first frame.
        earlier: the frames that the next one is guided by, the latest first.
        last_pixels: the finished picture of the latest frame; None before the first.

    Args:
        job: the film's pictures and options, without a content picture.
        temporal: how strongly frames are held to each other, in [0, 1].
        cache: of networks and style statistics.
        progress: called while weights are downloaded.
    """

    def __init__(
        self, job: Job, temporal: float, cache: Cache, progress: Progress | None = None
    ) -> None:
        # Loaded once; a Picture is used as it is.
        self._job = replace(job, style_images=tuple(load(one) for one in job.style_images))
        self._temporal, self._cache, self._progress = temporal, cache, progress
        self._snapshot: Snapshot | None = None
        self.last_pixels: Tensor | None = None
        self.look: ShotLook | None = None
        self.earlier: list[PaintedFrame] = []

    def restore(self, look: ShotLook, earlier: Sequence[PaintedFrame], last_pixels: Tensor) -> None:
        """Continue a shot after its frames ``earlier``.

        Args:
            look: of the shot.
            earlier: as the attribute was; at least one frame.
            last_pixels: the finished picture of the latest frame.
        """
        self.look, self.earlier, self.last_pixels = look, list(earlier), last_pixels
        job = self._frame_job(earlier[0].pixels, look.decisions)
        plan = make_plan(setup.with_decisions(job.runtime, look.decisions), job.settings)
        inputs = read_inputs(job)
        with isolated(self._threads):
            resolved = setup.resolve_weights(job, inputs, plan, self._cache, look.decisions)
        point = Iterate(earlier[0].canvas.to(plan.device), {})
        last = len(inputs.scales) - 1
        self._snapshot = Snapshot(inputs, resolved, plan, look.decisions, last, point)

    def first(
        self,
        index: int,
        pixels: Tensor,
        samples: Sequence[Tensor] = (),
        regions: Sequence[Region] = (),
    ) -> Generator[Step, None, FinishedFrame]:
        """Paint the first frame of a shot: yield a Step after each iteration, return the frame.

        Args:
            index: of the frame in the film.
            pixels: the frame at the size of the painting, (1, 3, H, W) in [0, 1].
            samples: frames of the shot, of any size, for which strength is measured; by default
                the first frame alone.
            regions: parts of this frame with a style of their own, beside those of the job.
        """
        job = self._frame_job(pixels, regions=regions)
        job = replace(job, decisions=self._decide(job, samples))
        painting = iterate(job, progress=self._progress, cache=self._cache)
        result = yield from painting
        snapshot = painting.snapshot
        assert snapshot is not None
        assert result is not None
        assert result.recipe is not None
        self._snapshot = snapshot
        maps: dict[int, ColourMap] = {}
        canvas = snapshot.point.image
        with isolated(self._threads):
            finished = finished_pixels(snapshot, canvas, snapshot.scale, maps)
            weight = self._temporal_weight(snapshot)
        self.look = ShotLook(snapshot.decisions, weight, maps, result.recipe)
        self.earlier = []
        firm = torch.ones_like(canvas[:, :1])
        self._remember(PaintedFrame(index, pixels, canvas, firm), finished)
        losses = dict(result.history[-1]) if len(result.history) else {}
        return FinishedFrame(index, finished, len(result.history), losses)

    def next(self, index: int, pixels: Tensor, regions: Sequence[Region] = ()) -> FinishedFrame:
        """Paint a later frame of the shot.

        Args:
            index: of the frame in the film; those before it have been painted.
            pixels: as for :meth:`first`.
            regions: as for :meth:`first`; as many as there.

        Raises:
            Diverged: the first loss is not finite.
            OutOfMemoryError: the painting does not fit.
        """
        assert self.look is not None
        assert self._snapshot is not None
        assert self.last_pixels is not None
        latest = self.earlier[0]
        if torch.equal(pixels, latest.pixels) and not regions:
            self._remember(replace(latest, index=index, pixels=pixels), self.last_pixels)
            return FinishedFrame(index, self.last_pixels, 0, {})
        with isolated(self._threads):
            before = self._snapshot
            if regions:
                # Their masks move.
                own = read_inputs(self._frame_job(pixels, self.look.decisions, regions))
                inputs = replace(before.inputs, areas=own.areas, palettes=own.palettes)
                before = replace(before, inputs=inputs)
            return self._next(index, pixels, before, self.look)

    def _next(self, index: int, pixels: Tensor, before: Snapshot, look: ShotLook) -> FinishedFrame:
        scale = before.inputs.scales[-1]
        found = guide(pixels, self.earlier, scale.margin_px)
        finest = replace(scale, iterations=self._most_steps)
        held = Held(found.image, found.firmness, look.temporal_weight)
        inputs = replace(
            before.inputs,
            content=load(pixels),
            scales=(*before.inputs.scales[:-1], finest),
            held=held if look.temporal_weight else None,
        )
        resolved = replace(inputs, settings=before.resolved)
        network = setup.load_network(self._job, before.plan, self._progress, self._cache)
        scale_setup = ScaleSetup(resolved, network, before.plan.device, self._cache)
        fresh = scale_setup.first_image(finest)
        # Without iterations the result is the photograph.
        start = found.start(fresh).contiguous() if finest.iterations else fresh
        snapshot = replace(before, inputs=inputs, point=Iterate(start, {}))
        job = replace(self._job, decisions=look.decisions)
        loop = ScaleLoop(job, snapshot, network, self._cache, notes=[])
        totals: list[float] = []
        least = _STEPS_WHERE_NEW if found.new_share > _NEW_SHARE else _FEWEST_STEPS
        while loop.step({}):
            totals.append(loop.snapshot.point.losses["total"])
            if len(totals) >= least and _has_settled(totals):
                break
        # With smaller budgets, if memory ran out.
        self._snapshot = replace(loop.snapshot, inputs=replace(inputs, held=None))
        canvas = found.keep_still(loop.snapshot.point.image)
        finished = finished_pixels(loop.snapshot, canvas, finest, look.maps)
        self._remember(PaintedFrame(index, pixels, canvas, found.firmer), finished)
        return FinishedFrame(index, finished, len(totals), dict(loop.snapshot.point.losses))

    def _remember(self, frame: PaintedFrame, finished: Tensor) -> None:
        """Keep a painted frame, and those before it that may still help."""
        kept = [one for one in self.earlier if one.index % KEPT_EVERY == 0]
        self.earlier = [frame, *kept[:KEPT]]
        self.last_pixels = finished

    @property
    def _threads(self) -> int | None:
        decisions = None if self.look is None else self.look.decisions
        return setup.with_decisions(self._job.runtime, decisions).threads

    @property
    def _most_steps(self) -> int:
        settings = self._job.settings
        if settings.strength == 0:
            return 0
        asked = settings.iterations
        return _MOST_STEPS if asked is None else min(asked, _MOST_STEPS)

    def _frame_job(
        self,
        pixels: Tensor,
        decisions: Decisions | None = None,
        regions: Sequence[Region] = (),
    ) -> Job:
        height_px, width_px = pixels.shape[-2:]
        settings = self._job.settings.model_copy(update={"size": (width_px, height_px)})
        return replace(
            self._job,
            content_image=pixels,
            settings=settings,
            decisions=decisions,
            regions=(*self._job.regions, *regions),
        )

    def _decide(self, job: Job, samples: Sequence[Tensor]) -> Decisions:
        """Decide alpha and beta for the shot: the mean of what strength comes to in its frames."""
        with isolated(self._threads):
            plan = make_plan(job.runtime, job.settings)
            inputs = read_inputs(job)
            setup.load_network(job, plan, self._progress, self._cache)
            resolved = self._resolve(job, inputs, plan, samples)
            return setup.write_recipe(job, inputs, resolved, plan, self._cache).decisions

    def _resolve(
        self, job: Job, inputs: Inputs, plan: ComputePlan, samples: Sequence[Tensor]
    ) -> Settings:
        """Return the settings with alpha and beta in place of strength."""
        settings = inputs.settings
        if not samples or settings.strength in (None, 0, 1):
            return setup.resolve_weights(job, inputs, plan, self._cache, None)
        network = setup.load_network(
            job, replace(plan, dtype=torch.float32), self._progress, self._cache
        )
        alphas = []
        for sample in samples:
            shown = replace(inputs, content=load(sample))
            measured = strength.resolve(settings, strength.measure(shown, network, self._cache))
            alphas.append(measured.weights[0])
        # Weights act by their ratio.
        alpha = math.exp(sum(math.log(alpha) for alpha in alphas) / len(alphas))
        weights = {"strength": None, "alpha": alpha, "beta": FORMULA_WEIGHTS[1]}
        return settings.model_copy(update=weights)

    def _temporal_weight(self, snapshot: Snapshot) -> float:
        """Return the weight that ``temporal`` stands for in this shot.

        At some noise on the painting, the gradients of the temporal term and of all others have a
        ratio that depends on ``temporal`` alone.
        """
        if not self._temporal:
            return 0.0
        temporal = min(self._temporal, _MOST_TEMPORAL)
        ratio = _HALFWAY * temporal / (1 - temporal)
        network = setup.load_network(self._job, snapshot.plan, self._progress, self._cache)
        scale_plan = snapshot.scale_plan
        scale_setup = ScaleSetup(
            snapshot.resolved_inputs, network, snapshot.plan.device, self._cache
        )
        objective = Objective(
            network,
            scale_setup.targets(snapshot.scale, scale_plan),
            snapshot.resolved,
            tile_px=scale_plan.tile_px,
            tiles_kept=scale_plan.tiles_kept,
            memory_bytes=snapshot.plan.memory_bytes,
            own=self._job.terms,
        )
        image = snapshot.point.image
        generator = torch.Generator().manual_seed(_SEED)
        noise = _NOISE * torch.randn(image.shape, generator=generator).to(image)
        objective.refresh(image + noise, 0)
        norm = float(objective.evaluate(image + noise).gradient.norm())
        # The temporal term's own gradient there is 2 * weight * noise / numel.
        return ratio * norm * image.numel() / (2 * float(noise.norm()))


def _has_settled(totals: Sequence[float]) -> bool:
    """Return whether the loss hardly falls any more."""
    if len(totals) <= _WINDOW:
        return False
    before, now = totals[-1 - _WINDOW], totals[-1]
    return before - now < _ENOUGH * abs(now)

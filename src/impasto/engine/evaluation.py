"""The objective at a picture that is there already: every term, as a painting would count it."""

from __future__ import annotations

from dataclasses import replace

import torch

from impasto.compute.torch_state import isolated
from impasto.engine import setup
from impasto.engine.cache import Cache
from impasto.engine.inputs import read as read_inputs
from impasto.engine.scale_setup import ScaleSetup
from impasto.errors import ShapeError
from impasto.images.picture import Picture
from impasto.job.job import Job
from impasto.losses.objective import Objective
from impasto.planning.plan import make_plan


def evaluate(job: Job, image: Picture, cache: Cache) -> dict[str, float]:
    """Return the weighted terms of a job's objective at ``image``, and their ``total``.

    Args:
        job: what the picture is compared with, at the picture's size and without a margin.
        image: the picture.
        cache: networks and style statistics of earlier jobs.

    Raises:
        ShapeError: the job's picture has another size.
        ImpastoError: as for a painting.
    """
    with isolated(job.runtime.threads):
        inputs, plan = read_inputs(job), make_plan(job.runtime, job.settings)
        scale = inputs.scales[-1]
        if scale.canvas_px != (image.height_px, image.width_px):
            height_px, width_px = scale.canvas_px
            raise ShapeError(
                f"expected a picture of {width_px} x {height_px} pixels, got {image.width_px} x "
                f"{image.height_px}; leave out size and margin, which follow from the picture"
            )
        network = setup.load_network(job, plan, None, cache)
        resolved = setup.resolve_weights(job, inputs, plan, cache, None)
        inputs = replace(inputs, settings=resolved)
        scale_plan = setup.plan_scale(inputs, plan, scale)
        objective = Objective(
            network,
            ScaleSetup(inputs, network, plan.device, cache).targets(scale, scale_plan),
            resolved,
            tile_px=scale_plan.tile_px,
            tiles_kept=scale_plan.tiles_kept,
            ranks=scale_plan.ranks,
            memory_bytes=plan.memory_bytes,
            own=job.terms,
        )
        pixels = image.pixels.to(plan.device, torch.float32)
        objective.refresh(pixels, 0)
        return objective.evaluate(pixels).values()

"""What is settled before the first step: the network, the way of each size, the recipe."""

from __future__ import annotations

from dataclasses import replace

import torch

from impasto import models, weights
from impasto.config.affects import values
from impasto.config.settings import Runtime, Settings, make_runtime
from impasto.engine import inputs, pyramid, strength
from impasto.engine.cache import Cache
from impasto.engine.inputs import Inputs
from impasto.engine.pyramid import Scale
from impasto.job import recipe
from impasto.job.job import Job, JobSpec, PictureReference, RegionReference
from impasto.job.recipe import Change, Decisions, Precision, Recipe
from impasto.losses import terms
from impasto.models.vgg import VGGFeatures
from impasto.planning import plan as plan_module
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import ComputePlan, ScalePlan
from impasto.weights.download import Progress

_PRECISIONS: dict[torch.dtype, Precision] = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


def load_network(
    job: Job, plan: ComputePlan, progress: Progress | None, reuse: Cache
) -> VGGFeatures:
    """Load the network that the job asks for, unless a job before has."""
    name, file, settings = job.settings.network, job.runtime.weights, job.settings
    return reuse.get_or_compute(
        "network",
        (values(settings, "network"), file, plan.dtype, plan.device),
        lambda: models.load(
            name,
            weights=file,
            dtype=plan.dtype,
            pooling=settings.pooling,
            padding=settings.border,
            device=plan.device,
            offline=job.runtime.offline,
            progress=progress,
        ),
    )


def resolve_weights(
    job: Job, given: Inputs, plan: ComputePlan, reuse: Cache, decided: Decisions | Change | None
) -> Settings:
    """Put alpha and beta in the place of strength: as decided before, or as measured now."""
    settings = given.settings
    if not settings.strength:
        return strength.balanced(settings)
    if decided is not None and decided.alpha is not None and decided.beta is not None:
        weights = {"strength": None, "alpha": decided.alpha, "beta": decided.beta}
        return settings.model_copy(update=weights)
    net = load_network(job, replace(plan, dtype=torch.float32), None, reuse)
    return strength.balanced(settings, strength.measure(given, net, reuse))


def obeying(runtime: Runtime, decisions: Decisions | None) -> Runtime:
    """Fill in what was decided earlier where ``runtime`` leaves it open."""
    if decisions is None:
        return runtime
    decided = decisions.model_dump(include={"device", "precision", "threads", "memory"})
    given = runtime.model_dump(include=runtime.model_fields_set)
    return make_runtime(**decided | given)


def plan_scale(given: Inputs, plan: ComputePlan, scale: Scale) -> ScalePlan:
    """Make a size fit into the memory that there is."""
    history = given.settings.history
    return plan_module.plan_scale(
        _demand(given, plan, scale), history, plan.memory_bytes, plan.ranks
    )


def plan_scales(given: Inputs, plan: ComputePlan) -> list[ScalePlan]:
    """Choose the way of each size."""
    return [plan_scale(given, plan, scale) for scale in given.scales]


def demands(given: Inputs, plan: ComputePlan) -> list[ScaleWorkload]:
    """List what each size asks of memory and processor."""
    return [_demand(given, plan, scale) for scale in given.scales]


def shortage(given: Inputs, plan: ComputePlan) -> list[str]:
    """Say that the finest size does not fit into memory, if it does not."""
    finest = given.scales[-1]
    way = plan_scale(given, plan, finest)
    demand, history = _demand(given, plan, finest), given.settings.history
    told = plan_module.shortage(demand, way, history, plan.memory_bytes)
    return [told] if told else []


def _demand(given: Inputs, plan: ComputePlan, scale: Scale) -> ScaleWorkload:
    settings = strength.balanced(given.settings)
    content = list(settings.content_layers) if given.content and settings.alpha else []
    style = list(settings.layers_of_style) if given.styles and settings.beta else []
    ratios = pyramid.style_scales(len(given.styles), settings) if style else ()
    shown = [*zip(given.styles, ratios, strict=False), *((area.style, 1.0) for area in given.areas)]
    return ScaleWorkload(
        *scale.canvas_px,
        layers=tuple(dict.fromkeys([*content, *style])),
        content_layers=tuple(content),
        network=settings.network,
        dtype=plan.dtype,
        optimiser=settings.optimiser,
        steps=scale.iterations,
        style_layers=tuple(style),
        styles_px=tuple(
            pyramid.shown_px(picture, scale, ratio, given.smallest_px) for picture, ratio in shown
        )
        if style
        else (),
        style_tile_px=inputs.style_tile_px(scale, given) if style else None,
        term_bytes=terms.memory_per_pixel(settings),
        indivisible=terms.indivisible(settings, has_style=bool(style)),
    )


def had_to_fit(given: Inputs, plan: ComputePlan) -> int | None:
    """Return the budget of memory, if it decides how any size is painted."""
    unbounded = replace(plan, memory_bytes=None)
    same = plan_scales(given, plan) == plan_scales(given, unbounded)
    return None if same else plan.memory_bytes


def write_recipe(
    job: Job, given: Inputs, used: Settings, plan: ComputePlan, reuse: Cache
) -> Recipe:
    """Write down how the painting is to be made."""
    spec = _spec(job, given)
    settings = spec.settings
    weights_from = (settings.network, job.runtime.weights)
    return Recipe(
        mode=spec.mode,
        settings=settings,
        weights_sha256=reuse.get_or_compute(
            "weights_sha256",
            weights_from,
            lambda: weights.sha256(weights_from[0], file=weights_from[1]),
        ),
        versions=recipe.versions(),
        decisions=Decisions(
            precision=_PRECISIONS[plan.dtype],
            device=plan.device.type,
            threads=torch.get_num_threads(),
            memory=had_to_fit(given, plan),
            ranks=plan.ranks.count if plan.ranks.count > 1 else None,
            alpha=used.alpha if settings.strength else None,
            beta=used.beta if settings.strength else None,
            opacity=strength.opacity(settings, job.decisions),
        ),
        inputs=spec.hashes(),
        parts=recipe.parts(settings),
    )


def _spec(job: Job, given: Inputs) -> JobSpec:
    """Describe the job by the names and hashes of its pictures."""
    # The settings may hold the pictures' paths, which are private.
    settings = given.settings.model_copy(update={"region": None})
    if given.start is not None:
        settings = settings.model_copy(update={"start": None})
    refer = PictureReference.to
    return JobSpec(
        mode=job.mode,
        content=None if given.content is None else refer(given.content),
        styles=tuple(refer(style) for style in given.styles),
        start=None if given.start is None else refer(given.start),
        regions=tuple(
            RegionReference(
                refer(area.mask),
                refer(area.style),
                None if area.style_mask is None else refer(area.style_mask),
                area.mask_colour,
                area.style_mask_colour,
            )
            for area in given.areas
        ),
        settings=settings,
    )

"""What is set up before the first step: the network, a plan for each size, the recipe."""

from __future__ import annotations

from dataclasses import replace

import torch

from impasto import models, weights
from impasto.config.affects import values
from impasto.config.networks import network_spec
from impasto.config.settings import Runtime, Settings, make_runtime
from impasto.engine import pyramid, strength
from impasto.engine.cache import Cache
from impasto.engine.inputs import Inputs, style_tile_px
from impasto.engine.pyramid import Scale
from impasto.job import recipe
from impasto.job.job import Job, JobSpec, PictureReference, RegionReference
from impasto.job.recipe import Change, Decisions, Recipe
from impasto.losses import terms
from impasto.models.base import FeatureNetwork
from impasto.models.module import ModuleFeatures, ModuleSpec
from impasto.planning import plan as plan_module
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import ComputePlan, ScalePlan
from impasto.weights.download import Progress


def load_network(
    job: Job, plan: ComputePlan, progress: Progress | None, cache: Cache
) -> FeatureNetwork:
    """Load the job's network, or take it from the cache."""
    name, file, settings = job.settings.network, job.runtime.weights, job.settings
    spec = network_spec(name)

    def load() -> FeatureNetwork:
        if isinstance(spec, ModuleSpec):
            return ModuleFeatures(spec, plan.device)
        return models.load(
            name,
            weights=file,
            dtype=plan.dtype,
            pooling=settings.pooling,
            padding=settings.border,
            device=plan.device,
            offline=job.runtime.offline,
            progress=progress,
        )

    key = (values(settings, "network"), file, plan.dtype, plan.device, spec)
    return cache.get_or_compute("network", key, load)


def resolve_weights(
    job: Job, inputs: Inputs, plan: ComputePlan, cache: Cache, decided: Decisions | Change | None
) -> Settings:
    """Replace strength by alpha and beta, from an earlier painting or from a measurement."""
    settings = inputs.settings
    if settings.strength in (None, 0, 1):
        return strength.resolve(settings)
    if decided is not None and decided.alpha is not None and decided.beta is not None:
        weights = {"strength": None, "alpha": decided.alpha, "beta": decided.beta}
        return settings.model_copy(update=weights)
    net = load_network(job, replace(plan, dtype=torch.float32), None, cache)
    return strength.resolve(settings, strength.measure(inputs, net, cache))


def with_decisions(runtime: Runtime, decisions: Decisions | None) -> Runtime:
    """Fill in what ``runtime`` does not set, from the decisions of an earlier painting."""
    if decisions is None:
        return runtime
    decided = decisions.model_dump(include={"device", "precision", "threads", "memory"})
    explicit = runtime.model_dump(include=runtime.model_fields_set)
    return make_runtime(**decided | explicit)


def plan_scale(inputs: Inputs, plan: ComputePlan, scale: Scale) -> ScalePlan:
    """Plan one size so that it fits into the memory budget."""
    history = inputs.settings.history
    return plan_module.plan_scale(
        _workload(inputs, plan, scale), history, plan.memory_bytes, plan.ranks
    )


def plan_scales(inputs: Inputs, plan: ComputePlan) -> list[ScalePlan]:
    """Plan each size."""
    return [plan_scale(inputs, plan, scale) for scale in inputs.scales]


def workloads(inputs: Inputs, plan: ComputePlan) -> list[ScaleWorkload]:
    """List the workload of each size."""
    return [_workload(inputs, plan, scale) for scale in inputs.scales]


def shortage(inputs: Inputs, plan: ComputePlan) -> list[str]:
    """Return a message if the finest size does not fit into memory; an empty list if it does."""
    finest = inputs.scales[-1]
    scale_plan = plan_scale(inputs, plan, finest)
    workload, history = _workload(inputs, plan, finest), inputs.settings.history
    message = plan_module.shortage(workload, scale_plan, history, plan.memory_bytes)
    return [message] if message else []


def _workload(inputs: Inputs, plan: ComputePlan, scale: Scale) -> ScaleWorkload:
    settings = strength.resolve(inputs.settings)
    content = list(settings.content_layers) if inputs.content and settings.alpha else []
    style = list(settings.layers_of_style) if inputs.styles and settings.beta else []
    ratios = pyramid.style_scales(len(inputs.styles), settings) if style else ()
    shown = [
        *zip(inputs.styles, ratios, strict=False),
        *((area.style, 1.0) for area in inputs.areas),
    ]
    return ScaleWorkload(
        *scale.canvas_px,
        layers=tuple(dict.fromkeys([*content, *style, *terms.layers_of(inputs.terms)])),
        content_layers=tuple(content),
        network=settings.network,
        dtype=plan.dtype,
        int8=plan.int8,
        optimiser=settings.optimiser,
        steps=scale.iterations,
        style_layers=tuple(style),
        styles_px=tuple(
            pyramid.shown_px(picture, scale, ratio, inputs.smallest_px) for picture, ratio in shown
        )
        if style
        else (),
        style_tile_px=style_tile_px(scale, inputs) if style else None,
        term_bytes=terms.memory_per_pixel(settings),
        indivisible=terms.indivisible(settings, inputs.terms, has_style=bool(style)),
    )


def binding_budget(inputs: Inputs, plan: ComputePlan) -> int | None:
    """Return the memory budget, if it changes the plan of any size."""
    unbounded = replace(plan, memory_bytes=None)
    same = plan_scales(inputs, plan) == plan_scales(inputs, unbounded)
    return None if same else plan.memory_bytes


def write_recipe(
    job: Job, inputs: Inputs, resolved: Settings, plan: ComputePlan, cache: Cache
) -> Recipe:
    """Return the recipe, as far as it is known before the first step."""
    spec = _spec(job, inputs)
    settings = spec.settings
    name, file = settings.network, job.runtime.weights
    network = network_spec(name)
    return Recipe(
        mode=spec.mode,
        settings=settings,
        weights_sha256=network.sha256
        if isinstance(network, ModuleSpec)
        else cache.get_or_compute(
            "weights_sha256", (name, file), lambda: weights.sha256(name, file=file)
        ),
        versions=recipe.versions(),
        decisions=Decisions(
            precision=plan.precision,
            device=plan.device.type,
            threads=torch.get_num_threads(),
            memory=binding_budget(inputs, plan),
            ranks=plan.ranks.count if plan.ranks.count > 1 else None,
            alpha=resolved.alpha if settings.strength else None,
            beta=resolved.beta if settings.strength else None,
            opacity=strength.opacity(settings, job.decisions),
        ),
        inputs=spec.hashes(),
        parts=recipe.parts(settings),
        terms=tuple(recipe.RecordedTerm.of(name, term) for name, term in job.terms.items()),
    )


def _spec(job: Job, inputs: Inputs) -> JobSpec:
    """Describe the job by the names and hashes of its pictures."""
    # The settings may hold the pictures' paths, which are private.
    settings = inputs.settings.model_copy(update={"region": None})
    if inputs.start is not None:
        settings = settings.model_copy(update={"start": None})
    refer = PictureReference.to
    return JobSpec(
        mode=job.mode,
        content=None if inputs.content is None else refer(inputs.content),
        styles=tuple(refer(style) for style in inputs.styles),
        start=None if inputs.start is None else refer(inputs.start),
        regions=tuple(
            RegionReference(
                refer(area.mask),
                refer(area.style),
                None if area.style_mask is None else refer(area.style_mask),
                area.mask_colour,
                area.style_mask_colour,
            )
            for area in inputs.areas
        ),
        settings=settings,
    )

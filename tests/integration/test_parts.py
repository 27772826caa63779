"""Parts that a package brings, one file each: an optimiser, statistics, and a term with a state."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from impasto.config.settings import make_settings
from impasto.engine import checkpoint, inputs, setup
from impasto.engine.painting import iterate
from impasto.errors import CheckpointError, ImageError, OutOfMemoryError, SettingsError
from impasto.job import recipe
from impasto.job.job import Region
from impasto.losses import terms
from impasto.losses.objective import Objective
from impasto.losses.targets import Targets, style_statistics, style_targets
from impasto.losses.terms import Stateless
from impasto.optim.base import VECTOR_BYTES
from impasto.planning import memory_model
from impasto.planning.memory_model import ScaleWorkload
from impasto.planning.plan import make_plan, plan_scale

MOMENTUM = """
import torch
from impasto.optim.base import SCALE_LAYOUT, VECTOR_BYTES, StateTensor, StepMemory, read_scale

class Momentum:
    has_history = False

    def __init__(self, rate):
        self.rate, self.scale, self.velocity = rate, 1.0, None

    @classmethod
    def from_settings(cls, settings, *, history_dtype=None, longest_px=None):
        return cls(settings.learning_rate)

    @classmethod
    def memory_per_pixel(cls, history, history_dtype, steps):
        return StepMemory(held=VECTOR_BYTES, moving=VECTOR_BYTES)

    def step(self, image, gradient):
        gradient /= gradient.abs().max().clamp_min(1e-30)
        self.velocity = gradient if self.velocity is None else 0.9 * self.velocity + gradient
        return image - self.rate * self.scale * self.velocity

    def restart(self):
        self.velocity, self.scale = None, self.scale / 2

    def retarget(self, settings):
        self.rate = settings.learning_rate

    def state_dict(self):
        state = {"scale": torch.tensor(self.scale, dtype=torch.float64)}
        return state if self.velocity is None else {**state, "velocity": self.velocity}

    def load_state_dict(self, state):
        self.scale, self.velocity = read_scale(state), state.get("velocity")

    def state_layout(self, shape, dtype):
        return {"scale": SCALE_LAYOUT, "velocity": StateTensor(tuple(shape), (dtype,))}
"""

POWERS = """
import torch

class Powers:
    additive = True
    stays_on_device = True

    def __init__(self, layers):
        self.layers = tuple(layers)

    def sum(self, features, roots):
        return {name: self.powers(maps, roots[name]) for name, maps in features.items()}

    def powers(self, maps, roots):
        weights = 1.0 if roots is None else roots.square()
        parts = [(weights * maps**power).sum((0, 2, 3), dtype=torch.float32) for power in (1, 3)]
        return torch.stack(parts)

    def distance(self, target):
        return lambda sums: {
            name: (value - target[name]).square().mean() for name, value in sums.items()
        }

class Largest(Powers):
    additive = False

    def powers(self, maps, roots):
        return maps.amax((0, 2, 3)) * maps[0, 0].numel()
"""


@pytest.fixture
def install(tmp_path_factory, monkeypatch):
    """``install(module, source, group, target)``: a package that declares one part."""
    modules = []

    def make(module, source, group, **targets):
        folder = tmp_path_factory.mktemp(module)
        (folder / f"{module}.py").write_text(source)
        info = folder / f"impasto_{module}-3.1.dist-info"
        info.mkdir()
        name = f"Name: impasto-{module}\nVersion: 3.1\n"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\n{name}")
        lines = [f"{word} = {module}:{attribute}\n" for word, attribute in targets.items()]
        (info / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}")
        monkeypatch.syspath_prepend(str(folder))
        modules.append(module)

    yield make
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def _momentum(install):
    install("momentum", MOMENTUM, "impasto.optimisers", momentum="Momentum")


@pytest.fixture
def _powers(install):
    install("powers", POWERS, "impasto.statistics", powers="Powers", largest="Largest")


def resumed_after(job, steps, path):
    """Paint so many steps, and write and read a checkpoint there."""
    painting = iterate(job)
    for _ in range(steps):
        next(painting)
    checkpoint.write(painting.checkpoint(), path)
    painting.close()
    return checkpoint.read(path)


@pytest.mark.usefixtures("_momentum")
def test_an_optimiser_is_one_file(job_of, paint, tmp_path):
    job = job_of(optimiser="momentum")
    steps, result = paint(job)
    assert steps[5].losses["total"] < 0.9 * steps[0].losses["total"]
    for done in (1, 4, 6, 7, 11):
        kept = resumed_after(job, done, tmp_path / "kept")
        again = paint(job, resume=kept)[1]
        assert again.pixels.equal(result.pixels)
        assert again.recipe == result.recipe
    assert "velocity" in kept.state.optimiser_state
    other = paint(job_of(optimiser="adam"))[1]
    assert not other.pixels.equal(result.pixels)


@pytest.mark.usefixtures("_momentum")
def test_an_optimiser_is_planned_with_its_own_memory():
    def peak(optimiser):
        layers = ("relu1_1",)
        workload = ScaleWorkload(4000, 4000, layers, (), "vgg16", torch.float32, optimiser, 30)
        # In tiles so small that the vectors decide.
        return plan_scale(workload, 20, None), workload.peak_bytes(256, 20, False)

    way, momentum = peak("momentum")
    _, adam = peak("adam")
    _, lbfgs = peak("lbfgs")
    assert (way.history, way.history_dtype) == (20, None)
    vectors = 4000**2 * VECTOR_BYTES
    assert adam - momentum == 2 * vectors
    assert lbfgs - momentum > 30 * vectors
    images = memory_model._IMAGES
    assert momentum == pytest.approx(memory_model.BASE_BYTES + (images + 2) * vectors, rel=0.02)


@pytest.mark.usefixtures("_momentum")
def test_the_state_of_another_optimiser_is_refused(job_of, tmp_path):
    kept = resumed_after(job_of(optimiser="momentum"), 4, tmp_path / "kept")
    settings = kept.recipe.settings.model_copy(update={"optimiser": "adam"})
    other = kept.recipe.model_copy(update={"settings": settings})
    checkpoint.write(replace(kept, recipe=other), tmp_path / "kept")
    with pytest.raises(CheckpointError, match=r"remembered\.velocity: unknown"):
        checkpoint.read(tmp_path / "kept")


def halves(height, width):
    mask = np.zeros((height, width), dtype=np.float32)
    mask[:, width // 3 :] = 1
    return mask


@pytest.mark.usefixtures("_powers")
def test_a_statistic_is_one_file_and_works_with_masks_tiles_and_resume(
    job_of, paint, picture, tmp_path
):
    options = {
        "palette": 0,  # its bounded slope would amplify how tiles round
        "size": 300, "coarsest": 300, "iterations": 4, "statistic": "powers",
        "style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_2": 1},
    }  # fmt: skip
    region = Region(halves(300, 250), picture(60, 50, seed=9).float())
    whole, tiled = (
        replace(job_of(**options, **memory), regions=(region,))
        for memory in ({}, {"memory": 2**20})
    )
    plan = make_plan(tiled.runtime)
    assert setup.plan_scales(inputs.read(tiled), plan)[-1].tile_px is not None
    steps, result = paint(whole)
    assert {"style:relu1_1", "style:relu2_1:region1"} <= steps[0].losses.keys()
    assert steps[-1].losses["total"] < steps[0].losses["total"]
    tiled_steps, in_tiles = paint(tiled)
    assert tiled_steps[0].losses == pytest.approx(steps[0].losses, rel=1e-4)
    assert (in_tiles.pixels - result.pixels).abs().max() < 1e-2
    for job, pixels in ((whole, result.pixels), (tiled, in_tiles.pixels)):
        kept = resumed_after(job, 2, tmp_path / "kept")
        assert paint(job, resume=kept)[1].pixels.equal(pixels)


@pytest.mark.usefixtures("_powers")
def test_a_recipe_names_the_package_of_a_part(job_of, paint, tmp_path):
    job = job_of(statistic="powers")
    made = paint(job)[1].recipe
    (part,) = made.parts
    assert (part.option, part.name, part.package, part.version) == (
        "statistic", "powers", "impasto-powers", "3.1",
    )  # fmt: skip
    assert recipe.parse(made.text(), "'a.png'") == made
    kept = resumed_after(job, 3, tmp_path / "kept")
    newer = part.model_copy(update={"version": "4.0"})
    kept = replace(kept, recipe=kept.recipe.model_copy(update={"parts": (newer,)}))
    with pytest.raises(CheckpointError, match=r"version of impasto-powers was '4\.0', and is"):
        paint(job, resume=kept)


def test_a_recipe_whose_part_is_not_installed_is_refused_in_one_line(
    install, job_of, paint, monkeypatch, tmp_path
):
    with monkeypatch.context():
        install("powers", POWERS, "impasto.statistics", powers="Powers")
        job = job_of(statistic="powers")
        text = paint(job)[1].recipe.text()
        resumed_after(job, 3, tmp_path / "kept")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "powers" not in path])
    told = r"it needs the statistic 'powers' of impasto-powers 3\.1, which is not installed here"
    with pytest.raises(ImageError, match=told) as caught:
        recipe.parse(text, "'a.png'")
    assert str(caught.value).isprintable()
    with pytest.raises(CheckpointError, match=told) as caught:
        checkpoint.read(tmp_path / "kept")
    assert str(caught.value).isprintable()
    bare = made_without_parts(text)
    with pytest.raises(ImageError, match="of a package that it does not name"):
        recipe.parse(bare, "'a.png'")


def made_without_parts(text):
    return json.dumps({name: value for name, value in json.loads(text).items() if name != "parts"})


@pytest.mark.usefixtures("_powers")
def test_what_does_not_add_up_is_painted_whole_and_by_one_process_or_refused(
    job_of, paint, picture, small_network
):
    steps, _ = paint(job_of(statistic="largest"))
    assert steps[-1].losses["total"] < steps[0].losses["total"]
    # The planner, where memory would need tiles.
    wide = {"style_layers": {"relu1_1": 1}, "content_layers": {"relu1_1": 1}}
    scarce = job_of(statistic="largest", size=300, coarsest=300, memory=2**20, **wide)
    with pytest.raises(OutOfMemoryError, match=r"statistic 'largest': expected 2.. x 3.. pixels"):
        paint(scarce)
    # The objective, by itself.
    settings = make_settings(statistic="largest", **wide)
    network, image = small_network(), picture(96, 96)
    targets = Targets({}, style_targets(network, [image], settings))
    Objective(network, targets, settings)
    for divided in ({"tile_px": 32}, {"ranks": replace(make_plan(scarce.runtime).ranks, count=2)}):
        with pytest.raises(SettingsError, match="statistic 'largest': expected a picture held"):
            Objective(network, targets, settings, **divided)
    with pytest.raises(SettingsError, match="got tiles of 32 pixels"):
        style_statistics(network, image, settings, tile_px=32)
    # And the planner, for several processes.
    workload = ScaleWorkload(
        300, 300, ("relu1_1",), (), "vgg16", torch.float32, "lbfgs", 9, indivisible="It"
    )
    with pytest.raises(SettingsError, match=r"It: expected a picture held whole .* 2 processes"):
        plan_scale(workload, 9, None, replace(make_plan(scarce.runtime).ranks, count=2))


class Anchor(Stateless):
    """Holds the picture near to what it was some steps ago: a term that is renewed."""

    layers = ()
    every = 3

    def __init__(self, network, targets, settings):
        self.picture = None

    @classmethod
    def memory_per_pixel(cls, settings):
        return 12.0

    def refresh(self, image, step, views):
        if self.picture is not None and step % self.every:
            return False
        self.picture = torch.zeros_like(image)
        for view in views:
            own = view.tile.core_of_image(self.picture, 1)
            own += 0.5 * view.tile.core_and_next(view.pixels)[..., : own.shape[-2], : own.shape[-1]]
        return True

    def sums(self, view):
        own = view.tile.core_of_image(self.picture, 1)
        near = view.tile.core_and_next(view.pixels)[..., : own.shape[-2], : own.shape[-1]]
        return {"anchor": (near - own).square().sum()}

    def values(self, sums, size_px):
        return {"anchor": sums["anchor"] * (1e4 / (size_px[0] * size_px[1]))}

    def state_dict(self):
        return {} if self.picture is None else {"picture": self.picture}

    def load_state_dict(self, state, size_px):
        if state.keys() != {"picture"}:
            raise ValueError("expected a picture")
        self.picture = state["picture"]


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_term_with_a_state_is_renewed_and_resumed_between_two_renewals(
    optimiser, job_of, paint, monkeypatch, tmp_path
):
    monkeypatch.setattr(terms, "TERMS", [*terms.TERMS, Anchor])
    job = job_of(optimiser=optimiser)
    steps, result = paint(job)
    assert all(step.losses["anchor"] > 0 for step in steps)
    for done in range(1, 12):
        kept = resumed_after(job, done, tmp_path / "kept")
        again, rest = paint(job, resume=kept)
        assert [step.losses for step in again] == [step.losses for step in steps[done:]]
        assert rest.pixels.equal(result.pixels)
    # Without what it was renewed to, the painting would have gone on otherwise.
    kept = resumed_after(job, 5, tmp_path / "kept")
    assert [*kept.state.term_state] == ["4.picture"]
    forgotten = replace(kept, state=replace(kept.state, term_state={}))
    assert not paint(job, resume=forgotten)[1].pixels.equal(result.pixels)
    wrong = replace(kept, state=replace(kept.state, term_state={"3.other": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="does not fit the painting"):
        paint(job, resume=wrong)
    unknown = replace(kept, state=replace(kept.state, term_state={"0.other": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="does not fit the painting"):
        paint(job, resume=unknown)


def test_a_term_with_a_state_is_renewed_over_all_tiles_and_planned_with_its_memory(
    job_of, paint, monkeypatch
):
    options = {
        "size": 300, "coarsest": 300, "iterations": 5, "optimiser": "adam",
        "style_layers": {"relu1_1": 1, "relu2_1": 1}, "content_layers": {"relu2_2": 1},
    }  # fmt: skip
    without = setup.workloads(inputs.read(job_of(**options)), make_plan(job_of().runtime))[-1]
    monkeypatch.setattr(terms, "TERMS", [*terms.TERMS, Anchor])
    demand = setup.workloads(inputs.read(job_of(**options)), make_plan(job_of().runtime))[-1]
    pixels = demand.height_px * demand.width_px
    more = demand.peak_bytes(None, 20, True) - without.peak_bytes(None, 20, True)
    assert more == pytest.approx(12 * pixels, abs=1)
    whole, result = paint(job_of(**options))
    tiled, in_tiles = paint(job_of(**options, memory=2**20))
    for one, other in zip(whole, tiled, strict=True):
        assert other.losses["anchor"] == pytest.approx(one.losses["anchor"], rel=1e-3)
    assert (in_tiles.pixels - result.pixels).abs().mean() < 1e-4

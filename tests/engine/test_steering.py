"""What may change while a painting is under way, and what the painting makes of it."""

import time
from dataclasses import replace

import pytest
import torch

from impasto.config.settings import make_settings
from impasto.engine import setup, strength
from impasto.engine.painting import iterate
from impasto.engine.steering import check_change, steerable, target_options
from impasto.errors import SettingsError
from impasto.job.recipe import Budget, Change, Decisions

CHANGES = {
    "content_layers": {"relu3_1": 1.0, "relu4_2": 2.0},
    "style_layers": {"relu1_1": 3.0, "relu2_1": 1.0},
    "motifs": 0.5,
    "strength": 0.3,
    "alpha": 20.0,
    "beta": 1e3,
    "total_variation": 10.0,
    "style_weights": (1.0, 3.0),
    "style_scale": (0.8,),
    "palette": 0.25,
    "learning_rate": 0.1,
}
# In place of alpha and beta, and of style layers; and what recolours the picture at once.
BESIDE_OBJECTIVE = ("strength", "palette", "motifs")


def finish(painting):
    while True:
        try:
            next(painting)
        except StopIteration as end:
            return end.value


def test_the_settings_say_which_of_them_may_change():
    assert steerable() == tuple(CHANGES)


@pytest.mark.parametrize(("name", "value"), CHANGES.items())
def test_a_change_is_made_between_two_steps_and_written_down(job_of, name, value):
    painting = iterate(job_of(optimiser="adam"))
    steps = [next(painting) for _ in range(3)]
    steps.append(painting.send({name: value}))
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert getattr(painting.settings, name) == value
    result = finish(painting)
    assert len(result.history) == 12
    (change,) = result.recipe.decisions.changes
    assert (change.after, list(change.settings)) == (3, [name])
    assert getattr(result.settings, name) == value
    assert getattr(result.recipe.settings, name) != value


def test_the_changed_objective_is_the_one_that_such_settings_have(job_of):
    change = {name: value for name, value in CHANGES.items() if name not in BESIDE_OBJECTIVE}
    steered, other = iterate(job_of(palette=0)), iterate(job_of(**change))
    next(other)
    for _ in range(4):
        first = next(steered)
    after = steered.send(change)
    # One more evaluation at the best image, of the other objective.
    assert after.losses.keys() == {
        "content:relu3_1", "content:relu4_2", "style:relu1_1", "style:relu2_1",
        "total_variation", "total",
    }  # fmt: skip
    objective = steered._scale_loop._objective.evaluate
    fresh = other._scale_loop._objective.evaluate
    image = torch.rand(
        steered._scale_loop.snapshot.point.image.shape, generator=torch.Generator().manual_seed(5)
    )
    assert objective(image).values() == fresh(image).values()
    assert after.image().tobytes() == first.image().tobytes()


def test_a_painting_gets_better_at_what_it_was_steered_to(job_of):
    painting = iterate(job_of(iterations=60, coarsest=48))
    for _ in range(20):
        next(painting)
    totals = [painting.send({"beta": 1e6}).losses["total"]]
    totals += [next(painting).losses["total"] for _ in range(20)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < 0.9 * totals[0]


@pytest.mark.heavy
@pytest.mark.parametrize("mode", ["style_transfer", "content", "style"])
def test_obeying_its_decisions_repeats_a_steered_painting(job_of, mode):
    change = {"beta": 1e3} if mode == "style" else {"alpha": 3.0, "total_variation": None}
    painting = iterate(job_of(mode))
    next(painting)
    painting.send(change)
    for _ in range(6):
        next(painting)
    painting.send({"total_variation": 5})
    result = finish(painting)
    job = job_of(mode)
    again = finish(iterate(replace(job, decisions=result.recipe.decisions)))
    assert [change.after for change in result.recipe.decisions.changes] == [1, 8]
    assert again.pixels.equal(result.pixels)
    assert again.recipe == result.recipe
    assert not finish(iterate(job)).pixels.equal(result.pixels)


@pytest.mark.parametrize(
    ("mode", "change", "told"),
    [
        ("style_transfer", {"size": 64}, "size: cannot change while painting: expected one of"),
        ("style_transfer", {"sise": 64}, "sise: cannot change while painting"),
        ("style_transfer", {"beta": -1}, "beta: expected a number greater than or equal to 0"),
        ("style_transfer", {"alpha": 0, "beta": 0}, "alpha and beta: expected a weight above 0"),
        ("content", {"alpha": 0}, "alpha: expected a weight above 0 in content mode"),
        ("style_transfer", {"style_layers": {"relu9_9": 1}}, "relu9_9"),
        ("style_transfer", {"style_weights": (1, 2, 3)}, "style_weights: expected 2"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_the_painting_goes_on(job_of, mode, change, told):
    painting, untouched = iterate(job_of(mode)), iterate(job_of(mode))
    next(painting)
    with pytest.raises(SettingsError, match=told):
        painting.send(change)
    result = finish(painting)
    assert result.recipe.decisions.changes == ()
    assert result.pixels.equal(finish(untouched).pixels)


def test_a_change_before_the_first_step_is_a_change_all_the_same(job_of):
    painting = iterate(job_of())
    with pytest.raises(SettingsError):
        painting.send({"beta": -1})
    painting.send({"beta": 7})
    result = finish(painting)
    assert result.recipe.decisions.changes == (Change(after=0, settings={"beta": 7.0}),)
    assert result.pixels.equal(finish(iterate(job_of(beta=7))).pixels)


def test_a_change_to_what_is_already_so_changes_nothing(job_of):
    painting = iterate(job_of())
    next(painting)
    painting.send({"beta": painting.settings.beta})
    result = finish(painting)
    assert result.recipe.decisions.changes == ()
    assert result.pixels.equal(finish(iterate(job_of())).pixels)


def test_layers_that_come_and_go_leave_gaps_in_the_history(job_of):
    painting = iterate(job_of())
    next(painting)
    painting.send({"style_layers": {"relu2_1": 1}})
    history = finish(painting).history
    columns = history.columns()
    assert columns["style:relu1_1"][0] > 0
    assert all(value != value for value in columns["style:relu1_1"][1:])
    assert "style:relu1_1" not in history.losses()
    assert history.terms[-1] == "total"


def test_what_strength_comes_to_is_measured_once_and_written_down(job_of, monkeypatch):
    painting = iterate(job_of(strength=0.5))
    next(painting)
    painting.send({"strength": 0.9})
    result = finish(painting)
    decisions = result.recipe.decisions
    (change,) = decisions.changes
    assert change.alpha < decisions.alpha
    assert (change.beta, change.settings) == (decisions.beta, {"strength": 0.9})
    monkeypatch.setattr(strength, "measure", None)
    again = finish(iterate(replace(job_of(strength=0.5), decisions=decisions)))
    assert again.pixels.equal(result.pixels)
    assert again.recipe == result.recipe


def test_where_one_weight_takes_the_place_of_strength_the_other_stays(job_of):
    painting = iterate(job_of(strength=0.5))
    next(painting)
    alpha = painting._scale_loop.snapshot.resolved.alpha
    painting.send({"beta": 7.0})
    assert (painting.settings.alpha, painting.settings.beta) == (alpha, 7.0)
    painting.send({"strength": 0.5})
    assert (painting._scale_loop.snapshot.resolved.alpha, painting.settings.alpha) == (alpha, None)


def test_targets_are_kept_where_only_weights_change(job_of):
    painting = iterate(job_of())
    next(painting)
    before = painting._scale_loop._targets[1]
    painting.send({"beta": 1.0, "style_layers": dict.fromkeys(painting.settings.style_layers, 1.0)})
    assert painting._scale_loop._targets[1] is before
    painting.send({"style_layers": {"relu1_1": 1.0}})
    assert painting._scale_loop._targets[1] is not before


def test_what_a_weight_of_zero_left_out_is_made_when_it_counts_again():
    kept = target_options(make_settings(alpha=0))
    assert kept != target_options(make_settings(alpha=1))
    assert target_options(make_settings(alpha=1)) == target_options(make_settings(alpha=2))
    assert target_options(make_settings()) != target_options(make_settings(pooling="average"))


def test_a_painting_can_be_closed(job_of):
    painting = iterate(job_of())
    next(painting)
    painting.close()
    with pytest.raises(StopIteration):
        next(painting)


def test_a_check_alone_changes_nothing(job_of):
    job = job_of()
    settings = check_change(job, job.settings, {"beta": 3})
    assert (settings.beta, job.settings.beta) == (3, 5e4)
    assert setup.with_decisions(job.runtime, None) is job.runtime


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "decided"),
    [
        ("budgets", [Budget(after=0, memory=2**33 + number) for number in range(4000)]),
        ("changes", [Change(after=0, settings={"beta": 1.0 + n}) for n in range(3000)]),
        ("changes", [Change(after=0, settings={"beta": 5e4}) for _ in range(3000)]),
    ],
    ids=["budgets", "changes", "changes to the same"],
)
def test_thousands_of_decisions_are_obeyed_in_seconds(job_of, paint, name, decided):
    decisions = Decisions(precision="fp32", device="cpu", threads=1, **{name: tuple(decided)})
    began_s = time.process_time()
    _, result = paint(replace(job_of(), decisions=decisions))
    assert time.process_time() - began_s < 8.0
    assert len(result.recipe.decisions.model_dump()[name]) in (0, len(decided))
    last = Decisions(precision="fp32", device="cpu", threads=1, **{name: (decided[-1],)})
    _, alone = paint(replace(job_of(), decisions=last))
    assert torch.equal(result.pixels, alone.pixels)


def test_a_change_to_what_is_so_does_not_repeat_the_changes_after_it(job_of, paint):
    betas = (5e4, 5e4, 4e4, 3e4)
    changes = tuple(Change(after=2, settings={"beta": beta}) for beta in betas)
    decisions = Decisions(precision="fp32", device="cpu", threads=1, changes=changes)
    _, result = paint(replace(job_of(), decisions=decisions))
    assert [made.settings["beta"] for made in result.recipe.decisions.changes] == [4e4, 3e4]

"""First looks: their queue and bound by themselves, and with a real painter."""

import io
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.job.job import JobSpec, PictureReference
from impasto.studio.looks import PICTURE, Looks, check, look_id
from impasto.studio.schemas import LookStatus

SPEC = JobSpec(
    "style_transfer",
    PictureReference(None, "a" * 64, "cat.jpg"),
    (PictureReference(None, "b" * 64, "night.jpg"),),
)
SETTINGS = {
    **{"size": 64, "coarsest": 32, "size_ratio": 2.0, "iterations": 40, "seed": 3},
    "strength": 0.5,
}


def seeded(seed):
    return replace(SPEC, settings=Settings(seed=seed))


def paint(look):
    (look.folder / PICTURE).write_bytes(b"x" * 1000)


def test_new_wishes_replace_a_clients_earlier_ones_and_the_latest_client_comes_first(tmp_path):
    looks = Looks(tmp_path)
    looks.want("a", [seeded(1), seeded(2)])
    looks.want("b", [seeded(3)])
    looks.want("a", [seeded(4), seeded(5)])
    taken = []
    while look := looks.take():
        paint(look)
        looks.finish(look.id)
        taken.append(look.spec.settings.seed)
    assert taken == [4, 5, 3]


def test_an_interrupted_look_is_the_next_one_and_a_failed_one_is_not_tried_again(tmp_path):
    looks = Looks(tmp_path)
    looks.want("a", [seeded(1), seeded(2)])
    first = looks.take()
    assert looks.is_painted(first.id)
    looks.put_back(first.id)
    assert looks.take() == first
    looks.finish(first.id, "it cannot be painted")
    assert (looks.state(first.id), looks.error(first.id)) == ("failed", "it cannot be painted")
    looks.want("a", [seeded(1)])
    assert looks.take() is None


def test_the_looks_that_were_used_least_recently_are_deleted_beyond_the_bound(tmp_path):
    looks = Looks(tmp_path, most_bytes=2500)
    looks.want("a", [seeded(number) for number in range(4)])
    painted = []
    while look := looks.take():
        paint(look)
        time.sleep(0.02)
        looks.finish(look.id)
        painted.append(look.id)
    assert [looks.state(one) for one in painted] == ["waiting", "waiting", "ready", "ready"]


def test_everything_that_decides_the_picture_decides_the_look():
    others = [
        seeded(1),
        replace(SPEC, mode="content"),
        replace(SPEC, styles=SPEC.styles * 2),
        replace(SPEC, content=None),
        replace(SPEC, start=SPEC.content),
    ]
    assert len({look_id(one) for one in [SPEC, *others]}) == 1 + len(others)
    renamed = replace(SPEC, content=replace(SPEC.content, name="another.jpg"))
    assert look_id(renamed) == look_id(SPEC)


@pytest.mark.parametrize("settings", [{"size": 128}, {"size": 2048, "coarsest": 1024}])
def test_a_job_without_a_small_first_size_has_no_look(settings):
    check(SPEC)
    with pytest.raises(SettingsError, match=r"for a look, got"):
        check(replace(SPEC, settings=Settings(**settings)))


def pixels(studio, work_id):
    data = studio.get(f"/api/works/{work_id}/picture.png").content
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_painting_goes_on_from_its_look_and_has_the_same_bits(studio):
    order = {"content": "content.coffee", "styles": ["style.woodcut"], "settings": SETTINGS}
    straight = studio.painted(
        pictures={"content": "content.coffee", "styles": ["style.woodcut"]}, settings=SETTINGS
    )
    invalid = order | {"settings": {"size": 64}}
    asked = studio.post("/api/looks", json=[order, invalid]).json()
    statuses = [LookStatus.model_validate(one) for one in asked]
    assert statuses[1].state == "failed"
    assert "single size 64" in statuses[1].message
    end_s = time.monotonic() + 120
    while studio.post("/api/looks", json=[order]).json()[0]["state"] == "waiting":
        assert time.monotonic() < end_s
        time.sleep(0.1)
    picture = studio.get(f"/api/looks/{statuses[0].id}")
    with Image.open(io.BytesIO(picture.content)) as look:
        assert max(look.size) == 32
    work = studio.post("/api/works", json=order).json()
    studio.wait(work["id"], "finished")
    assert np.array_equal(pixels(studio, work["id"]), pixels(studio, straight["id"]))
    losses, before = (
        studio.get(f"/api/works/{one}/losses").json() for one in (work["id"], straight["id"])
    )
    assert losses[0][0] > before[0][0], "it did not begin again"
    assert studio.get(f"/api/looks/{'0' * 64}").status_code == 404


def test_a_work_interrupts_a_look(studio):
    long = SETTINGS | {"size": 512, "coarsest": 256, "iterations": 3000, "seed": 8}
    order = {"content": "content.coffee", "styles": ["style.woodcut"], "settings": long}
    asked = studio.post("/api/looks", json=[order]).json()
    assert asked[0]["state"] == "waiting"
    studio.painted()
    # Without an interruption the look would have been finished before the work.
    assert studio.post("/api/looks", json=[order]).json()[0]["state"] == "waiting"
    assert studio.post("/api/looks", json=[]).json() == []

"""FairQueue, listeners and the form, each by itself."""

import asyncio

import pytest

from impasto.config.settings import Settings
from impasto.studio.events import EventStream
from impasto.studio.form_schema import make_form
from impasto.studio.queue import FairQueue
from impasto.studio.storage import clean_name


def test_clients_take_turns_and_each_keeps_its_order():
    turns = FairQueue()
    for work in ("a1", "a2", "a3"):
        turns.add("a", work)
    turns.add("b", "b1")
    assert len(turns) == 4
    assert [turns.take() for _ in range(5)] == ["a1", "b1", "a2", "a3", None]


def test_what_goes_on_comes_before_its_clients_others():
    turns = FairQueue()
    turns.add("a", "a1")
    turns.add("a", "a0", first=True)
    assert (turns.drop("a1"), turns.drop("a1")) == (True, False)
    assert (turns.take(), turns.take()) == ("a0", None)


def test_a_slow_listener_hears_the_latest_of_each_topic_only():
    async def listen():
        audience = EventStream()
        everything, one = audience.join(), audience.join("b")
        for step in range(1000):
            audience.tell("work", "a", step)
        audience.tell("work", "b", "other")
        audience.close()
        heard = [event async for event in everything.stream()]
        return heard, [event async for event in one.stream()]

    everything, one = asyncio.run(listen())
    assert everything[1:] == [b"event: work\ndata: 999\n\n", b'event: work\ndata: "other"\n\n']
    assert one[1:] == [b'event: work\ndata: "other"\n\n']


def test_the_form_has_every_setting_with_its_bounds():
    form = {option.name: option for option in make_form().options}
    assert form.keys() == Settings.model_fields.keys() - {"region"}
    assert (form["size"].kind, form["size"].at_least, form["size"].at_most) == (
        "integer",
        16,
        65536,
    )
    assert form["pooling"].choices == ["max", "average"]
    assert form["style_layers"].kind == "weights"
    assert form["learning_rate"].above == 0
    assert all(option.description for option in form.values())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("a\nb\x00c.png", "abc.png"),
        ("", "picture"),
        (None, "picture"),
        ("x" * 500 + ".png", "x" * 116 + ".png"),
    ],
)
def test_names_of_uploads_are_only_names(given, kept):
    assert clean_name(given) == kept

"""FairQueue, listeners and the form, each by itself."""

import asyncio

import pytest

from impasto.config.settings import Settings
from impasto.studio.events import EventStream
from impasto.studio.form_schema import make_form
from impasto.studio.queue import FairQueue
from impasto.studio.storage import clean_name
from impasto.studio.worker import without_folders


def test_clients_take_turns_and_each_keeps_its_order():
    queue = FairQueue()
    for work in ("a1", "a2", "a3"):
        queue.add("a", work)
    queue.add("b", "b1")
    assert len(queue) == 4
    assert [queue.take() for _ in range(5)] == ["a1", "b1", "a2", "a3", None]


def test_what_goes_on_comes_before_its_clients_others():
    queue = FairQueue()
    queue.add("a", "a1")
    queue.add("a", "a0", first=True)
    assert (queue.drop("a1"), queue.drop("a1")) == (True, False)
    assert (queue.take(), queue.take()) == ("a0", None)


def test_a_slow_listener_hears_the_latest_of_each_topic_only():
    async def listen():
        events = EventStream()
        everything, one = events.join(), events.join("b")
        for step in range(1000):
            events.publish("work", "a", step)
        events.publish("work", "b", "other")
        events.close()
        streamed = [event async for event in everything.stream()]
        return streamed, [event async for event in one.stream()]

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
    layers = form["content_layers"], form["style_layers"]
    assert [option.kind for option in layers] == ["weights", "weights"]
    assert [option.default for option in layers] == [{"relu4_2": 1.0}, None]
    assert form["learning_rate"].above == 0
    assert all(option.description for option in form.values())


def test_strength_and_motifs_are_shares_that_are_shown_first_and_can_be_steered():
    strength, motifs, *_ = make_form().options
    assert (strength.name, motifs.name) == ("strength", "motifs")
    usual = {option.name: option.usual for option in make_form().options}
    assert (usual["strength"], usual["motifs"], usual["palette"]) == (0.5, 0.25, 1.0)
    for option in (strength, motifs):
        assert (option.kind, option.default) == ("number", None)
        assert (option.at_least, option.at_most) == (0, 1)
        assert option.up_front
        assert option.steerable


def test_the_form_says_how_each_option_is_shown_and_where_presets_apply():
    form = make_form()
    options = {option.name: option for option in form.options}
    groups = [group.name for group in form.groups]
    assert all(option.group in groups for option in options.values())
    assert (options["iterations"].label, options["coarsest"].unit) == ("Steps", "px")
    assert options["strength"].modes == ["style_transfer"]
    modes = {preset.name: preset.modes for preset in form.presets}
    assert modes["default"] == ["style_transfer", "content", "style"]
    assert modes["gentle"] == ["style_transfer"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file '/home/me/my nets/a.pth': check it", "no file 'a.pth': check it"),
        ("/home/me/a.pth is damaged", "a.pth is damaged"),
        ("https://example.org/a/b.whl sent it", "https://example.org/a/b.whl sent it"),
        ("3/4 of it", "3/4 of it"),
    ],
)
def test_a_message_for_visitors_names_files_without_folders(text, shown):
    assert without_folders(text) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
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
def test_names_of_uploads_are_only_names(name, shown):
    assert clean_name(name) == shown

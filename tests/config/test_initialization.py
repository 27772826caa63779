"""What a painting starts from, as words: a name, a blend, or a path."""

import pytest

from impasto.config.initialization import STARTS, parse_start
from impasto.errors import SettingsError


@pytest.mark.parametrize("name", STARTS)
def test_a_name_is_a_blend_of_one(name):
    assert parse_start(name) == {name: 1.0}


def test_shares_sum_to_one_and_what_counts_nothing_is_left_out():
    assert parse_start("content=1, noise=3 ,matched=0") == {"content": 0.25, "noise": 0.75}
    assert parse_start("content,noise") == {"content": 0.5, "noise": 0.5}


@pytest.mark.parametrize("path", ["photo.png", "content.png", "a=b.png", "content=0.5,photo.png"])
def test_anything_else_is_a_path(path):
    assert parse_start(path) is None


@pytest.mark.parametrize(
    "blend",
    ["content=0", "content=1,content=2", "content=-1,noise=2", "noise=nan", "noise=inf", "noise=x"],
)
def test_a_blend_that_cannot_be_is_refused(blend):
    with pytest.raises(SettingsError, match="expected a blend of each of matched, content"):
        parse_start(blend)

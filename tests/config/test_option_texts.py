"""``help()`` of the public functions lists every option, with default, choices and bounds."""

import inspect

import pytest

import impasto
from impasto.config.option_texts import options_text
from impasto.config.settings import Runtime, Settings


@pytest.fixture(scope="module")
def entries():
    """The text of each option, on one line."""
    words = " ".join(options_text().split())
    fields = {**Settings.model_fields, **Runtime.model_fields}
    starts = sorted((words.index(f" {name}: default"), name) for name in fields)
    ends = [start for start, _ in starts[1:]] + [len(words)]
    return {name: words[start:end] for (start, name), end in zip(starts, ends, strict=True)}


@pytest.mark.parametrize("model", [Settings, Runtime])
def test_every_option_has_its_default_bounds_and_description(entries, model):
    for name, field in model.model_fields.items():
        assert f"{name}: default {field.default!r}" in entries[name]
        assert " ".join(field.description.split()) in entries[name]
        for bound in field.metadata:
            for sign in ("ge", "gt", "le", "lt"):
                if getattr(bound, sign, None) is not None:
                    assert f"{getattr(bound, sign):g}" in entries[name]
    assert "gram, mean+covariance" in impasto.style.__doc__


@pytest.mark.parametrize("name", ["style_transfer", "content", "style"])
def test_help_shows_the_options_under_the_functions_own_text(name):
    text = inspect.getdoc(getattr(impasto, name))
    assert text.index("Args:") < text.index("Options:")
    assert text.endswith("\n".join(line[4:] for line in options_text().splitlines()[-1:]))
    assert max(map(len, text.splitlines())) <= 100


def test_dir_lists_public_names_alone():
    assert dir(impasto) == sorted(impasto.__all__)

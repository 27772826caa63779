"""The tree of exceptions, and its drawing."""

import inspect
import re

import pytest

from impasto import errors

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.ImpastoError)
]
BRANCHES = [kind for kind in KINDS if kind is not errors.ImpastoError]


def test_the_drawing_shows_every_class_with_its_built_in():
    drawn = dict(re.findall(r"[├└]── (\w+) +\((\w+)\) +\w", errors.__doc__))
    assert drawn == {kind.__name__: kind.__bases__[1].__name__ for kind in BRANCHES}


@pytest.mark.parametrize("kind", BRANCHES)
def test_every_error_is_ours_first_and_a_built_in_too(kind):
    ours, built_in = kind.__bases__
    assert ours is errors.ImpastoError
    known = (ValueError, RuntimeError, ImportError, ArithmeticError, OSError, ConnectionError)
    assert built_in in known


def test_the_module_exports_every_class():
    assert sorted(errors.__all__) == sorted(kind.__name__ for kind in KINDS)

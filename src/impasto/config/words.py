"""Options as words: `name=value`, and lists separated by commas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from impasto.errors import SettingsError


def vary(words: Sequence[str]) -> list[dict[str, Any]]:
    """Read words such as ``beta=1e4,1e5`` as every combination of their values.

    Values of an option that is itself a list are separated by semicolons.

    Raises:
        SettingsError: a word that is not NAME=VALUE,VALUE, or a name given twice.

    Example:
        >>> vary(["seed=1,2", "style_layers=relu1_1;relu1_1,relu2_1"])[1]
        {'seed': '1', 'style_layers': 'relu1_1,relu2_1'}
    """
    choices: dict[str, list[str]] = {}
    for word in words:
        flag, equals, values = word.partition("=")
        name = flag.strip().removeprefix("--").replace("-", "_")
        several = [
            value.strip() for value in values.split(";" if ";" in values else ",") if value.strip()
        ]
        if not (name and equals and several) or name in choices:
            raise SettingsError(
                f"vary: expected NAME=VALUE,VALUE, each name once, got {word!r}; such as "
                "beta=1e4,1e5"
            )
        choices[name] = several
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]

"""What to say about an option or a command that does not exist: the name that was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

# Two names are alike from this ratio of difflib on: one letter wrong in five.
_ALIKE = 0.8
_NO_COMMAND = re.compile(r"No such command '(.*?)'")
# Words of other tools for neural style transfer, and ours.
_OTHER_OPTIONS = {
    "original-colors": "--colour keep",
    "original-colours": "--colour keep",
    "preserve-color": "--colour keep",
    "preserve-colors": "--colour keep",
    "color-preserve": "--colour keep",
    "image-size": "--size",
    "img-size": "--size",
    "imsize": "--size",
    "max-size": "--size",
    "end-scale": "--size",
    "min-scale": "--coarsest",
    "num-iterations": "--iterations",
    "max-iterations": "--iterations",
    "max-iter": "--iterations",
    "num-steps": "--iterations",
    "steps": "--iterations",
    "content-weight": "--alpha, or --strength for both weights",
    "style-weight": "--beta, or --strength for both weights",
    "tv-weight": "--total-variation",
    "style-blend-weights": "--style-weights",
    "style-layer-weights": "--style-layers NAME=WEIGHT",
    "style-scale-fac": "--style-scale",
    "init": "--start",
    "init-image": "--start",
    "init-type": "--start",
    "content-image": "the first word after transfer, without an option",
    "content-img": "the first word after transfer, without an option",
    "content": "the first word after transfer, without an option",
    "style-image": "the words after the photograph, without an option",
    "style-images": "the words after the photograph, without an option",
    "style-imgs": "the words after the photograph, without an option",
    "style": "the words after the photograph, without an option",
    "output-image": "-o",
    "out": "-o",
    "gpu": "--device, such as cuda:0",
    "devices": "--device, such as cuda:0",
    "cpu": "--device cpu",
    "backend": "--device",
    "model-file": "--weights, and --network for vgg16 or vgg19",
    "model": "--network",
    "model-weights": "--weights",
    "print-iter": "--json",
    "save-iter": "--save-every",
    "lr": "--learning-rate",
    "step-size": "--learning-rate",
    "verbose": "--json",
    "mask": "--region MASK:STYLE",
}
_OTHER_COMMANDS = {"paint": "transfer", "run": "transfer", "stylize": "transfer"}


def explain(error: Any, words: Sequence[str]) -> str:
    """Return the message of a usage error, and the name that may have been meant.

    Args:
        error: what Typer raised.
        words: the words of the command line.
    """
    if hasattr(error, "possibilities"):
        return _explain_option(error, words)
    message: str = error.format_message()
    name = _NO_COMMAND.match(message)
    if name is None:
        return message
    commands = error.ctx.command.list_commands(error.ctx)
    ours = _OTHER_COMMANDS.get(name[1].lower(), "")
    return _with_hint(name[0], [ours] if ours in commands else _alike(name[1], commands))


def _explain_option(error: Any, words: Sequence[str]) -> str:
    # -image_size is read as -i and more: the whole word tells.
    word = next(
        (word for word in words if word.startswith("-") and _plain(word) in _OTHER_OPTIONS),
        error.option_name,
    )
    message = error.message if word == error.option_name else f"No such option: {word}"
    ours = _OTHER_OPTIONS.get(_plain(word))
    if ours is not None:
        return f"{message}. Here it is {ours}"
    return _with_hint(message, _alike(f"--{_plain(word)}", error.possibilities or ()))


def _plain(word: str) -> str:
    return word.partition("=")[0].strip("-").replace("_", "-").lower()


def _alike(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(names), cutoff=_ALIKE)


def _with_hint(message: str, names: Sequence[str]) -> str:
    if not names:
        return message
    return f"{message}. Did you mean {' or '.join(names)}?"

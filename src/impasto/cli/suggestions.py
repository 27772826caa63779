"""Suggestions for an unknown option or command."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# Endings of files that people mean as pictures.
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".tif", ".tiff", ".bmp", ".gif")
# Minimum difflib ratio of similar names: one letter in five is wrong.
_SIMILARITY = 0.8
_NO_COMMAND = re.compile(r"No such command '(.*?)'")
# Options of other style transfer tools, and the equivalent here.
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
    """Return the message of a usage error, with a suggestion if there is one.

    Args:
        error: the exception from Typer.
        words: the arguments of the command line.
    """
    if hasattr(error, "possibilities"):
        return _explain_option(error, words)
    message: str = error.format_message()
    name = _NO_COMMAND.match(message)
    if name is None:
        return message
    commands = error.ctx.command.list_commands(error.ctx)
    if _is_picture(name[1]):
        return f"{name[0]}. To repaint a picture: impasto transfer {shlex.join(words)}"
    ours = _OTHER_COMMANDS.get(name[1].lower(), "")
    return _with_hint(name[0], [ours] if ours in commands else _similar(name[1], commands))


def _is_picture(word: str) -> bool:
    return Path(word).suffix.lower() in _PICTURES or Path(word).is_file()


def _explain_option(error: Any, words: Sequence[str]) -> str:
    # Typer reports -image_size as -i, so look at the whole argument.
    word = next(
        (word for word in words if word.startswith("-") and _normalised(word) in _OTHER_OPTIONS),
        error.option_name,
    )
    message = error.message if word == error.option_name else f"No such option: {word}"
    ours = _OTHER_OPTIONS.get(_normalised(word))
    if ours is not None:
        return f"{message}. Here it is {ours}"
    return _with_hint(message, _similar(f"--{_normalised(word)}", error.possibilities or ()))


def _normalised(word: str) -> str:
    return word.partition("=")[0].strip("-").replace("_", "-").lower()


def _similar(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(names), cutoff=_SIMILARITY)


def _with_hint(message: str, names: Sequence[str]) -> str:
    if not names:
        return message
    return f"{message}. Did you mean {' or '.join(names)}?"

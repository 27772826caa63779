"""Opacity: what transparent pixels hide has not been seen by anybody, and is not used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from impasto.errors import ImageError
from impasto.images.picture import Picture, load
from impasto.images.resample import fill_hidden

# An opacity below half a level of 8 bits counts as none.
_LEAST_ALPHA = 0.5 / 255


def load_seen(source: Any) -> Picture:
    """Load a picture without what its transparent pixels hide.

    Raises:
        ImageError: as images.load does.
        ShapeError: as images.load does.
    """
    return without_hidden(load(source))


def without_hidden(picture: Picture) -> Picture:
    """Replace the hidden colours of transparent pixels."""
    if picture.alpha is None:
        return picture
    return replace(picture, pixels=fill_hidden(picture.pixels, picture.alpha))


def check_visible(picture: Picture) -> None:
    """Make sure that there is something to see.

    Raises:
        ImageError: the picture is wholly transparent.
    """
    if picture.alpha is not None and not bool((picture.alpha >= _LEAST_ALPHA).any()):
        raise ImageError(
            f"{picture.name!r} is wholly transparent: expected a picture with something to see; "
            "choose another, or remove its transparency"
        )

"""Notes for the user about the inputs of a job, before painting begins."""

from __future__ import annotations

from collections.abc import Sequence

from impasto.config.settings import Settings
from impasto.engine import pyramid
from impasto.images.picture import Picture

# Channels that vary by no more than this are one colour: the variation is noise.
_ONE_COLOUR = 2 / 255


def on_cropping(
    whole: Picture | None, content: Picture | None, settings: Settings
) -> tuple[str, ...]:
    """Note that the photograph is cropped to both sides of a size."""
    if whole is None or content is None or not isinstance(settings.size, tuple):
        return ()
    sizes = [f"{picture.width_px} x {picture.height_px}" for picture in (whole, content)]
    if sizes[0] == sizes[1]:
        return ()
    width_px, height_px = settings.size
    return (
        f"{whole.name!r} is cropped at its centre from {sizes[0]} to {sizes[1]} pixels, "
        f"to the shape of {width_px} x {height_px}",
    )


def on_rounding(
    asked_px: tuple[int, int], size_px: tuple[int, int], smallest_px: int
) -> tuple[str, ...]:
    """Note that a seamless texture has other sides than were asked for."""
    if asked_px == size_px:
        return ()
    return (
        f"the texture has {size_px[1]} x {size_px[0]} pixels instead of {asked_px[1]} x "
        f"{asked_px[0]}: only multiples of {smallest_px} fit themselves at every edge",
    )


def on_enlarging(content: Picture | None, height_px: int, width_px: int) -> tuple[str, ...]:
    """Note that the photograph is enlarged."""
    if content is None or width_px <= content.width_px:
        return ()
    return (
        f"{content.name!r} has {content.width_px} x {content.height_px} pixels and is enlarged to "
        f"{width_px} x {height_px}; a smaller size shows only detail that the photograph has",
    )


def on_emptiness(content: Picture | None, styles: Sequence[Picture]) -> list[str]:
    """Note pictures that are wholly transparent or of one colour."""
    notes = []
    if content is not None and content.alpha is not None and not bool(content.alpha.any()):
        notes.append(
            f"{content.name!r} is wholly transparent, and so is the result; remove its "
            "transparency to see the painting"
        )
    for style in styles:
        low, high = style.pixels.flatten(2).aminmax(dim=2)
        if bool((high - low).max() <= _ONE_COLOUR):
            notes.append(
                f"{style.name!r} has one colour alone: there are no strokes to learn from it; "
                "choose another style picture"
            )
    return list(dict.fromkeys(notes))


def on_style_scale(
    styles: Sequence[Picture], settings: Settings, longest_px: int
) -> tuple[str, ...]:
    """Note style pictures that are too small for the style scale."""
    if settings.style_scale is None or not styles:
        return ()
    wanted_px = [round(scale * longest_px) for scale in pyramid.style_scales(len(styles), settings)]
    return tuple(
        f"{style.name!r} would be shown at {wanted} pixels for this style scale and has "
        f"{max(style.width_px, style.height_px)}: it is not enlarged, and its strokes stay "
        "smaller; take a larger file"
        for style, wanted in zip(styles, wanted_px, strict=True)
        if wanted > max(style.width_px, style.height_px)
    )


def on_plain_colours(plain: Sequence[str]) -> tuple[str, ...]:
    """Note style pictures of nearly one colour."""
    return tuple(
        f"{name} has nearly one colour: the result takes its hue and keeps its own light and dark"
        for name in plain
    )

"""The inputs of a job: its pictures are read and its options checked before painting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from impasto import files, images
from impasto.config.initialization import STARTS, parse_start
from impasto.config.networks import network_spec
from impasto.config.settings import Mode, Settings
from impasto.config.values import LEAST_SIDE_PX, MOST_SIDE_PX
from impasto.engine import notes, pyramid, regions
from impasto.engine.defaults import MODE_TERMS, Terms, complete
from impasto.engine.palettes import Palettes
from impasto.engine.pyramid import Scale
from impasto.engine.regions import LoadedRegion
from impasto.errors import ImageError, SettingsError
from impasto.images import colour
from impasto.images.opacity import check_visible, load_seen, without_hidden
from impasto.images.picture import Picture
from impasto.job.job import ImageSource, Job, Region
from impasto.job.loss_term import LossTerm
from impasto.losses.style import is_additive
from impasto.losses.targets import Held
from impasto.losses.terms import layers_of


@dataclass(frozen=True)
class Inputs:
    """The pictures and options of a job, read and checked.

    Attributes:
        settings: the job's settings, completed with the defaults of its mode.
        content: the content picture, if the mode has one.
        styles: the style pictures, if the mode has any.
        areas: the regions with a style of their own.
        palettes: move the colours of the painting to those of its styles.
        start: the user's start picture, if there is one.
        starts: the share of each named start, by name; empty if the start is a picture.
        scales: the sizes to paint, from coarse to fine; the last is the result's.
        smallest_px: the shortest side that leaves every layer in use a feature.
        notes: messages for the user before painting begins.
        terms: losses of the user's own, by name.
        held: for a frame of a film, the canvas that it is held to at the finest size.
    """

    settings: Settings
    content: Picture | None
    styles: tuple[Picture, ...]
    areas: tuple[LoadedRegion, ...]
    palettes: Palettes
    start: Picture | None
    starts: dict[str, float]
    scales: tuple[Scale, ...]
    smallest_px: int
    notes: tuple[str, ...]
    terms: Mapping[str, LossTerm] = field(default_factory=dict)
    held: Held | None = None

    def steered(self, mode: Mode, settings: Settings) -> Inputs:
        """Return the inputs of a painting whose settings were changed on the way.

        Raises:
            SettingsError: its pictures or its sizes are too small for deeper layers.
        """
        layers = [*_layers(MODE_TERMS[mode], settings), *layers_of(self.terms)]
        spec = network_spec(settings.network)
        smallest_px = spec.smallest_side_px(layers)
        pictures = (*self.styles, *(area.style for area in self.areas))
        if self.content is not None:
            pictures = (self.content, *pictures)
        sides = [min(picture.height_px, picture.width_px) for picture in pictures]
        sides += [min(scale.height_px, scale.width_px) for scale in self.scales]
        deepest = spec.deepest(layers).name
        if (least := min(sides)) < smallest_px:
            raise SettingsError(
                f"expected pictures of at least {smallest_px} pixels a side for {deepest}, got "
                f"{least}; ask for shallower layers"
            )
        if settings.seamless and any(
            side % smallest_px
            for scale in self.scales
            for side in (scale.height_px, scale.width_px)
        ):
            raise SettingsError(
                f"expected a seamless texture whose sides are multiples of {smallest_px} for "
                f"{deepest}, got other sides; begin another painting for it"
            )
        return replace(self, settings=settings, smallest_px=smallest_px)


def read(job: Job) -> Inputs:
    """Read the pictures of ``job`` and check them against its settings.

    Raises:
        SettingsError: options that contradict each other or the mode.
        ImageError: a picture that is absent, damaged or too small.
    """
    terms, settings = MODE_TERMS[job.mode], complete(job, job.settings)
    starts = _starts(job, settings)
    check_layers = [*_layers(terms, settings), *layers_of(job.terms)]
    smallest_px = network_spec(settings.network).smallest_side_px(check_layers)
    content = load_seen(_required(job.content_image, "content")) if terms.content else None
    styles = tuple(load_seen(_required(source, "style")) for source in _style_sources(job))
    start = None if starts else load_seen(_start_source(job))
    model = content or styles[0]
    height_px, width_px = asked_px = result_px(model, settings)
    if settings.seamless:
        height_px, width_px = (pyramid.rounded_to(side_px, smallest_px) for side_px in asked_px)
    shape_of_masks = _shape_of_masks(content, settings, height_px, width_px)
    areas = tuple(
        replace(area, style=without_hidden(area.style))
        for area in regions.read(_regions(job), *shape_of_masks)
    )
    for style in (*styles, *(area.style for area in areas)):
        check_visible(style)
    for picture in (*([content] if content else []), *styles, *(area.style for area in areas)):
        _check_large_enough(picture, smallest_px, check_layers, settings)
    if content is not None and settings.colour == "match":
        styles = _in_colours_of(content, styles)
        own = _in_colours_of(content, [area.style for area in areas])
        areas = tuple(replace(area, style=style) for area, style in zip(areas, own, strict=True))
    uncropped = content
    if content is not None and isinstance(settings.size, tuple):
        content = _cropped(content, height_px, width_px)
        areas = tuple(
            replace(area, mask=_cropped(area.mask, height_px, width_px)) for area in areas
        )
    palettes = Palettes(content, styles, areas, smallest_px)
    pyramid_settings = _unpainted(settings) if settings.strength == 0 else settings
    scales = pyramid.scales(height_px, width_px, pyramid_settings, smallest_px=smallest_px)
    plain = palettes.plain(scales[-1], settings)
    one_colour = () if plain else (*styles, *(area.style for area in areas))
    return Inputs(
        settings=settings,
        content=content,
        styles=styles,
        areas=areas,
        palettes=palettes,
        start=start,
        starts=starts,
        scales=scales,
        smallest_px=smallest_px,
        notes=(
            *notes.on_cropping(uncropped, content, settings),
            *notes.on_enlarging(content, height_px, width_px),
            *notes.on_emptiness(content, one_colour),
            *notes.on_style_scale(styles, settings, max(height_px, width_px)),
            *notes.on_rounding(asked_px, (height_px, width_px), smallest_px),
            *notes.on_plain_colours(plain),
        ),
        terms=job.terms,
    )


def longest_px(job: Job) -> int:
    """Return the longest side of the result, in pixels, without decoding a picture.

    Raises:
        ImageError: the size is that of a picture, and the picture is absent or cannot be used.
    """
    size = job.settings.size
    if isinstance(size, tuple):
        return max(size)
    if size != "original":
        return size
    if MODE_TERMS[job.mode].content:
        return max(images.read_size(_required(job.content_image, "content")))
    return max(images.read_size(_style_sources(job)[0]))


def noise(height_px: int, width_px: int, seed: int) -> Tensor:
    """Return white noise, uniform in [0, 1], (1, 3, height_px, width_px) float32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height_px, width_px, generator=generator)


def _required(source: ImageSource | None, kind: str) -> ImageSource:
    if source is None:
        raise ImageError(f"expected a {kind} picture, got none; give one")
    return source


def _style_sources(job: Job) -> Sequence[ImageSource]:
    if not MODE_TERMS[job.mode].style:
        return ()
    if not job.style_images:
        raise ImageError("expected at least one style picture, got none; give one")
    return job.style_images


def _regions(job: Job) -> Sequence[Region]:
    all_regions = (*regions.parse(job.settings.region or ()), *job.regions)
    if all_regions and not MODE_TERMS[job.mode].style:
        raise SettingsError(
            f"region: expected none in {job.mode} mode, which has no style, got "
            f"{len(all_regions)}; leave it out"
        )
    return all_regions


def _starts(job: Job, settings: Settings) -> dict[str, float]:
    """Return the share of each name in the start; empty if the start is the user's picture."""
    terms = MODE_TERMS[job.mode]
    if settings.strength == 0:
        return {"content": 1.0}
    if job.start_image is not None:
        return {}
    starts = parse_start(str(settings.start))
    possible = {
        "noise": True,
        "content": terms.content,
        "style": terms.style,
        "matched": terms.both,
    }
    for name in starts or ():
        if not possible[name]:
            allowed = ", ".join(start for start in STARTS if possible[start])
            raise SettingsError(
                f"start: {name!r} needs a picture that {job.mode} mode has not: expected one of "
                f"{allowed}, or a picture's path"
            )
    return starts or {}


def _unpainted(settings: Settings) -> Settings:
    """Return settings that only resize the photograph."""
    return settings.model_copy(update={"iterations": 0, "margin": 0.0, "coarsest": MOST_SIDE_PX})


def _in_colours_of(content: Picture, styles: Sequence[Picture]) -> tuple[Picture, ...]:
    """Give the style pictures the colours of the photograph."""
    palette = colour.colours([content.pixels], [1.0], [content.alpha])
    return tuple(
        replace(style, pixels=colour.match(style.pixels, palette, style.alpha)) for style in styles
    )


def _start_source(job: Job) -> ImageSource:
    if job.start_image is not None:
        return job.start_image
    path = files.path_of(str(job.settings.start))
    if not path.exists():
        raise ImageError(
            f"start: expected one of {', '.join(STARTS)}, or a picture's path, got "
            f"{job.settings.start!r}, and there is no such file; check its name"
        )
    return path


def _layers(terms: Terms, settings: Settings) -> list[str]:
    return [
        *(settings.content_layers if terms.content else ()),
        *(settings.layers_of_style if terms.style else ()),
    ]


def _check_large_enough(
    picture: Picture, smallest_px: int, layers: list[str], settings: Settings
) -> None:
    if min(picture.height_px, picture.width_px) < smallest_px:
        raise ImageError(
            f"{picture.name!r} is too small: expected at least {smallest_px} pixels a side for "
            f"{network_spec(settings.network).deepest(layers).name}, got {picture.width_px} x "
            f"{picture.height_px}; enlarge it, or ask for shallower layers"
        )


def result_px(model: Picture, settings: Settings) -> tuple[int, int]:
    """Return the result's height and width in pixels.

    Args:
        model: the picture whose aspect and original size the result takes.
        settings: size and aspect are read.

    Raises:
        ImageError: the original size is asked for, and it is out of bounds.
        SettingsError: an aspect of no width or height.
    """
    if isinstance(settings.size, tuple):
        width_px, height_px = settings.size
        return height_px, width_px
    longest_px = settings.size
    if longest_px == "original":
        longest_px = _original_px(model)
    if settings.aspect is None:
        return images.fit(model.height_px, model.width_px, longest_px)
    width, height = (float(side) for side in settings.aspect.split(":"))
    if min(width, height) <= 0:
        raise SettingsError(
            f"aspect: expected sides above 0, got {settings.aspect!r}; such as 16:9"
        )
    longest = max(width, height)
    return (
        max(1, round(longest_px * height / longest)),
        max(1, round(longest_px * width / longest)),
    )


def _original_px(model: Picture) -> int:
    """Return a picture's longest side, if it is within the bounds of a result.

    Raises:
        ImageError: it is too short or too long.
    """
    longest_px = max(model.height_px, model.width_px)
    if not LEAST_SIDE_PX <= longest_px <= MOST_SIDE_PX:
        raise ImageError(
            f"{model.name!r} has {longest_px} pixels on its longest side: expected "
            f"{LEAST_SIDE_PX} to {MOST_SIDE_PX} for its original size; give a size in pixels"
        )
    return longest_px


def _shape_of_masks(
    content: Picture | None, settings: Settings, height_px: int, width_px: int
) -> tuple[int, int]:
    """Return the height and width that masks must fit: the photograph's, if it will be cropped."""
    if content is not None and isinstance(settings.size, tuple):
        return content.height_px, content.width_px
    return height_px, width_px


def _cropped(picture: Picture, height_px: int, width_px: int) -> Picture:
    """Cut a picture's middle out, in the aspect of ``height_px`` x ``width_px``."""
    rows, columns = images.middle(picture.height_px, picture.width_px, height_px, width_px)
    alpha = None if picture.alpha is None else picture.alpha[..., rows, columns]
    return replace(picture, pixels=picture.pixels[..., rows, columns], alpha=alpha)


def style_tile_px(scale: Scale, inputs: Inputs) -> int | None:
    """Return the tile size of style pictures if the canvas is not tiled; None for no tiles.

    With tiles, a style picture that is larger than the canvas needs no more memory than the canvas.
    """
    larger = max(pyramid.style_scales(len(inputs.styles), inputs.settings)) > 1
    has_halos = network_spec(inputs.settings.network).has_halos
    divides = larger and has_halos and is_additive(inputs.settings)
    return max(scale.canvas_px) if divides else None

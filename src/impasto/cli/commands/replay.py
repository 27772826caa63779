"""``impasto recipe`` and ``impasto replay``: how a picture was made, and to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto import files
from impasto.cli import interrupts, standard_input
from impasto.cli.commands.paint import display_of, paint, take_delivery
from impasto.cli.options import with_options
from impasto.config.affects import COMPARISON, affecting
from impasto.config.settings import Runtime, Settings, overlay
from impasto.config.validation import check
from impasto.config.words import assignments
from impasto.errors import (
    SettingsError,
)
from impasto.job.job import Job, Region
from impasto.output.options import DeliveryOptions

if TYPE_CHECKING:
    from impasto.images.picture import Picture
    from impasto.job.recipe import Input, Recipe, RegionInput
    from impasto.weights.download import Progress


def register(app: typer.Typer) -> None:
    """Give ``app`` the commands."""
    app.command("recipe")(show_recipe)
    app.command("replay")(replay_picture)


def make_job(
    recipe: Recipe,
    *,
    content: str | None,
    styles: Sequence[str],
    start: str | None,
    regions: Sequence[str] = (),
    changes: Sequence[str] = (),
    runtime: dict[str, Any],
    other_inputs: bool = False,
    progress: Progress | None = None,
) -> Job:
    """Put together the job that ``recipe`` describes.

    What was decided while it was painted is done again at the same steps. A painting of other
    pictures or settings goes another way: it has from the start the settings that the first
    was steered to in the end.

    Args:
        recipe: how a picture was made.
        content: path of the content picture, if the recipe has one.
        styles: paths of the style pictures, in the recipe's order.
        start: path of the picture to start from, if the recipe has one.
        regions: the recipe's regions in its order, each as MASK:STYLE or MASK:STYLE:MASK.
        changes: settings to change, as NAME=VALUE.
        runtime: fields of Runtime that are to differ from what was decided then.
        other_inputs: take other pictures and other weights than the recipe's.
        progress: told of the fetching of weights, should they be absent.

    Raises:
        SettingsError: a picture too few or too many, a change that cannot be, other weights.
        ImageError: a picture that cannot be read.
    """
    changed = assignments(changes, Settings)
    settings, decisions = recipe.settings, recipe.decisions
    if changed or other_inputs:
        compared = {*affecting(Settings, *COMPARISON)}
        # Measured on the pictures and the layers: good for as long as these are the same.
        same = not (other_inputs or decisions.changes or compared & changed.keys())
        for change in (*(change.settings for change in decisions.changes), changed):
            settings = check(Settings, overlay(settings.model_dump(), change))
        decisions = decisions.anew(keep_weights=same)
    needed = recipe.inputs
    needed_start = None if "start" in changed else needed.start
    if len(needed.styles) != len(styles) and not (other_inputs and needed.styles and styles):
        raise SettingsError(
            f"style: expected {len(needed.styles)} of these pictures, got {len(styles)}; the "
            f"recipe names {', '.join(repr(style.name) for style in needed.styles) or 'none'}"
        )
    expected = needed.styles if len(needed.styles) == len(styles) else [None] * len(styles)
    job = Job(
        mode=recipe.mode,
        content_image=_picture("content", needed.content, content, other_inputs),
        style_images=tuple(
            _load("style", style, path, other_inputs)
            for style, path in zip(expected, styles, strict=True)
        ),
        start_image=_picture("start", needed_start, start, other_inputs),
        regions=_regions(needed.regions, regions, other_inputs),
        settings=settings,
        runtime=check(Runtime, runtime),
        decisions=decisions,
    )
    if not other_inputs and settings.network == recipe.settings.network:
        _check_weights(recipe, job, progress)
    return job


def differences(recipe: Recipe) -> str | None:
    """Say what runs here in another version than painted the picture; None if all is the same."""
    from impasto.job.recipe import parts, versions

    then, now = recipe.versions.model_dump(), versions().model_dump()
    then |= {part.package: part.version for part in recipe.parts}
    now |= {part.package: part.version for part in parts(recipe.settings)}
    changed = [
        f"{name} {then[name]!r} (here {now.get(name)!r})"
        for name in then
        if then[name] != now.get(name)
    ]
    if not changed:
        return None
    return f"painted with {', '.join(changed)}: the picture may differ in places"


def _picture(
    option: str, needed: Input | None, path: str | None, other_inputs: bool
) -> Picture | None:
    """Load a picture that the recipe needs, or make sure that none is given."""
    if needed is None:
        if path is None:
            return None
        raise SettingsError(
            f"{option}: expected none, because the recipe has none, got {path!r}; leave it out"
        )
    if path is None:
        raise SettingsError(
            f"{option}: expected the picture {needed.name!r} that the recipe names, got none; "
            f"give its path with --{option}"
        )
    return _load(option, needed, path, other_inputs)


def _regions(
    needed: Sequence[RegionInput], words: Sequence[str], other_inputs: bool
) -> tuple[Region, ...]:
    """Load the pictures of the recipe's regions."""
    from impasto.engine.regions import parse

    given = parse(words)
    if len(given) != len(needed):
        told = ", ".join(f"{part.mask.name!r}:{part.style.name!r}" for part in needed) or "none"
        raise SettingsError(
            f"region: expected {len(needed)} as MASK:STYLE, got {len(given)}; the recipe names "
            f"{told}"
        )
    return tuple(
        Region(
            _load("region", part.mask, region.mask, other_inputs),
            _load("region", part.style, region.style, other_inputs),
            _picture("region", part.style_mask, region.style_mask, other_inputs),
        )
        for part, region in zip(needed, given, strict=True)
    )


def _region_files(words: Sequence[str]) -> list[Any]:
    from impasto.engine.regions import parse

    return [part for area in parse(words) for part in (area.mask, area.style, area.style_mask)]


def _load(option: str, needed: Input | None, path: str, other_inputs: bool) -> Picture:
    from impasto import images

    picture = images.load(standard_input.picture(path))
    if needed is not None and picture.sha256 != needed.sha256 and not other_inputs:
        raise SettingsError(
            f"{option}: {path!r} is another picture than the recipe's {needed.name!r}: expected "
            f"SHA-256 {needed.sha256}, got {picture.sha256}; find that one, or add --other-inputs"
        )
    return picture


def _check_weights(recipe: Recipe, job: Job, progress: Progress | None) -> None:
    from impasto import weights

    network, file = recipe.settings.network, job.runtime.weights
    found = weights.sha256(network, file=file)
    if found is None:
        weights.fetch(network, offline=job.runtime.offline, progress=progress)
        found = weights.sha256(network)
    if recipe.weights_sha256 not in (None, found):
        raise SettingsError(
            f"weights: these are others than the recipe's: expected SHA-256 "
            f"{recipe.weights_sha256}, got {found}; give that file with --weights, or add "
            "--other-inputs"
        )


def show_recipe(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="What impasto painted.")],
) -> None:
    """Print as JSON how PICTURE was made."""
    from impasto.job import recipe

    typer.echo(recipe.read(picture).text(indent=2))


@with_options({"Output": DeliveryOptions, "Where and how": Runtime})
def replay_picture(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="What impasto painted.")],
    content: Annotated[
        str | None, typer.Option("--content", metavar="FILE", help="Its content picture.")
    ] = None,
    styles: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="FILE", help="Its style picture; once for each, in their order."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="FILE", help="The picture it started from, if one."),
    ] = None,
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="MASK:STYLE[:MASK]",
            help="A region's pictures; once for each, in their order.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, such as size=2048."),
    ] = None,
    other_inputs: Annotated[
        bool,
        typer.Option("--other-inputs", help="Take other pictures or weights than the recipe's."),
    ] = False,
    **options: Any,
) -> None:
    """Paint PICTURE again, by the recipe in it, from the same pictures."""
    from impasto.cli.commands import replay
    from impasto.job import recipe

    made = recipe.read(picture)
    delivery = take_delivery(options)
    interrupts.raise_stops()
    with display_of(delivery) as display:
        job = replay.make_job(
            made,
            content=content,
            styles=styles or [],
            start=start,
            regions=regions or [],
            changes=changes or [],
            runtime=options,
            other_inputs=other_inputs,
            progress=display.progress,
        )
        if told := replay.differences(made):
            display.message(told)
    words = [picture, content, start, *(styles or []), *_region_files(regions or [])]
    named = [files.path_of(word) for word in words if word not in (None, standard_input.WORD)]
    paint(job, delivery, named)

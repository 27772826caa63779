"""``impasto recipe`` and ``impasto replay``: how a picture was made, and to make it again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto import files
from impasto.cli import interrupts, standard_input
from impasto.cli.commands.paint import display_of, paint, take_delivery
from impasto.cli.options import Quiet, with_options
from impasto.config.affects import COMPARISON, affecting
from impasto.config.settings import Runtime, Settings, overlay
from impasto.config.validation import check
from impasto.config.words import assignments
from impasto.errors import SettingsError
from impasto.job.job import Job, JobSpec, PictureReference, RegionReference
from impasto.output.options import DeliveryOptions

if TYPE_CHECKING:
    from impasto.images.picture import Picture
    from impasto.job.recipe import Recipe
    from impasto.weights.download import Progress


_Painted = Annotated[
    str,
    typer.Argument(metavar="PICTURE", help="What impasto painted; - is standard input."),
]


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
        for change in (*(change.settings for change in decisions.changes), changed):
            settings = check(Settings, overlay(settings.model_dump(), change))
        decisions = decisions.anew(
            keep_weights=not (other_inputs or decisions.changes)
            and _are_measured_alike(recipe.settings, settings, changed)
        )
    spec = replace(recipe.spec, settings=settings)
    if "start" in changed:
        spec = replace(spec, start=None)
    spec = _with_files(spec, content, styles, start, regions, other_inputs=other_inputs)
    read = _read_any if other_inputs else partial(_read_same, spec)
    job = spec.load(read, runtime=check(Runtime, runtime), decisions=decisions)
    if not other_inputs and settings.network == recipe.settings.network:
        _check_weights(recipe, job, progress)
    return job


def _are_measured_alike(before: Settings, after: Settings, changed: Collection[str]) -> bool:
    """Tell whether the weights that were measured hold: for the same pictures and layers."""
    sizes = {before.size, after.size}
    is_cropped = len(sizes) > 1 and any(isinstance(size, tuple) for size in sizes)
    return not is_cropped and not set(affecting(Settings, *COMPARISON)) & set(changed)


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


def _with_files(
    spec: JobSpec,
    content: str | None,
    styles: Sequence[str],
    start: str | None,
    regions: Sequence[str],
    *,
    other_inputs: bool,
) -> JobSpec:
    """Give the pictures of ``spec`` their files, or say which are too few or too many."""
    if len(spec.styles) != len(styles) and not (other_inputs and spec.styles and styles):
        raise SettingsError(
            f"style: expected {len(spec.styles)} of these pictures, got {len(styles)}; the "
            f"recipe names {', '.join(repr(style.name) for style in spec.styles) or 'none'}"
        )
    if len(spec.styles) == len(styles):
        pairs = zip(spec.styles, styles, strict=True)
        placed = [_placed(style, path) for style, path in pairs]
    else:
        placed = [PictureReference(files.path_of(path), None, Path(path).name) for path in styles]
    return replace(
        spec,
        content=_with_file("content", spec.content, content),
        styles=tuple(placed),
        start=_with_file("start", spec.start, start),
        regions=_regions_with_files(spec.regions, regions),
    )


def _with_file(
    option: str, picture: PictureReference | None, path: str | None
) -> PictureReference | None:
    """Give a picture its file, if the recipe has the picture, or make sure that none is given."""
    if picture is None:
        if path is None:
            return None
        raise SettingsError(
            f"{option}: expected none, because the recipe has none, got {path!r}; leave it out"
        )
    if path is None:
        raise SettingsError(
            f"{option}: expected the picture {picture.name!r} that the recipe names, got none; "
            f"give its path with --{option}"
        )
    return _placed(picture, path)


def _placed(picture: PictureReference, path: str) -> PictureReference:
    return replace(picture, path=files.path_of(path))


def _regions_with_files(
    regions: Sequence[RegionReference], words: Sequence[str]
) -> tuple[RegionReference, ...]:
    from impasto.engine.regions import parse_files

    given = parse_files(words)
    if len(given) != len(regions):
        names = ", ".join(f"{part.mask.name!r}:{part.style.name!r}" for part in regions) or "none"
        raise SettingsError(
            f"region: expected {len(regions)} as MASK:STYLE, got {len(given)}; the recipe names "
            f"{names}"
        )
    return tuple(
        RegionReference(
            _placed(region.mask, file.mask),
            _placed(region.style, file.style),
            _with_file("region", region.style_mask, file.style_mask),
            file.mask_colour or region.mask_colour,
            file.style_mask_colour or region.style_mask_colour,
        )
        for region, file in zip(regions, given, strict=True)
    )


def _region_files(words: Sequence[str]) -> list[str]:
    from impasto.engine.regions import parse_files

    return [path for region in parse_files(words) for path in region.paths]


def _read_any(reference: PictureReference) -> Picture:
    from impasto import images

    return images.load(standard_input.picture(str(reference.file)))


def _read_same(spec: JobSpec, reference: PictureReference) -> Picture:
    """Load the picture that the recipe names, and no other."""
    picture = _read_any(reference)
    if picture.sha256 != reference.sha256:
        raise SettingsError(
            f"{_option(spec, reference)}: {str(reference.path)!r} is another picture than the "
            f"recipe's {reference.name!r}: expected SHA-256 {reference.sha256}, got "
            f"{picture.sha256}; find that one, or add --other-inputs"
        )
    return picture


def _option(spec: JobSpec, reference: PictureReference) -> str:
    """Return the option that names a picture's file."""
    options = {"content": (spec.content,), "style": spec.styles, "start": (spec.start,)}
    return next((name for name, pictures in options.items() if reference in pictures), "region")


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


def show_recipe(picture: _Painted, quiet: Quiet = False) -> None:
    """Print as JSON how PICTURE was made."""
    typer.echo(standard_input.recipe(picture).text(indent=2))


@with_options({"Output": DeliveryOptions, "Where and how": Runtime})
def replay_picture(
    picture: _Painted,
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

    made = standard_input.recipe(picture)
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

"""``impasto recipe`` prints how a picture or a film was made; ``replay`` paints it again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto import files
from impasto.cli import interrupts, standard_input
from impasto.cli.commands import video
from impasto.cli.commands.paint import display_of, paint, pop_delivery
from impasto.cli.commands.video import FilmOutput
from impasto.cli.options import Quiet, with_options
from impasto.config.affects import COMPARISON, affecting
from impasto.config.film_settings import FilmSettings
from impasto.config.settings import Runtime, Settings, overlay
from impasto.config.validation import check
from impasto.config.words import assignments
from impasto.errors import SettingsError
from impasto.job.job import (
    ImageSource,
    Job,
    JobSpec,
    PictureReference,
    Region,
    RegionReference,
)
from impasto.output.options import DeliveryOptions

if TYPE_CHECKING:
    from impasto.images.picture import Picture
    from impasto.job.recipe import FilmRecipe, Recipe
    from impasto.output.progress import Display
    from impasto.weights.download import Progress


_Painted = Annotated[
    str,
    typer.Argument(metavar="PICTURE", help="What impasto painted; - is standard input."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
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
    """Make the job that ``recipe`` describes.

    The recorded decisions are repeated at the same steps. With other pictures or settings they are
    not: then the new painting uses the final settings of the old one from its start.

    Args:
        recipe: the recipe of the old picture.
        content: path of the content picture, if the recipe has one.
        styles: paths of the style pictures, in the recipe's order.
        start: path of the picture to start from, if the recipe has one.
        regions: the recipe's regions in its order, each as MASK:STYLE or MASK:STYLE:MASK.
        changes: settings to change, as NAME=VALUE.
        runtime: fields of Runtime that override the recorded decisions.
        other_inputs: accept other pictures and weights than the recipe's.
        progress: called while weights are downloaded.

    Raises:
        SettingsError: too few or too many pictures, an invalid change, or other weights.
        ImageError: a picture cannot be read.
    """
    _check_terms(recipe)
    changed = assignments(changes, Settings)
    settings, decisions = recipe.settings, recipe.decisions
    if changed or other_inputs:
        for change in (*(change.settings for change in decisions.changes), changed):
            settings = check(Settings, overlay(settings.model_dump(), change))
        decisions = decisions.anew(
            keep_weights=not (other_inputs or decisions.changes)
            and _has_same_weights(recipe.settings, settings, changed)
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


def make_film_job(
    recipe: FilmRecipe,
    *,
    styles: Sequence[str],
    start: str | None,
    regions: Sequence[str],
    changes: dict[str, Any],
    runtime: dict[str, Any],
    other_inputs: bool,
    progress: Progress,
) -> Job:
    """Make the job of the pictures that a film was painted with; the film is not part of it.

    Args:
        recipe: of the old film.
        styles: as for :func:`make_job`.
        start: as for :func:`make_job`.
        regions: as for :func:`make_job`; a mask may be a folder or a pattern.
        changes: fields of Settings, by name.
        runtime: as for :func:`make_job`.
        other_inputs: as for :func:`make_job`.
        progress: as for :func:`make_job`.

    Raises:
        ImpastoError: as :func:`make_job` does.
    """
    _check_terms(recipe)
    settings = check(Settings, overlay(recipe.settings.model_dump(), changes))
    spec = replace(recipe.spec, content=None, settings=settings)
    if "start" in changes:
        spec = replace(spec, start=None)
    spec = _with_files(spec, None, styles, start, regions, other_inputs=other_inputs)
    parts = tuple(_film_region(spec, region, other_inputs) for region in spec.regions)
    read = _read_any if other_inputs else partial(_read_same, spec)
    job = replace(spec, regions=()).load(
        read,
        runtime=check(Runtime, runtime),
        decisions=recipe.decisions.anew(keep_weights=False),
    )
    if not other_inputs and settings.network == recipe.settings.network:
        _check_weights(recipe, job, progress)
    return replace(job, regions=parts)


def _film_region(spec: JobSpec, region: RegionReference, other_inputs: bool) -> Region:
    """Return a region whose mask may be a picture for each frame, after a check of its files."""
    from impasto.film.sources import digest, pictures_of

    read = _read_any if other_inputs else partial(_read_same, spec)
    masks = pictures_of(region.mask.file)
    if masks is None:
        mask: ImageSource = read(region.mask)
    else:
        mask = region.mask.file
        if not other_inputs:
            _check_same("region", region.mask, digest(masks))
    return Region(
        mask,
        read(region.style),
        None if region.style_mask is None else read(region.style_mask),
        region.mask_colour,
        region.style_mask_colour,
    )


def _check_terms(recipe: Recipe) -> None:
    if recipe.terms:
        term = recipe.terms[0]
        raise SettingsError(
            f"the picture was painted with the loss term {term.name!r} ({term.function} of "
            f"{term.package} {term.version}), which a command cannot have; repeat it in Python "
            "with terms={...}"
        )


def _has_same_weights(before: Settings, after: Settings, changed: Collection[str]) -> bool:
    """Return whether the recorded alpha and beta stay valid: same pictures and layers."""
    sizes = {before.size, after.size}
    is_cropped = len(sizes) > 1 and any(isinstance(size, tuple) for size in sizes)
    return not is_cropped and not set(affecting(Settings, *COMPARISON)) & set(changed)


def differences(recipe: Recipe) -> str | None:
    """Return a message about packages with another version than in the recipe, or None."""
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
    """Return ``spec`` with the paths of its pictures, after a check of their number."""
    if len(spec.styles) != len(styles) and not (other_inputs and spec.styles and styles):
        raise SettingsError(
            f"style: expected {len(spec.styles)} of these pictures, got {len(styles)}; the "
            f"recipe names {', '.join(repr(style.name) for style in spec.styles) or 'none'}"
        )
    if len(spec.styles) == len(styles):
        pairs = zip(spec.styles, styles, strict=True)
        references = [_with_path(style, path) for style, path in pairs]
    else:
        references = [
            PictureReference(files.path_of(path), None, Path(path).name) for path in styles
        ]
    return replace(
        spec,
        content=_with_file("content", spec.content, content),
        styles=tuple(references),
        start=_with_file("start", spec.start, start),
        regions=_regions_with_files(spec.regions, regions),
    )


def _with_file(
    option: str, picture: PictureReference | None, path: str | None
) -> PictureReference | None:
    """Return a picture's reference with its path; both must be there, or neither."""
    if picture is None:
        if path is None:
            return None
        raise SettingsError(
            f"{option}: expected none, because the recipe has none, got {path!r}; leave it out"
        )
    if path is None:
        raise SettingsError(
            f"{option}: expected the picture {picture.name!r} that the recipe names, got none; "
            f"name it with --{option}"
        )
    return _with_path(picture, path)


def _with_path(picture: PictureReference, path: str) -> PictureReference:
    return replace(picture, path=files.path_of(path))


def _regions_with_files(
    regions: Sequence[RegionReference], words: Sequence[str]
) -> tuple[RegionReference, ...]:
    from impasto.engine.regions import parse_files

    paths = parse_files(words)
    if len(paths) != len(regions):
        names = ", ".join(f"{part.mask.name!r}:{part.style.name!r}" for part in regions) or "none"
        raise SettingsError(
            f"region: expected {len(regions)} as MASK:STYLE, got {len(paths)}; the "
            f"recipe names {names}"
        )
    return tuple(
        RegionReference(
            _with_path(region.mask, file.mask),
            _with_path(region.style, file.style),
            _with_file("region", region.style_mask, file.style_mask),
            file.mask_colour or region.mask_colour,
            file.style_mask_colour or region.style_mask_colour,
        )
        for region, file in zip(regions, paths, strict=True)
    )


def _region_files(words: Sequence[str]) -> list[str]:
    from impasto.engine.regions import parse_files

    return [path for region in parse_files(words) for path in region.paths]


def _read_any(reference: PictureReference) -> Picture:
    from impasto import images

    return images.load(standard_input.picture(str(reference.file)))


def _read_same(spec: JobSpec, reference: PictureReference) -> Picture:
    """Load a picture, and check that it is the recipe's."""
    picture = _read_any(reference)
    _check_same(_option(spec, reference), reference, picture.sha256)
    return picture


def _check_same(option: str, reference: PictureReference, sha256: str) -> None:
    if sha256 != reference.sha256:
        raise SettingsError(
            f"{option}: {str(reference.path)!r} is another picture than the "
            f"recipe's {reference.name!r}: expected SHA-256 {reference.sha256}, got "
            f"{sha256}; find that one, or add --other-inputs"
        )


def _option(spec: JobSpec, reference: PictureReference) -> str:
    """Return the name of a picture's option."""
    options = {"content": (spec.content,), "style": spec.styles, "start": (spec.start,)}
    return next((name for name, pictures in options.items() if reference in pictures), "region")


def _check_weights(recipe: Recipe, job: Job, progress: Progress | None) -> None:
    from impasto import weights

    network, file = recipe.settings.network, job.runtime.weights
    sha256 = weights.sha256(network, file=file)
    if sha256 is None:
        weights.fetch(network, offline=job.runtime.offline, progress=progress)
        sha256 = weights.sha256(network)
    if recipe.weights_sha256 not in (None, sha256):
        raise SettingsError(
            f"weights: these are not the recipe's: expected SHA-256 "
            f"{recipe.weights_sha256}, got {sha256}; name that file with --weights, or add "
            "--other-inputs"
        )


def show_recipe(picture: _Painted, quiet: Quiet = False) -> None:
    """Print the recipe of PICTURE, which may be a film, as JSON."""
    typer.echo(standard_input.recipe(picture).text(indent=2))


@with_options({"Output": DeliveryOptions, "Where and how": Runtime})
def replay_picture(
    picture: _Painted,
    content: Annotated[
        str | None,
        typer.Option("--content", metavar="FILE", help="Its content picture, or its film."),
    ] = None,
    styles: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="FILE", help="Its style picture; once for each, in their order."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", metavar="FILE", help="The picture it started from, if there is one."
        ),
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
        typer.Option("--other-inputs", help="Accept other pictures or weights than the recipe's."),
    ] = False,
    **options: Any,
) -> None:
    """Paint PICTURE again by its recipe, from the same pictures; or a film, from the same film."""
    from impasto.cli.commands import replay
    from impasto.job.recipe import FilmRecipe

    original = standard_input.recipe(picture)
    delivery = pop_delivery(options)
    asked: dict[str, Any] = {
        "content": content,
        "styles": styles or [],
        "start": start,
        "regions": regions or [],
        "changes": changes or [],
        "runtime": options,
        "other_inputs": other_inputs,
    }
    if isinstance(original, FilmRecipe):
        replay_film(picture, original, delivery=delivery, **asked)
        return
    interrupts.raise_stops()
    with display_of(delivery) as display:
        job = replay.make_job(original, progress=display.progress, **asked)
        if message := replay.differences(original):
            display.message(message)
    words = [picture, content, start, *(styles or []), *_region_files(regions or [])]
    named = [files.path_of(word) for word in words if word not in (None, standard_input.WORD)]
    paint(job, delivery, named)


def replay_film(
    painted: str,
    recipe: FilmRecipe,
    *,
    content: str | None,
    styles: Sequence[str],
    start: str | None,
    regions: Sequence[str],
    changes: Sequence[str],
    runtime: dict[str, Any],
    other_inputs: bool,
    delivery: DeliveryOptions,
) -> None:
    """Paint a film again by its recipe.

    Args:
        painted: the old film, or one of its pictures.
        recipe: its recipe.
        content: the film that it was painted from.
        styles: as for :func:`make_job`.
        start: as for :func:`make_job`.
        regions: as for :func:`make_film_job`.
        changes: settings of pictures or films to change, as NAME=VALUE.
        runtime: as for :func:`make_job`.
        other_inputs: as for :func:`make_job`.
        delivery: where the film goes; what only a picture can have is refused.

    Raises:
        ImpastoError: as :func:`make_job` does.
    """
    from impasto.film import sources
    from impasto.output.collisions import check_apart

    given = delivery.model_dump(exclude_defaults=True)
    output = FilmOutput(
        **{name: given.pop(name) for name in FilmOutput.model_fields if name in given}
    )
    if given:
        raise SettingsError(
            f"{next(iter(given))}: expected none, because {painted!r} is a film; leave it out"
        )
    film = _with_file("content", recipe.spec.content, content)
    assert film is not None
    changed = assignments(changes, Settings)
    of_film = {name: changed.pop(name) for name in FilmSettings.model_fields if name in changed}
    settings = check(FilmSettings, overlay(recipe.film.model_dump(), of_film))
    check_apart([output.output], [files.path_of(painted)])
    source = sources.open_source(film.file, settings.fps)
    if not other_inputs:
        _check_same("content", film, sources.digest(source.files))

    def make(display: Display) -> Job:
        job = make_film_job(
            recipe,
            styles=styles,
            start=start,
            regions=regions,
            changes=changed,
            runtime=runtime,
            other_inputs=other_inputs,
            progress=display.progress,
        )
        if message := differences(recipe):
            display.message(message)
        return job

    video.paint(str(film.file), make, settings, output)

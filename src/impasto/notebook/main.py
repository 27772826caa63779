"""``main``, the notebook call: paint, show the pictures side by side, and save the files."""

from __future__ import annotations

import dataclasses
import itertools
import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto import api
from impasto.config.settings import MODES, Mode, Settings
from impasto.config.values import Size
from impasto.errors import (
    Diverged,
    ImageError,
    MissingPackageError,
    OutOfMemoryError,
    SettingsError,
)
from impasto.files import fitting_name
from impasto.images import samples
from impasto.job import recipe
from impasto.job.history import load_matplotlib
from impasto.job.job import ImageSource, Job
from impasto.job.result import Result, Step
from impasto.output.jupyter import Live, cell_number, in_notebook
from impasto.output.options import DeliveryOptions
from impasto.output.progress import Display, make_display
from impasto.output.writer import Files, numbered

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from impasto.images.picture import Picture

# The option names of the notebook that this project replaces, and the names here.
_OUR_WORDS = {
    "imsize": "size",
    "num_steps": "iterations",
    "style_weight": "beta",
    "content_weight": "alpha",
}
_CHECKOUT = Path(__file__).parents[3]
_WIDTH_IN = 12.0
_TALLEST_IN = 5.0


def main(
    content_path: ImageSource,
    style_path: ImageSource | list[ImageSource],
    mode: Mode = "style_transfer",
    imsize: Size | None = None,
    num_steps: int | None = None,
    style_weight: float | None = None,
    content_weight: float | None = None,
    **options: Any,
) -> Result:
    """Paint one picture and show content, style and result side by side.

    The result and an animation of the run are written as ``<content>_<style>.png`` and
    ``.gif`` to ``img/results``: the repository's own if this runs inside it, else one in the
    current folder. If that file contains another painting, such as one in another mode or with
    other weights, the name gets a number: ``<content>_<style>_2.png``. The Result has the file's
    path in ``path``.

    Args:
        content_path: the photograph; in ``content`` and ``style`` mode the picture to start
            from. ``"noise"`` means seeded noise. A bundled picture has the path
            ``img/content/NAME`` or ``img/style/NAME`` from every folder.
        style_path: the painting, or a list of them; in ``content`` mode the picture to rebuild.
        mode: ``style_transfer``, ``content`` or ``style``.
        imsize: longest side of the result in pixels, both sides, or "original" (``size``).
        num_steps: iterations, over all sizes (``iterations``).
        style_weight: weight of the style loss (``beta``).
        content_weight: weight of the content loss (``alpha``).
        options: any other field of Settings and Runtime, and ``preset``. Others have the mode's
            defaults.

    Returns:
        The Result. Jupyter shows it as a picture, but not a second time in the cell that painted
        it.

    Raises:
        ImpastoError: see impasto.errors; before anything is painted, except Diverged and
            OutOfMemoryError.

    Example:
        >>> main("img/content/dancing.jpg", "img/style/picasso.jpg")  # doctest: +SKIP
    """
    from impasto.engine import inputs

    asked = (imsize, num_steps, style_weight, content_weight)
    options |= _in_our_words(dict(zip(_OUR_WORDS, asked, strict=True)), options)
    job = _read(_make_job(mode, content_path, style_path, options))
    folder = _results_folder()
    output = folder / fitting_name(_name(job), suffix=".png", folder=folder)
    delivery = DeliveryOptions(output=output, timelapse=output.with_suffix(".gif"))
    files = Files(delivery, inputs.longest_px(job))
    with Live() if in_notebook() else make_display() as display:
        result = _paint(job, output, files, display)
        _save(result, output, files, display)
        return _show(job, result, display)


def _in_our_words(asked: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    chosen = {name: value for name, value in asked.items() if value is not None}
    for name in chosen:
        if _OUR_WORDS[name] in options:
            raise SettingsError(
                f"expected {name} or {_OUR_WORDS[name]}, which mean the same, got both; "
                "leave one out"
            )
    return {_OUR_WORDS[name]: value for name, value in chosen.items()}


def _make_job(
    mode: Mode,
    content_path: ImageSource,
    style_path: ImageSource | list[ImageSource],
    options: dict[str, Any],
) -> Job:
    """Assign the two pictures to content, styles and start, by the mode."""
    if mode not in MODES:
        raise SettingsError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if mode == "style_transfer":
        return api.make_job(mode, content_path, style_path, **options)
    if not _is_noise(content_path):
        if options.get("start") is not None:
            raise SettingsError(
                f"in {mode} mode content_path is the start picture: expected it or the option "
                "start, got both; pass 'noise' as content_path, or leave start out"
            )
        options = {**options, "start": _load(content_path)}
    if mode == "content":
        picture: Any = style_path  # A list is refused, because it is no picture.
        return api.make_job(mode, picture, **options)
    return api.make_job(mode, None, style_path, **options)


def _read(job: Job) -> Job:
    """Load the pictures; noise gets the shape of the other picture."""
    from impasto import images

    content, *styles = (
        source if source is None or _is_noise(source) else _load(source)
        for source in (job.content_image, *job.style_images)
    )
    model = next((p for p in (content, *styles) if isinstance(p, images.Picture)), None)

    def picture(source: Any) -> Any:
        return _noise(model, job.settings) if _is_noise(source) else source

    return dataclasses.replace(
        job, content_image=picture(content), style_images=tuple(map(picture, styles))
    )


def _is_noise(source: ImageSource) -> bool:
    return isinstance(source, str) and source == "noise"


def _noise(model: Picture | None, settings: Settings) -> Picture:
    """Return seeded noise of the result's size, in the shape of ``model`` or square."""
    from impasto import images
    from impasto.engine import inputs

    size = settings.size
    if model is not None:
        height_px, width_px = inputs.result_px(model, settings)
    elif size == "original":
        raise SettingsError(
            "size: expected a number of pixels, because both pictures are noise, got 'original'"
        )
    else:
        width_px, height_px = size if isinstance(size, tuple) else (size, size)
    pixels = inputs.noise(height_px, width_px, settings.seed)
    return dataclasses.replace(images.load(pixels), name="noise")


def _load(source: ImageSource) -> Picture:
    """Load a picture; bundled ones have the same path from every folder."""
    from impasto import images

    if isinstance(source, (str, Path)) and not Path(source).exists():
        match Path(source).parts:
            case ("img", "content" | "style" as kind, file) if file in samples.names(kind):
                source = samples.path(kind, file)
    return images.load(source)


def _results_folder() -> Path:
    here = Path.cwd()
    root = _CHECKOUT if here.is_relative_to(_CHECKOUT) else here
    folder = root / "img" / "results"
    # If this fails, checking the output files reports it.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _name(job: Job) -> str:
    """Name the files after both pictures."""
    first, *others = _pictures(job)
    return f"{first.name if first else 'noise'}_{'+'.join(other.name for other in others)}"


def _pictures(job: Job) -> list[Any]:
    """Return the pictures of content_path (None for a start of noise) and of style_path."""
    if job.mode == "style_transfer":
        return [job.content_image, *job.style_images]
    return [job.start_image, *(job.style_images if job.mode == "style" else (job.content_image,))]


def _from_here(path: Path) -> Path:
    return Path(os.path.relpath(path))


def _paint(job: Job, output: Path, files: Files, display: Display) -> Result:
    """Paint; if painting ends early, save the picture so far."""
    last: Step | None = None

    def on_step(step: Step) -> None:
        nonlocal last
        last = step
        display.step(step)
        files.step(step)

    try:
        return api.paint(job, on_step, progress=display.progress)
    except (KeyboardInterrupt, Diverged, OutOfMemoryError):
        if last is not None:
            display.message("stopped early: the picture so far is saved")
            _save(last.result(), output, files, display)
        raise


def _save(result: Result, output: Path, files: Files, display: Display) -> None:
    """Write the picture and the animation, and show the path."""
    files.move(_own_name(result, output))
    path = files.finish(result)
    display.saved(result, path and _from_here(path))


def _own_name(result: Result, output: Path) -> Path:
    """Return ``output``, with a number if another painting has that name."""
    candidates = (
        output if number == 1 else numbered(output, f"_{number}") for number in itertools.count(1)
    )
    return next(path for path in candidates if _may_replace(result, path))


def _may_replace(result: Result, path: Path) -> bool:
    """Return whether ``path`` and its animation do not exist, or contain the same painting."""
    if not any(os.path.lexists(file) for file in (path, path.with_suffix(".gif"))):
        return True
    try:
        return recipe.read(path) == result.recipe
    except ImageError:
        return False


@dataclasses.dataclass(frozen=True, repr=False)
class _Shown(Result):
    """A Result that one cell of a notebook has shown already."""

    cell: int | None = None

    def _repr_png_(self) -> bytes | None:
        return None if cell_number() == self.cell else super()._repr_png_()


def _show(job: Job, result: Result, display: Display) -> Result:
    """Show the pictures side by side, in the notebook or in a window."""
    panels = _panels(job, result)
    try:
        if not isinstance(display, Live):
            _show_window(panels)
            return result
        display.finish(_draw_jpeg(panels), ", ".join(title for title, _ in panels))
    except MissingPackageError as error:
        display.message(str(error))
        return result
    shown = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return _Shown(**shown, cell=cell_number())


def _panels(job: Job, result: Result) -> list[tuple[str, Image]]:
    """Pair each picture with its title."""
    from impasto import images
    from impasto.engine import inputs

    first, *others = _pictures(job)
    if first is None and job.settings.start in (None, "noise"):
        # The painting starts from noise at the coarsest size.
        coarsest_px = min(job.settings.coarsest, max(result.image.size))
        shape = images.fit(result.image.height, result.image.width, coarsest_px)
        first = dataclasses.replace(
            images.load(inputs.noise(*shape, job.settings.seed)), name="noise"
        )
    first_word = "content" if job.mode == "style_transfer" else "start"
    other_word = "content" if job.mode == "content" else "style"
    titled = [(f"{first_word}: {first.name}", first)] if first else []
    titled += [(f"{other_word}: {other.name}", other) for other in others]
    return [
        *((title, images.to_image(picture.pixels, picture.alpha)) for title, picture in titled),
        ("result", result.image),
    ]


def _show_window(panels: list[tuple[str, Image]]) -> None:
    """Show the figure with pyplot, which opens a window if there is a screen."""
    pyplot = load_matplotlib("pyplot")
    _draw(panels, pyplot.figure(num="impasto", clear=True))
    if pyplot.gcf().canvas.required_interactive_framework is not None:
        pyplot.show()


def _draw_jpeg(panels: list[tuple[str, Image]]) -> bytes:
    """Draw without pyplot, which would show the figure again at the end of the cell."""
    figure = load_matplotlib("figure").Figure()
    _draw(panels, figure)
    stream = BytesIO()
    figure.savefig(stream, format="jpeg", dpi=100, pil_kwargs={"quality": 85})
    return stream.getvalue()


def _draw(panels: list[tuple[str, Image]], figure: Figure) -> None:
    """Draw the pictures in one row, equally high."""
    aspects = [image.width / image.height for _, image in panels]
    height_in = min(_TALLEST_IN, _WIDTH_IN / sum(aspects))
    figure.set_size_inches(height_in * sum(aspects), height_in + 0.3)
    figure.set_layout_engine("constrained")
    for axes, (title, image) in zip(
        figure.subplots(1, len(panels), width_ratios=aspects), panels, strict=True
    ):
        axes.imshow(image)
        axes.set_title(title)
        axes.axis("off")

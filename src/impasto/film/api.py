"""The function ``impasto.video``: paint a film."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from impasto import api, files
from impasto.config.film_settings import FilmSettings
from impasto.config.settings import Settings
from impasto.config.validation import check
from impasto.engine.cache import Cache
from impasto.film.painting import FilmOptions, FilmPainting, FilmResult, FilmStep
from impasto.job.job import ImageSource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from impasto.job.options import JobOptions


def video(
    film: str | os.PathLike[str],
    style_images: ImageSource | Sequence[ImageSource],
    output: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    on_step: Callable[[FilmStep], object] | None = None,
    cache: Cache | None = None,
    resume: bool = False,
    keep_frames: bool = False,
    sound: bool = True,
    recipe: bool = True,
    temporal: float | None = None,
    range: str | None = None,  # noqa: A002 - the option's name everywhere
    every: int | None = None,
    fps: float | None = None,
    **options: Unpack[JobOptions],
) -> FilmResult:
    """Repaint a film in the manner of one or several paintings, without flicker.

    The painted frames wait in a folder beside ``output``, until the film is encoded from them.

    Args:
        film: a film file; a GIF, WebP or PNG animation; a folder of pictures; or a pattern such as
            ``frames/%05d.png``.
        style_images: the painting, or a list of them, as for ``style_transfer``.
        output: the film to write: .mp4, .mov, .m4v, .mkv, .webm, .gif, .webp, or a pattern.
        settings: base settings, which ``options`` override.
        on_step: called with each FilmStep: while the first frame of a shot is painted, after each
            iteration; then after each frame.
        cache: of networks and style statistics of earlier paintings.
        resume: go on with the frames of an earlier run.
        keep_frames: leave the painted frames beside the film.
        sound: copy the film's sound.
        recipe: write into the file how it was made.
        temporal: field of FilmSettings; so are ``range``, ``every`` and ``fps``.
        range: see ``temporal``.
        every: see ``temporal``.
        fps: see ``temporal``.
        options: fields of Settings and Runtime by name, and ``preset``.

    Raises:
        ImpastoError: see impasto.errors; what was painted is kept for ``resume``.
        KeyboardInterrupt: what was painted is kept, and encoded as a shorter film.
    """
    named: dict[str, Any] = {"temporal": temporal, "range": range, "every": every, "fps": fps}
    chosen = check(
        FilmSettings, {name: value for name, value in named.items() if value is not None}
    )
    painting = FilmPainting(
        film,
        api.make_job("style_transfer", None, style_images, settings=settings, **options),
        FilmOptions(chosen, files.path_of(output), resume, keep_frames, sound, recipe),
        cache=cache,
    )
    painting.open()
    try:
        painting.paint(on_step)
    except KeyboardInterrupt:
        if painting.done:
            painting.finish()
        raise
    return painting.finish()

"""No output may be an input: writing the one would destroy the other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from impasto import files
from impasto.config.initialization import parse_start
from impasto.errors import SettingsError
from impasto.job.job import Job


def input_files(job: Job) -> list[Path]:
    """List the files that ``job`` reads: pictures, masks and weights that are given by path."""
    from impasto.engine.regions import parse

    settings = job.settings
    regions = (*parse(settings.region or ()), *job.regions)
    start = settings.start
    sources = [
        job.content_image,
        *job.style_images,
        job.start_image,
        start if start is not None and parse_start(start) is None else None,
        *(part for area in regions for part in (area.mask, area.style, area.style_mask)),
        job.runtime.weights,
    ]
    return [files.path_of(source) for source in sources if isinstance(source, (str, os.PathLike))]


def check_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Make sure that no output is an input, by whatever name, link or spelling.

    Raises:
        SettingsError: one is.
    """
    read = {files.identity(path): path for path in inputs}
    for output in outputs:
        same = read.get(files.identity(output))
        if same is not None:
            link = "" if output == same else f" (the same file as {str(same)!r})"
            raise SettingsError(
                f"output: expected a file that is not painted from, got {str(output)!r}{link}, "
                "which would be replaced; name another"
            )

"""Check that no output is also an input, which it would overwrite."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from impasto import files
from impasto.config.initialization import parse_start
from impasto.errors import SettingsError
from impasto.job.job import Job


def input_files(job: Job) -> list[Path]:
    """Return the files that ``job`` reads: pictures, masks and weights that are paths."""
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
    """Check that no output is an input, also through links or another spelling.

    Raises:
        SettingsError: an output is an input.
    """
    read = {files.identity(path): path for path in inputs}
    for output in outputs:
        same = read.get(files.identity(output))
        if same is not None:
            link = "" if output == same else f" (the same file as {str(same)!r})"
            raise SettingsError(
                f"output: expected a file that is not an input, got {str(output)!r}{link}, "
                "which would be replaced; name another"
            )

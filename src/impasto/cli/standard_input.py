"""Read a picture from standard input, for the argument ``-``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, overload

from impasto import files
from impasto.errors import ImageError
from impasto.job.job import ImageSource

if TYPE_CHECKING:
    from impasto.job.recipe import Recipe

WORD = "-"
_NAME = "standard input"


@overload
def picture(word: str) -> ImageSource: ...
@overload
def picture(word: None) -> None: ...
def picture(word: str | None) -> ImageSource | None:
    """Return the picture on standard input if ``word`` is ``-``, otherwise ``word`` itself.

    Raises:
        ImageError: standard input is a terminal, or contains no readable picture.
    """
    if word != WORD:
        return word
    from impasto import images

    return images.load(_read(), file_name=_NAME)


def recipe(word: str) -> Recipe:
    """Read the recipe of the picture that ``word`` names, or on standard input if it is ``-``.

    It may be a film too; its recipe is a FilmRecipe.

    Raises:
        ImageError: nothing that can be read, or without a recipe.
        MissingPackageError: PyAV is not installed, and it is a film.
    """
    from impasto.job import recipe
    from impasto.output.film_file import CONTAINERS, FilmFile

    if word == WORD:
        return recipe.read(_read(), file_name=_NAME)
    path = files.path_of(word)
    if path.suffix.lower() in CONTAINERS:
        return recipe.read_texts(FilmFile(path).texts(), repr(str(path)))
    return recipe.read(word)


def _read() -> bytes:
    from impasto.images.picture import MAX_FILE_BYTES

    if sys.stdin is None or sys.stdin.isatty():
        raise ImageError(
            "- is standard input: expected a picture there, got a terminal; pipe one in with "
            "< FILE, or name a file"
        )
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if not data:
        raise ImageError(
            "- is standard input: expected a picture there, got nothing; pipe one in, and write "
            "- for one picture only"
        )
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(
            f"standard input is too large: expected at most {MAX_FILE_BYTES // 1024**3} GiB; "
            "scale the picture down first"
        )
    return data

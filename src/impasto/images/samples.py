"""The bundled pictures: photographs as content, paintings as style."""

from pathlib import Path
from typing import Literal

from impasto.errors import ImageError

Kind = Literal["content", "style"]

# A wheel has the pictures inside the package; a checkout has them at its root.
_IN_WHEEL = Path(__file__).parents[1] / "img"
_IN_CHECKOUT = Path(__file__).parents[3] / "img"


def names(kind: Kind) -> list[str]:
    """Return the file names of the bundled pictures of one ``kind``, in alphabetical order."""
    return sorted(file.name for file in _folder(kind).glob("*.jpg"))


def path(kind: Kind, name: str) -> Path:
    """Return the path of the bundled picture ``name``.

    Args:
        kind: ``content`` for the photographs, ``style`` for the paintings.
        name: its file name, with or without ``.jpg``.

    Raises:
        ImageError: there is no such picture; the message names all.
    """
    known = names(kind)
    file_name = f"{name.removesuffix('.jpg')}.jpg"
    if file_name not in known:
        raise ImageError(
            f"no bundled {kind} picture {name!r}: expected one of {', '.join(known) or '(none)'}"
        )
    return _folder(kind) / file_name


def _folder(kind: Kind) -> Path:
    root = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    return root / kind

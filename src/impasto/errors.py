"""Every exception that impasto raises on purpose.

    ImpastoError
    ├── SettingsError       (ValueError)       an option unknown, out of range, or at odds
    ├── ImageError          (ValueError)       a picture that cannot be read, used or written
    ├── CheckpointError     (ValueError)       a checkpoint damaged, or of another painting
    ├── ShapeError          (ValueError)       an array or tensor of the wrong shape
    ├── WeightsError        (RuntimeError)     network weights absent, damaged or of another network
    ├── OutOfMemoryError    (RuntimeError)     the painting does not fit in memory
    ├── OutputError         (OSError)          a finished picture could not go where it should
    ├── LostRankError       (ConnectionError)  another process painting the same image is gone
    ├── MissingPackageError (ImportError)     a package that only this feature needs
    └── Diverged            (ArithmeticError)  the loss stopped being finite, after every rescue

Each also inherits the built-in that a caller would catch. Messages say what was
expected, what came, and what to do.
"""

import reprlib
from typing import Any

__all__ = [
    "CheckpointError",
    "Diverged",
    "ImageError",
    "ImpastoError",
    "LostRankError",
    "MissingPackageError",
    "OutOfMemoryError",
    "OutputError",
    "SettingsError",
    "ShapeError",
    "WeightsError",
]


class ImpastoError(Exception):
    """Anything that impasto refuses or fails to do."""


class SettingsError(ImpastoError, ValueError):
    """An option is out of range, unknown, or contradicts another."""


class ImageError(ImpastoError, ValueError):
    """A picture cannot be read, used or written."""


class CheckpointError(ImpastoError, ValueError):
    """A checkpoint is damaged, or belongs to another painting."""


class ShapeError(ImpastoError, ValueError):
    """An array or a tensor has the wrong shape."""


class WeightsError(ImpastoError, RuntimeError):
    """The network's weights are absent, damaged, or belong to another network."""


class OutOfMemoryError(ImpastoError, RuntimeError):
    """The painting does not fit in memory."""


class OutputError(ImpastoError, OSError):
    """A finished picture could not be written where it should; the message says where it is."""


class LostRankError(ImpastoError, ConnectionError):
    """One of the processes that paint an image together has ended or is out of reach."""


class MissingPackageError(ImpastoError, ImportError):
    """A package is not installed that only the feature asked for needs."""


class Diverged(ImpastoError, ArithmeticError):  # noqa: N818 - what happened, not a fault
    """The loss or its gradient stopped being finite, and no rescue helped.

    ``result`` is the Result with the best picture so far; None if the first loss was not finite.
    """

    result: Any = None


def one_line(text: object, longest: int = 200) -> str:
    """Show a stranger's text in a message: short, and without anything that a terminal obeys."""
    words = " ".join(str(text)[: 4 * longest].split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in words)
    return f"{shown[:longest]}..." if len(shown) > longest else shown


class _Repr(reprlib.Repr):
    """repr() of a stranger's value: of the first few parts, and not deep."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict, self.maxtuple = 3, 4, 4, 4
        self.maxstring = self.maxother = self.maxlong = 80


_REPR = _Repr()


def short_repr(value: object) -> str:
    """Show a stranger's value in a message, however large it is, deep, or full of itself."""
    return one_line(_REPR.repr(value))

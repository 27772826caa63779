"""Impasto: a photograph repainted in the manner of a painting.

    import impasto

    result = impasto.style_transfer("photograph.jpg", "painting.jpg", size=768)
    result.save("repainted.png")

Names are loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "Diverged",
    "ImageError",
    "ImpastoError",
    "Job",
    "LostRankError",
    "MissingPackageError",
    "OutOfMemoryError",
    "OutputError",
    "Region",
    "Result",
    "Runtime",
    "Settings",
    "SettingsError",
    "ShapeError",
    "Step",
    "WeightsError",
    "content",
    "iterate",
    "main",
    "style",
    "style_transfer",
]

_HOMES = {
    "errors": (
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
    ),
    "notebook.main": ("main",),
    "modes": ("content", "style", "style_transfer"),
    "pipeline": ("iterate",),
    "records": ("Job", "Region", "Result", "Step"),
    "settings": ("Runtime", "Settings"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = ("images", "losses", "network", "objective", "statistics", "weights")


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(f"impasto.{_HOME_OF[name]}"), name)
    elif name in _ROOMS:
        value = import_module(f"impasto.{name}")
    else:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})

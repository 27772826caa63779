"""A time-lapse: an animation of the painting, with evenly spaced frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.job.result import Step

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_FRAMES = 60
_LONGEST_PX = 512


class Timelapse:
    """Stores the picture of every n-th step; n is doubled when there are too many frames."""

    def __init__(self) -> None:
        self._frames: list[Image] = []
        self._every = 1

    def add(self, step: Step) -> None:
        """Store the picture of ``step``, if it is an n-th one."""
        if (step.step - 1) % self._every:
            return
        self._frames.append(_small(step.image()))
        if len(self._frames) > _MOST_FRAMES:
            self._frames = self._frames[::2]
            self._every *= 2

    def save(self, path: Path, last: Image) -> Path:
        """Write the frames, and ``last`` as the final one, as a GIF or WebP.

        Raises:
            ImageError: the file cannot be written.
        """
        from impasto import images

        return images.save_animation([*self._frames, _small(last)], path)


def _small(image: Image) -> Image:
    small = image.copy()
    small.thumbnail((_LONGEST_PX, _LONGEST_PX))
    return small

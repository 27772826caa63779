"""The frames of a work's time-lapse: small pictures in its folder, about evenly spaced.

They are files, so that a painting that is paused or killed has them when it goes on.
"""

from __future__ import annotations

from pathlib import Path

from impasto import files

LONGEST_PX = 512
_MOST_FRAMES = 60


class Frames:
    """The frames of some of the steps that a preview is made of; a full folder loses every second.

    Args:
        folder: the folder of the work.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "frames"

    def steps(self) -> list[int]:
        """Return the steps that there are frames of, in order."""
        return sorted(int(path.stem) for path in self._folder.glob("*.jpg"))

    def path(self, step: int) -> Path:
        """Return the path of the frame of ``step``."""
        return self._folder / f"{step:07d}.jpg"

    def add(self, step: int, data: bytes) -> None:
        """Write the frame of ``step``, a JPEG, unless it comes too soon after the last one."""
        steps = self.steps()
        if len(steps) >= _MOST_FRAMES // 2:
            usual = (steps[-1] - steps[0]) / (len(steps) - 1)
            if step - steps[-1] < usual:
                return
        self._folder.mkdir(exist_ok=True)
        files.replace(self.path(step), data)
        if len(steps) + 1 > _MOST_FRAMES:
            for one in steps[1::2]:
                self.path(one).unlink()

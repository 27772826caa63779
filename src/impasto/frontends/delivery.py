"""What becomes of a painting on the command line: files, checked before the first step."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from impasto.errors import ImageError
from impasto.frontends.timelapse import Timelapse
from impasto.records import Result, Step
from impasto.settings import Options


class Delivery(Options):
    """Where the picture goes, and what is shown on the way."""

    output: Path = Field(
        description="The picture to write; its ending names the format.",
        json_schema_extra={"short": "-o"},
    )
    save_every: int | None = Field(
        default=None,
        ge=1,
        description="Also write the picture after every N iterations, as OUTPUT with the number.",
    )
    timelapse: Path | None = Field(
        default=None, description="Also write the run as an animation, a .gif."
    )
    json_lines: bool = Field(
        default=False,
        description="Print a line of JSON for each step and for the result.",
        json_schema_extra={"flag": "--json"},
    )
    quiet: bool = Field(
        default=False, description="Show nothing but errors.", json_schema_extra={"short": "-q"}
    )


class Files:
    """Writes what a Delivery asks for.

    Raises:
        ImageError: a file that cannot be written where it should be; nothing is written yet.
    """

    def __init__(self, delivery: Delivery, longest_px: int) -> None:
        from impasto import images

        self._delivery = delivery
        self._timelapse = None if delivery.timelapse is None else Timelapse()
        images.check_output(delivery.output, longest_px=longest_px)
        if delivery.save_every is not None:
            images.check_output(self._numbered(0))
        if delivery.timelapse is not None:
            images.check_animation(delivery.timelapse)
            if delivery.timelapse.resolve() == delivery.output.resolve():
                raise ImageError(
                    f"expected two files, got {str(delivery.output)!r} for the picture and for "
                    "the timelapse; rename one"
                )

    def step(self, step: Step) -> None:
        """Keep or write what is due after ``step``."""
        if self._timelapse is not None:
            self._timelapse.add(step)
        every = self._delivery.save_every
        if every is not None and step.step % every == 0:
            step.result().save(self._numbered(step.step))

    def finish(self, result: Result) -> Path:
        """Write the picture, and the animation if one was asked for."""
        path = result.save(self._delivery.output)
        if self._timelapse is not None and self._delivery.timelapse is not None:
            self._timelapse.save(self._delivery.timelapse, result.image)
        return path

    def _numbered(self, step: int) -> Path:
        output = self._delivery.output
        return output.with_stem(f"{output.stem}_{step:05d}")

"""What becomes of a painting on the command line: files, checked before the first step."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from impasto import files
from impasto.errors import ImageError, OutputError, SettingsError
from impasto.frontends.timelapse import Timelapse
from impasto.records import Result, Step
from impasto.settings import Options

_UNITS_PER_INCH = {"mm": 25.4, "cm": 2.54, "in": 1.0}


def _number(word: object) -> object:
    """Read a word of the command line; what is no number is left to be refused."""
    return int(word) if isinstance(word, str) and word.isdecimal() else word


class Delivery(Options):
    """Where the picture goes, and what is shown on the way."""

    output: Path = Field(
        description="The picture to write; its ending names the format.",
        json_schema_extra={"short": "-o"},
    )
    bits: Annotated[Literal[8, 16], BeforeValidator(_number)] = Field(
        default=8, description="Bits a sample; 16 in PNG and TIFF."
    )
    dpi: float | None = Field(
        default=None, ge=1, le=65535, description="Print size, in pixels per inch."
    )
    width: str | None = Field(
        default=None,
        pattern=r"^\d{1,6}(\.\d{1,6})? ?(mm|cm|in)$",
        examples=["60cm", "300mm", "24in"],
        description="Print size, as the picture's width on paper, such as 60cm; with the size in "
        "pixels it gives the dpi.",
    )
    no_recipe: bool = Field(
        default=False, description="Leave out of the file how the picture was made."
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

    @field_validator("width")
    @classmethod
    def _check_width(cls, width: str | None) -> str | None:
        if width is not None and not _inches(width):
            raise ValueError(f"expected a width above 0, got {width!r}; such as 60cm")
        return width

    def dpi_of(self, width_px: int) -> float | None:
        """Return the pixels per inch of a picture of this width; None if none were asked for."""
        return self.dpi if self.width is None else width_px / _inches(self.width)


class Files:
    """Writes what a Delivery asks for.

    Raises:
        SettingsError: two print sizes.
        ImageError: a file that cannot be written where it should be; nothing is written yet.
    """

    def __init__(self, delivery: Delivery, longest_px: int) -> None:
        from impasto import images

        _check_print_size(delivery)
        self._delivery = delivery
        self._timelapse = None if delivery.timelapse is None else Timelapse()
        fit: dict[str, Any] = {"bits": delivery.bits, "dpi": delivery.dpi_of(longest_px)}
        images.check_output(delivery.output, longest_px=longest_px, **fit)
        if delivery.save_every is not None:
            images.check_output(self._numbered(0))
        if delivery.timelapse is not None:
            images.check_animation(delivery.timelapse)
            if delivery.timelapse.resolve() == delivery.output.resolve():
                raise ImageError(
                    f"expected two files, got {str(delivery.output)!r} for the picture and for "
                    "the timelapse; rename one"
                )

    def step(self, step: Step) -> str | None:
        """Keep or write what is due after ``step``.

        Returns:
            What the user should be told, if the picture could not be written; painting can
            go on.
        """
        if self._timelapse is not None:
            self._timelapse.add(step)
        every = self._delivery.save_every
        if every is None or step.step % every:
            return None
        try:
            self._save(step.result(), self._numbered(step.step))
        except ImageError as error:
            return str(error)
        return None

    def finish(self, result: Result) -> Path:
        """Write the picture, and the animation if one was asked for.

        Raises:
            OutputError: a file cannot be written; the message says where the picture is.
        """
        output = self._delivery.output
        try:
            self._save(result, output)
        except ImageError as error:
            raise OutputError(f"{error}; {self._rescue(result)}") from None
        if self._timelapse is not None and self._delivery.timelapse is not None:
            try:
                self._timelapse.save(self._delivery.timelapse, result.image)
            except ImageError as error:
                raise OutputError(f"{error}; the picture itself is {str(output)!r}") from None
        return output

    def _save(self, result: Result, path: Path) -> Path:
        return result.save(
            path,
            bits=self._delivery.bits,
            dpi=self._delivery.dpi_of(result.pixels.shape[-1]),
            recipe=not self._delivery.no_recipe,
        )

    def _rescue(self, result: Result) -> str:
        """Write the picture where it can be had, and say where."""
        for folder in _refuges():
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                own = Path(tempfile.mkdtemp(prefix="picture-", dir=folder))
                try:
                    kept = self._save(result, own / self._delivery.output.name)
                except ImageError:
                    own.rmdir()
                    continue
                return f"the picture is kept as {str(kept)!r}"
        return "the picture could not be kept anywhere else either: it is lost"

    def _numbered(self, step: int) -> Path:
        output = self._delivery.output
        return output.with_stem(f"{output.stem}_{step:05d}")


def _inches(width: str) -> float:
    return float(width[:-2]) / _UNITS_PER_INCH[width[-2:]]


def _check_print_size(delivery: Delivery) -> None:
    if delivery.dpi is not None and delivery.width is not None:
        width_px = round(delivery.dpi * _inches(delivery.width))
        raise SettingsError(
            f"expected dpi or width, got both; {delivery.width} at {delivery.dpi:g} dpi are "
            f"{width_px} pixels: ask for them with size, and leave dpi out"
        )


def _refuges() -> list[Path]:
    """List the folders that take in a picture whose own folder does not."""
    refuges = []
    with suppress(RuntimeError):
        refuges.append(files.cache_folder() / "rescued")
    with suppress(OSError):
        refuges.append(Path(tempfile.gettempdir()))
    return refuges

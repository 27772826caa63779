"""Options of output files, which are checked before painting starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from impasto import files
from impasto.config.validation import Options
from impasto.job.result import Result

if TYPE_CHECKING:
    from impasto.engine.checkpoint import Keeper

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_UNITS_PER_INCH = {"mm": 25.4, "cm": 2.54, "in": 1.0}


def _number(word: object) -> object:
    """Convert a number from the command line; pydantic refuses anything else."""
    return int(word) if isinstance(word, str) and word.isdecimal() else word


# Every command takes it: what was asked for, such as a list, and errors are always shown.
QUIET = "Leave out progress and notes."


def quiet_field() -> Any:
    """Return the field of the option ``--quiet``, which is the same for every command."""
    return Field(default=False, description=QUIET, json_schema_extra={"short": "-q"})


# A path as on the command line: a word is refused if it cannot name a file.
FilePath = Annotated[
    Path, BeforeValidator(lambda path: files.path_of(path) if isinstance(path, str) else path)
]


class OutputOptions(Options):
    """Options of a picture's file."""

    bits: Annotated[Literal[8, 16], BeforeValidator(_number)] = Field(
        default=8, description="Bits per sample: 8, or 16 for PNG and TIFF."
    )
    dpi: float | None = Field(
        default=None, ge=1, le=65535, description="Print size, in pixels per inch."
    )
    width: str | None = Field(
        default=None,
        pattern=r"^\d{1,6}(\.\d{1,6})? ?(mm|cm|in)$",
        examples=["60cm", "300mm", "24in"],
        description="Print size, as the width on paper, such as 60cm. The dpi follow from it and "
        "from the size in pixels.",
    )
    no_recipe: bool = Field(
        default=False, description="Do not save the recipe (how the picture was made) in the file."
    )

    @field_validator("width")
    @classmethod
    def _check_width(cls, width: str | None) -> str | None:
        if width is not None and not _inches(width):
            raise ValueError(f"expected a width above 0, got {width!r}; such as 60cm")
        return width

    @model_validator(mode="after")
    def _check_print_size(self) -> OutputOptions:
        if self.dpi is not None and self.width is not None:
            width_px = round(self.dpi * _inches(self.width))
            raise ValueError(
                f"expected dpi or width, got both; {self.width} at {self.dpi:g} dpi are "
                f"{width_px} pixels: ask for them with size, and leave dpi out"
            )
        return self

    def dpi_of(self, width_px: int) -> float | None:
        """Return the pixels per inch of a picture of this width; None without a print size."""
        return self.dpi if self.width is None else width_px / _inches(self.width)

    def check(self, output: Path, longest_px: int) -> None:
        """Check that a picture of that size can be written to ``output`` with these options.

        Raises:
            ImageError: as images.check_output does.
        """
        from impasto.images.save import check_output

        check_output(output, longest_px=longest_px, bits=self.bits, dpi=self.dpi_of(longest_px))

    def encode(self, result: Result, path: str | Path) -> bytes:
        """Return the bytes of the file ``path``, whose ending selects the format.

        Raises:
            ImageError: the format cannot hold the picture.
        """
        return result.encode(
            path,
            bits=self.bits,
            dpi=self.dpi_of(result.pixels.shape[-1]),
            recipe=not self.no_recipe,
        )


class DestinationOptions(Options):
    """Where one picture goes, and what is shown while it is made."""

    output: FilePath = Field(
        description="The picture to write; its ending selects the format. - is standard output.",
        json_schema_extra={"short": "-o", "brief": "The picture to write: .png, .jpg, .tiff ..."},
    )
    format: Literal["png", "jpg", "tiff", "webp", "avif"] | None = Field(
        default=None, description="Format of the picture on standard output; by default png."
    )
    json_lines: bool = Field(
        default=False,
        description="Print a line of JSON for each step and for the result.",
        json_schema_extra={"flag": "--json"},
    )
    quiet: bool = quiet_field()

    @model_validator(mode="after")
    def _check_standard_output(self) -> DestinationOptions:
        if not self.is_standard_output:
            if self.format is not None:
                raise ValueError(
                    f"expected no format beside the file {str(self.output)!r}, whose ending names "
                    f"it, got {self.format!r}; leave it out"
                )
            return self
        for option in self._options_that_need_a_file():
            raise ValueError(
                f"expected no {option} beside a picture on standard output (-); "
                "leave it out, or name a file"
            )
        return self

    def _options_that_need_a_file(self) -> list[str]:
        """Name the options in force that cannot go with a picture on standard output."""
        return ["json"] if self.json_lines else []

    @property
    def is_standard_output(self) -> bool:
        """Whether the picture goes to standard output."""
        return self.output == Path("-")

    @property
    def file_name(self) -> str:
        """The picture's file name, whose ending names the format."""
        return f"picture.{self.format or 'png'}" if self.is_standard_output else self.output.name


class DeliveryOptions(DestinationOptions, OutputOptions):
    """Where a painting goes, what its file holds, and what is kept beside it."""

    save_every: int | None = Field(
        default=None,
        ge=1,
        description="Also write the picture every N iterations, as OUTPUT with the number.",
    )
    timelapse: FilePath | None = Field(
        default=None,
        description="Also write an animation of the painting, a .gif or .webp file.",
        json_schema_extra={"brief": "Also write the painting as it grows, .gif or .webp."},
    )
    show: bool = Field(
        default=False,
        description="Open the finished picture in the system's viewer.",
        json_schema_extra={"flag": "--open"},
    )
    checkpoint_every: str = Field(
        default="30s",
        pattern=r"^(\d{1,6}(\.\d{1,6})? ?(s|min|h)|never)$",
        examples=["30s", "5min", "never"],
        description="How often to save a checkpoint beside OUTPUT, such as 30s, 5min or never. It "
        "is deleted when the painting is finished.",
    )
    resume: bool = Field(
        default=False,
        description="Resume from the checkpoint of the same command, if that ended early.",
    )

    def _options_that_need_a_file(self) -> list[str]:
        beside = {
            "timelapse": self.timelapse is not None,
            "save_every": self.save_every is not None,
            "resume": self.resume,
            "open": self.show,
        }
        return [
            *super()._options_that_need_a_file(),
            *(name for name, is_asked in beside.items() if is_asked),
        ]

    @property
    def checkpoint(self) -> Path:
        """The path of the checkpoint, beside the output."""
        return files.beside(self.output, prefix=".", suffix=".checkpoint")

    def keeper(self, notify: Callable[[str], object]) -> Keeper:
        """Return the keeper of checkpoints; for standard output it saves none."""
        from impasto.engine.checkpoint import Keeper

        every_s = None if self.is_standard_output else _seconds(self.checkpoint_every)
        return Keeper(self.checkpoint, every_s, notify)


def _seconds(words: str) -> float | None:
    if words == "never":
        return None
    number = words.rstrip("sminh ")
    return float(number) * _SECONDS[words.removeprefix(number).strip()]


def _inches(width: str) -> float:
    return float(width[:-2]) / _UNITS_PER_INCH[width[-2:]]

"""The options of a film, beside those of its pictures."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from pydantic import Field, field_validator

from impasto.config.affects import affects
from impasto.config.validation import Options

_TIME = r"\d{1,6}(\.\d{1,6})?s"
_RANGE = re.compile(rf"({_TIME})?\.\.({_TIME})?")


class FilmSettings(Options):
    """The options that change a film."""

    temporal: float = Field(
        default=0.5,
        ge=0,
        le=1,
        json_schema_extra=affects("weights"),
        description="How strongly each frame is held to the frames before it, where the same "
        "things are seen. At 0 it only starts from them; at 1 hardly any stroke changes.",
    )
    range: str | None = Field(
        default=None,
        json_schema_extra=affects("schedule", metavar="FROM..TO"),
        examples=["2s..5s", "10s.."],
        description="Paint only this part of the film, in seconds, such as 2s..5s, 10s.. or ..3s.",
    )
    every: int = Field(
        default=1,
        ge=1,
        le=8,
        json_schema_extra=affects("schedule"),
        description="Paint only one frame of so many, and interpolate the others along the "
        "optical flow, as a draft.",
    )
    fps: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        json_schema_extra=affects("schedule"),
        description="Frames a second, of a film that comes as pictures; 25 by default.",
    )

    @field_validator("range")
    @classmethod
    def _check_range(cls, words: str | None) -> str | None:
        if words is None:
            return None
        if not _RANGE.fullmatch(words) or words == "..":
            raise ValueError(f"expected a part such as 2s..5s, 10s.. or ..3s, got {words!r}")
        start, stop = _bounds(words)
        if stop is not None and stop <= start:
            raise ValueError(f"expected an end after the beginning, got {words!r}; such as 2s..5s")
        return words

    @property
    def range_s(self) -> tuple[Fraction, Fraction | None]:
        """The beginning and the end of the part, in seconds; None for the film's end."""
        return (Fraction(0), None) if self.range is None else _bounds(self.range)


def _bounds(words: str) -> tuple[Fraction, Any]:
    start, stop = (part.removesuffix("s") for part in words.split(".."))
    return Fraction(start or 0), Fraction(stop) if stop else None

"""Pictures by name and hash, as recipes and checkpoints store them."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from impasto.config.validation import Options

LONGEST_NAME = 255
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]


class StrictOptions(Options):
    """Data from a file that may come from a stranger: no value is converted."""

    model_config = ConfigDict(strict=True)


class PictureHash(StrictOptions):
    """A picture: its file's name, without the folder, and the SHA-256 of its bytes."""

    name: Name
    sha256: Sha256


class RegionHashes(StrictOptions):
    """The pictures of a region, and the colours of the labels picked in its masks."""

    mask: PictureHash
    style: PictureHash
    style_mask: PictureHash | None = None
    mask_colour: Colour | None = None
    style_mask_colour: Colour | None = None


class InputHashes(StrictOptions):
    """The pictures of a job; ``start`` if painting began with one."""

    content: PictureHash | None = None
    styles: tuple[PictureHash, ...] = ()
    regions: tuple[RegionHashes, ...] = ()
    start: PictureHash | None = None

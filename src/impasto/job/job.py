"""What to paint: a JobSpec refers to the pictures, a Job has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from impasto.config.settings import MODES, Mode, Runtime, Settings
from impasto.errors import ImageError, SettingsError, short_repr
from impasto.job.hashes import LONGEST_NAME, InputHashes, PictureHash, RegionHashes
from impasto.job.loss_term import LossTerm, read_terms

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from impasto.images.picture import Picture
    from impasto.job.recipe import Decisions


class OpenFile(Protocol):
    """A file that is open in binary mode, or an upload of a web framework."""

    def read(self, size: int = ..., /) -> Any:
        """Return its bytes."""


class ForeignArray(Protocol):
    """An array of another library."""

    def __dlpack__(self) -> Any:
        """Lend the numbers."""


# Whatever images.load accepts. A string, so that none of these packages is imported.
ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview"
    " | Image | NDArray[Any] | Tensor | Picture | OpenFile | ForeignArray"
)


@dataclass(frozen=True)
class Region:
    """A part of the picture with a style of its own.

    Attributes:
        mask: where it is, in the content picture's aspect: white inside, black outside.
        style: what it is painted after.
        style_mask: which part of ``style``, in its aspect; all of it if absent.
        mask_colour: if ``mask`` is a map of labels, the colour of the one that is meant, such as
            ``#ff0000``.
        style_mask_colour: the same for ``style_mask``.
    """

    mask: ImageSource
    style: ImageSource
    style_mask: ImageSource | None = None
    mask_colour: str | None = None
    style_mask_colour: str | None = None


@dataclass(frozen=True)
class Job:
    """One picture to paint.

    ``regions`` come beside those that the settings name. ``terms`` are losses of the user's own, by
    name. ``decisions`` are those of an earlier
    painting of the same job, to be obeyed: how it was computed as far as ``runtime`` leaves that
    open, how strength was weighed, how it was steered, where it stopped.

    Raises:
        SettingsError: an unknown mode, style pictures or regions that are not in a sequence, or
            settings that are no Settings.
    """

    mode: Mode
    content_image: ImageSource | None = None
    style_images: Sequence[ImageSource] = ()
    start_image: ImageSource | None = None
    regions: Sequence[Region] = ()
    settings: Settings = field(default_factory=Settings)
    runtime: Runtime = field(default_factory=Runtime)
    decisions: Decisions | None = None
    terms: Mapping[str, LossTerm] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what a type checker would."""
        if self.mode not in MODES:
            raise SettingsError(
                f"mode: expected one of {', '.join(MODES)}, got {short_repr(self.mode)}; "
                "choose one of them"
            )
        _check_sequence("style_images", self.style_images, "pictures")
        _check_sequence("regions", self.regions, "Regions")
        for name, expected in (("settings", Settings), ("runtime", Runtime)):
            if not isinstance(getattr(self, name), expected):
                raise SettingsError(
                    f"{name}: expected {expected.__name__}, got "
                    f"{short_repr(getattr(self, name))}; impasto.make_job takes options by name"
                )
        object.__setattr__(self, "terms", read_terms(self.terms))


def _check_sequence(name: str, value: object, items: str) -> None:
    """Check that a field is a list or a tuple: a string is a sequence too, of letters."""
    if not isinstance(value, (list, tuple)):
        raise SettingsError(
            f"{name}: expected a list or a tuple of {items}, got {short_repr(value)}; write "
            f"{name}=[...], even for one"
        )


@dataclass(frozen=True)
class PictureReference:
    """A picture that is not loaded.

    Attributes:
        path: the file; None where only name and hash are known, as in a recipe.
        sha256: of the file's bytes; None if any picture is accepted.
        name: the file's name with its ending, without its folder.
    """

    path: Path | None
    sha256: str | None
    name: str

    @classmethod
    def to(cls, picture: Picture) -> PictureReference:
        """Refer to a loaded picture by name and hash."""
        return cls(None, picture.sha256, picture.file_name or picture.name)

    @property
    def file(self) -> Path:
        """The file to read.

        Raises:
            ImageError: only name and hash are known.
        """
        if self.path is None:
            raise ImageError(f"expected the path of {self.name!r}, got none; give it")
        return self.path

    @property
    def known_sha256(self) -> str:
        """The SHA-256, of a reference that does not accept any picture."""
        assert self.sha256 is not None
        return self.sha256

    def load(self) -> Picture:
        """Read the file.

        Raises:
            ImageError: it cannot be read, or its hash is another.
        """
        from impasto import images

        picture = images.load(self.file)
        if self.sha256 not in (None, picture.sha256):
            raise ImageError(
                f"{str(self.path)!r} is another picture than {self.name!r}: expected SHA-256 "
                f"{self.sha256}, got {picture.sha256}; find that one"
            )
        return picture

    def hashed(self) -> PictureHash:
        """Return name and hash alone, as a recipe stores them."""
        # A file's name need not be text.
        text = self.name.encode("utf-8", "backslashreplace").decode()
        return PictureHash(name=text[:LONGEST_NAME], sha256=self.known_sha256)


@dataclass(frozen=True)
class RegionReference:
    """A Region whose pictures are not loaded."""

    mask: PictureReference
    style: PictureReference
    style_mask: PictureReference | None = None
    mask_colour: str | None = None
    style_mask_colour: str | None = None

    def references(self) -> tuple[PictureReference, ...]:
        """List mask, style and style mask, if there is one."""
        return (self.mask, self.style, *((self.style_mask,) if self.style_mask else ()))


@dataclass(frozen=True)
class JobSpec:
    """What decides a picture: a Job before its pictures are loaded. It can be sent to a process.

    Attributes:
        mode: ``style_transfer``, ``content`` or ``style``.
        content: the content picture, if there is one.
        styles: the style pictures.
        start: the picture to start from, if there is one.
        regions: parts of the picture with a style of their own.
        settings: the options; pictures are referred to above.
    """

    mode: Mode
    content: PictureReference | None = None
    styles: tuple[PictureReference, ...] = ()
    start: PictureReference | None = None
    regions: tuple[RegionReference, ...] = ()
    settings: Settings = field(default_factory=Settings)

    def references(self) -> tuple[PictureReference, ...]:
        """List all pictures: content, styles, start, then each region's."""
        single = (self.content, *self.styles, self.start)
        in_regions = (picture for region in self.regions for picture in region.references())
        return (*(picture for picture in single if picture is not None), *in_regions)

    def mapped(self, change: Callable[[PictureReference], PictureReference]) -> JobSpec:
        """Return the job with every reference changed."""
        return replace(
            self,
            content=None if self.content is None else change(self.content),
            styles=tuple(change(style) for style in self.styles),
            start=None if self.start is None else change(self.start),
            regions=tuple(
                replace(
                    region,
                    mask=change(region.mask),
                    style=change(region.style),
                    style_mask=None if region.style_mask is None else change(region.style_mask),
                )
                for region in self.regions
            ),
        )

    def load(
        self,
        read: Callable[[PictureReference], Picture] = PictureReference.load,
        *,
        runtime: Runtime | None = None,
        decisions: Decisions | None = None,
    ) -> Job:
        """Load the pictures.

        Args:
            read: loads one of them.
            runtime: where and how the job is painted.
            decisions: those of an earlier painting, to be obeyed.

        Raises:
            ImageError: a picture cannot be read or, by default, has another hash.
        """
        return Job(
            mode=self.mode,
            content_image=None if self.content is None else read(self.content),
            style_images=tuple(read(style) for style in self.styles),
            start_image=None if self.start is None else read(self.start),
            regions=tuple(
                Region(
                    read(region.mask),
                    read(region.style),
                    None if region.style_mask is None else read(region.style_mask),
                    region.mask_colour,
                    region.style_mask_colour,
                )
                for region in self.regions
            ),
            settings=self.settings,
            runtime=runtime or Runtime(),
            decisions=decisions,
        )

    def hashes(self) -> InputHashes:
        """Return the pictures' names and hashes, as a recipe stores them."""
        return InputHashes(
            content=None if self.content is None else self.content.hashed(),
            styles=tuple(style.hashed() for style in self.styles),
            start=None if self.start is None else self.start.hashed(),
            regions=tuple(
                RegionHashes(
                    mask=region.mask.hashed(),
                    style=region.style.hashed(),
                    style_mask=None if region.style_mask is None else region.style_mask.hashed(),
                    mask_colour=region.mask_colour,
                    style_mask_colour=region.style_mask_colour,
                )
                for region in self.regions
            ),
        )

    @classmethod
    def from_hashes(cls, mode: Mode, inputs: InputHashes, settings: Settings) -> JobSpec:
        """Return the job that a recipe describes; its pictures have no paths."""
        return cls(
            mode=mode,
            content=None if inputs.content is None else _reference(inputs.content),
            styles=tuple(_reference(style) for style in inputs.styles),
            start=None if inputs.start is None else _reference(inputs.start),
            regions=tuple(
                RegionReference(
                    _reference(region.mask),
                    _reference(region.style),
                    None if region.style_mask is None else _reference(region.style_mask),
                    region.mask_colour,
                    region.style_mask_colour,
                )
                for region in inputs.regions
            ),
            settings=settings,
        )


def _reference(picture: PictureHash) -> PictureReference:
    return PictureReference(None, picture.sha256, picture.name)

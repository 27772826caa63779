"""What comes out of a painting: a Step after each iteration, a Result at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.config.settings import Mode, Settings
from impasto.errors import SettingsError
from impasto.job.history import LossHistory

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from impasto.job.recipe import Recipe


@dataclass(frozen=True)
class Step:
    """The state of a painting after one iteration.

    Attributes:
        scale: index of the size being painted, from 0.
        scales: how many sizes there are.
        scale_steps: iterations planned at this size.
        step: iterations done, over all sizes.
        steps: iterations planned, over all sizes.
        size_px: width and height at this size.
        losses: value of each weighted term, and their sum as ``total``.
        time_s: seconds spent on painting so far.
        progress: share of the whole job's work that is done, in [0, 1].
        notes: messages to the user since the step before.
        image: makes the picture as it stands, at this size (lazy: costs a conversion).
        result: makes the Result that painting would have if it ended here, enlarged to the
            size asked for.
        read_pixels: makes :attr:`pixels`.
    """

    scale: int
    scales: int
    scale_steps: int
    step: int
    steps: int
    size_px: tuple[int, int]
    losses: dict[str, float]
    time_s: float
    progress: float
    notes: tuple[str, ...]
    image: Callable[[], Image]
    result: Callable[[], Result]
    read_pixels: Callable[[], Tensor] = field(repr=False)

    @property
    def pixels(self) -> Tensor:
        """A copy of the picture at this size: sRGB in [0, 1], float32 of shape (1, 3, H, W)."""
        return self.read_pixels()

    @property
    def time_left_s(self) -> float:
        """Seconds still to go, if each pixel takes as long as those before."""
        return self.time_s * (1 - self.progress) / self.progress


@dataclass(frozen=True)
class Result:
    """A finished painting.

    Attributes:
        pixels: the picture as it was painted, sRGB in [0, 1], float32 of shape (1, 3, H, W).
        history: the loss terms of each step.
        settings: what it was painted with in the end.
        mode: ``style_transfer``, ``content`` or ``style``.
        time_s: how long painting took, in seconds.
        notes: messages to the user.
        metadata: what goes into the file beside pixels and recipe.
        alpha: opacity in [0, 1], (1, 1, H, W), if the content picture had any.
        recipe: how to paint it again.
        path: the file that it was last saved to; None until then.
    """

    pixels: Tensor
    history: LossHistory
    settings: Settings
    mode: Mode
    time_s: float
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    alpha: Tensor | None = None
    recipe: Recipe | None = None
    path: Path | None = field(default=None, compare=False)

    @cached_property
    def image(self) -> Image:
        """The picture, 8 bits a sample, sRGB; RGBA if the content picture was."""
        from impasto import images

        return images.to_image(self.pixels, self.alpha)

    def save(
        self,
        path: str | Path,
        *,
        bits: int = 8,
        dpi: float | None = None,
        recipe: bool = True,
    ) -> Path:
        """Write the picture to ``path``; its ending names the format.

        Args:
            path: the file; an earlier one stays whole until the new one has replaced it.
            bits: 8 or, in PNG and TIFF, 16 a sample, rounded from the floats.
            dpi: the print size, in pixels per inch.
            recipe: write into the file how it was made; GIF and BMP cannot hold that.

        Raises:
            SettingsError: other bits.
            ImageError: the ending cannot be written, or not with these bits or a print size,
                or the folder is absent or read-only.
        """
        from impasto import images

        written = images.write(self.encode(path, bits=bits, dpi=dpi, recipe=recipe), path)
        self.mark_saved(written)
        return written

    def mark_saved(self, path: Path) -> None:
        """Remember in ``path`` which file the picture has been written to."""
        object.__setattr__(self, "path", path)

    def encode(
        self,
        name: str | Path,
        *,
        bits: int = 8,
        dpi: float | None = None,
        recipe: bool = True,
    ) -> bytes:
        """Make the bytes that :meth:`save` writes to a file called ``name``.

        Raises:
            SettingsError: other bits.
            ImageError: the ending cannot be written, or not with these bits or a print size.
        """
        from impasto import images

        if bits not in (8, 16):
            raise SettingsError(f"bits: expected 8 or 16, got {bits!r}")
        metadata = dict(self.metadata)
        if recipe and self.recipe is not None:
            metadata["Recipe"] = self.recipe.text()
        image = self.image if bits == 8 else images.to_samples(self.pixels, self.alpha)
        return images.encode_image(image, name, metadata=metadata, dpi=dpi)

    def __repr__(self) -> str:
        height_px, width_px = self.pixels.shape[-2:]
        size = f"{width_px} x {height_px} pixels"
        return f"<Result of {self.mode}: {size}, {len(self.history)} steps, {self.time_s:.1f} s>"

    def _repr_png_(self) -> bytes | None:
        from impasto import images

        return images.encode_image(self.image, "png")

"""Where a painted film goes: a film file, an animation, or pictures by a pattern."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path

from impasto import images
from impasto.errors import ImageError
from impasto.film.sources import NUMBER, Source
from impasto.images.encode import exif_texts, to_palette
from impasto.images.save import write
from impasto.output.film_file import (
    CONTAINERS,
    ColourEncoding,
    FilmFormat,
    FilmFrame,
    FilmWriter,
    check_film_output,
)

_ANIMATIONS = (".gif", ".webp")
# The containers whose encoder has 8 bits only.
_SHALLOW = (".webm",)


class Destination:
    """Writes a film.

    Attributes:
        film: what the film to come is like.

    Args:
        path: the file, or a pattern such as ``frames/%05d.png``.
        source: the film that it is painted from.
        size_px: width and height of the frames to come.
        sound: whether to copy the sound.

    Raises:
        SettingsError: no film has this ending, or its container cannot hold the sound.
        ImageError: the folder is absent or cannot be written.
    """

    def __init__(
        self, path: Path, source: Source, size_px: tuple[int, int], *, sound: bool = True
    ) -> None:
        self._path = path
        width_px, height_px = size_px
        colours = source.format.colours
        suffix = path.suffix.lower()
        self._sound = source.sound if sound and suffix in CONTAINERS else None
        if self._is_pattern:
            images.check_output(path.with_name(_numbered(path, 0).name))
        elif suffix in _ANIMATIONS:
            images.check_output(path)
        else:
            check_film_output(path, self._sound)
            _check_folder(path)
        if suffix not in CONTAINERS or suffix in _SHALLOW:
            colours = replace(colours, bits=8)
        if suffix not in CONTAINERS:
            colours = ColourEncoding()
        self.film: FilmFormat = replace(
            source.format, width_px=width_px, height_px=height_px, colours=colours
        )

    @staticmethod
    def needs_even_sides(path: Path) -> bool:
        """Return whether the film's colours have half its size."""
        return path.suffix.lower() in CONTAINERS

    def files(self, frames: int) -> list[Path]:
        """List the files that so many frames are written to."""
        if not self._is_pattern:
            return [self._path]
        return [_numbered(self._path, index) for index in range(frames)]

    @property
    def _is_pattern(self) -> bool:
        return NUMBER.search(self._path.name) is not None

    def write(
        self,
        frames: Iterable[FilmFrame],
        range_s: tuple[Fraction, Fraction | None],
        metadata: Mapping[str, str],
    ) -> Path:
        """Write all frames; an earlier film stays whole until the new one has replaced it.

        Args:
            frames: with the times that they had in the source.
            range_s: the part of the source that they are, in seconds.
            metadata: texts in the file, by name.

        Raises:
            OutputError: it cannot be written.
            ImageError: an animation or a picture cannot be written.
        """
        start_s, end_s = range_s
        start = round(start_s / self.film.time_base)
        moved = (replace(frame, time=frame.time - start) for frame in frames)
        if self._is_pattern:
            for frame in moved:
                images.save_image(
                    images.to_image(frame.pixels),
                    _numbered(self._path, frame.index),
                    metadata=metadata,
                )
            return self._path
        if self._path.suffix.lower() in _ANIMATIONS:
            return write(self._animation(moved, metadata), self._path)
        writer = FilmWriter(
            self._path,
            self.film,
            sound=self._sound,
            metadata=metadata,
            start_s=start_s,
            end_s=end_s,
        )
        return writer.write(moved)

    def _animation(self, frames: Iterable[FilmFrame], metadata: Mapping[str, str]) -> bytes:
        """Encode a GIF or a WebP that repeats."""
        is_gif = self._path.suffix.lower() == ".gif"
        shown, durations_ms = [], []
        for frame in frames:
            image = images.to_image(frame.pixels)
            shown.append(to_palette(image) if is_gif else image)
            units = frame.duration or round(self.film.frame_s / self.film.time_base)
            durations_ms.append(max(1, round(units * self.film.time_base * 1000)))
        first, *rest = shown
        stream = BytesIO()
        options = {"save_all": True, "append_images": rest, "duration": durations_ms, "loop": 0}
        if is_gif:
            first.save(stream, "GIF", **options)
        else:
            exif = exif_texts(metadata)
            first.save(stream, "WEBP", quality=90, method=4, exif=exif, **options)
        return stream.getvalue()


def _numbered(pattern: Path, index: int) -> Path:
    return pattern.with_name(NUMBER.sub(lambda place: place[0] % (index + 1), pattern.name, 1))


def _check_folder(path: Path) -> None:
    """Check that a film can be written to ``path``, which names no picture."""
    if path.is_dir():
        raise ImageError(
            f"{str(path)!r} is a folder: expected a file's path; add a file name, such as "
            f"{str(path / 'film.mp4')!r}"
        )
    images.check_output(path.with_suffix(".png"))

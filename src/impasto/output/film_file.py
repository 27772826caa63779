"""Film files, read and written with PyAV. Nothing else imports it.

Colours keep the matrix, the range and the bits of the input. Frames keep their times, also where
the rate varies. Sound is copied as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from impasto import files
from impasto.errors import ImageError, MissingPackageError, OutputError, SettingsError, one_line
from impasto.images.limits import check_pixels

# The encoder of each container, and its options. One pass, and as many threads on every machine:
# the file depends on the frames alone. There are no B-frames: with them x264 wrote other bytes in
# one of six runs. Without them frames are decoded in the order in which they are shown, so that the
# container knows how long the last one lasts.
_X264 = ("libx264", {"crf": "17", "preset": "medium", "threads": "2", "bf": "0"})
_VP9 = ("libvpx-vp9", {"crf": "24", "b": "0", "threads": "2", "row-mt": "0"})
CONTAINERS: Mapping[str, tuple[str, dict[str, str]]] = {
    ".mp4": _X264,
    ".mov": _X264,
    ".m4v": _X264,
    ".mkv": _X264,
    ".webm": _VP9,
}
# Codes of the ISO standard (H.273) for the matrices that swscale knows.
_MATRICES = {1: "ITU709", 4: "FCC", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020"}
_UNSPECIFIED = 2
_FULL = 2  # the range JPEG
# Below this height, a film that does not say its matrix has that of standard definition.
_HIGH_DEFINITION_PX = 720
_FALLBACK_RATE = Fraction(25)


@dataclass(frozen=True)
class ColourEncoding:
    """How a film encodes colours, by the codes of H.273.

    Attributes:
        bits: for each sample, 8 or 10.
        matrix: between RGB and YUV.
        is_full_range: whether samples use the full range of numbers.
        primaries: of RGB.
        transfer: the transfer curve.
    """

    bits: int = 8
    matrix: int = 1
    is_full_range: bool = False
    primaries: int = 1
    transfer: int = 1


@dataclass(frozen=True)
class FilmFormat:
    """What a film is like.

    Attributes:
        width_px: of an upright frame.
        height_px: of an upright frame.
        time_base: the unit of times, in seconds.
        frame_s: the usual duration of a frame, in seconds.
        colours: how it encodes colours.
        has_sound: whether it has sound.
    """

    width_px: int
    height_px: int
    time_base: Fraction
    frame_s: Fraction
    colours: ColourEncoding = ColourEncoding()
    has_sound: bool = False


@dataclass(frozen=True)
class FilmFrame:
    """One frame.

    Attributes:
        index: its number in the film, from 0.
        time: when it is shown, in units of the film's time base.
        duration: how long it is shown, in the same units; None if the film does not say.
        pixels: (1, 3, H, W) in [0, 1], float32.
    """

    index: int
    time: int
    duration: int | None
    pixels: Tensor


def import_av() -> Any:
    """Import PyAV, which only films need.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(
            f"expected PyAV for a film, and there is no {error.name}; "
            "pip install '.[video]' in impasto's own folder"
        ) from None
    return av


class FilmFile:
    """A film to read.

    Attributes:
        path: its file.
        format: what it is like.

    Raises:
        MissingPackageError: PyAV is not installed.
        ImageError: the file is absent, no film, or has no picture.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as container:
            stream = self._video(container)
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise ImageError(f"{self._label} has no frame: expected a film; use another file")
            width_px, height_px = first.width, first.height
            if first.rotation % 180:
                width_px, height_px = height_px, width_px
            check_pixels(width_px, height_px, self._label)
            rate = stream.average_rate or stream.guessed_rate or _FALLBACK_RATE
            self.format = FilmFormat(
                width_px=width_px,
                height_px=height_px,
                time_base=Fraction(stream.time_base or 1 / rate),
                frame_s=1 / Fraction(rate),
                colours=_colours(first),
                has_sound=bool(container.streams.audio),
            )

    @property
    def _label(self) -> str:
        return repr(str(self.path))

    def texts(self) -> dict[str, str]:
        """Return the texts in the file, by name."""
        with self._opened() as container:
            # Matroska writes names in capitals.
            return {name.capitalize(): text for name, text in container.metadata.items()}

    def frames(self) -> Iterator[FilmFrame]:
        """Yield the frames in the order in which they are shown.

        Raises:
            ImageError: the file is damaged; the frames before have been yielded.
        """
        with self._opened() as container:
            stream = self._video(container)
            usual = max(1, round(self.format.frame_s / self.format.time_base))
            time = -usual
            for index, frame in enumerate(self._decoded(container, stream)):
                # A frame without a time comes after the one before it.
                time = time + usual if frame.pts is None else int(frame.pts)
                yield FilmFrame(index, time, frame.duration or None, self._pixels(frame, index))

    def _pixels(self, frame: Any, index: int) -> Tensor:
        av = import_av()
        from av.video.reformatter import Interpolation

        deep = self.format.colours.bits > 8
        colours = _colours(frame)
        name = frame.format.name
        options: dict[str, Any] = {}
        if not frame.format.is_rgb:
            options = {
                "src_colorspace": _MATRICES.get(colours.matrix, "ITU709"),
                "src_color_range": "JPEG" if colours.is_full_range else "MPEG",
            }
        try:
            # As it is at its own size: only colours change.
            rgb = frame.reformat(
                format="rgb48le" if deep else "rgb24",
                interpolation=Interpolation.BICUBIC
                | Interpolation.ACCURATE_RND
                | Interpolation.BITEXACT
                | Interpolation.FULL_CHR_H_INT,
                dst_color_range="JPEG",
                **options,
            )
            samples = rgb.to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            raise ImageError(
                f"{self._label}: frame {index} of format {name} cannot be converted "
                f"({one_line(error)}): convert the film to H.264 first"
            ) from None
        turns = round(frame.rotation / 90) % 4
        samples = np.rot90(samples, turns) if turns else samples
        height_px, width_px = samples.shape[:2]
        expected = self.format.height_px, self.format.width_px
        if (height_px, width_px) != expected:
            raise ImageError(
                f"{self._label}: expected frames of one size, {expected[1]} x {expected[0]}, got "
                f"{width_px} x {height_px} at frame {index}; convert the film to one size first"
            )
        white = 65535 if deep else 255
        unit = np.ascontiguousarray(samples.transpose(2, 0, 1)).astype(np.float32) / white
        return torch.from_numpy(unit)[None]

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        av = import_av()
        stream.thread_type = "AUTO"
        count = 0
        try:
            for frame in container.decode(stream):
                yield frame
                count += 1
        except av.error.FFmpegError as error:
            raise ImageError(
                f"{self._label} is damaged after frame {count} ({_reason(error)}): expected a "
                "whole film; cut it there with --range, or repair it"
            ) from None

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        av = import_av()
        try:
            with files.open_regular(self.path):
                pass
            container = av.open(str(self.path), metadata_errors="ignore")
        except av.error.FFmpegError as error:
            raise ImageError(
                f"{self._label} cannot be read as a film ({_reason(error)}): expected a video "
                "file, such as .mp4; check it"
            ) from None
        except FileNotFoundError:
            raise ImageError(f"no file {self._label}: expected a film; check the path") from None
        except OSError as error:
            raise ImageError(
                f"{self._label} cannot be read ({error.strerror or error}): expected a video "
                "file; check its name and permissions"
            ) from None
        with container:
            yield container

    def _video(self, container: Any) -> Any:
        if not container.streams.video:
            raise ImageError(
                f"{self._label} has no picture, only sound or text: expected a film; use another"
            )
        return container.streams.video[0]


class FilmWriter:
    """Writes a film, frame by frame, and copies the sound of another.

    The file has its name only when it is whole.

    Args:
        path: the file; its ending names the container.
        film: what it is like; its size is that of the frames to come.
        sound: the film whose sound is copied; None for silence.
        metadata: texts in the file, by name.
        start_s: the time in ``sound`` that is 0 in the new film.
        end_s: where the new film ends in ``sound``; None for its end.
    """

    def __init__(
        self,
        path: Path,
        film: FilmFormat,
        *,
        sound: Path | None = None,
        metadata: Mapping[str, str] | None = None,
        start_s: Fraction = Fraction(0),
        end_s: Fraction | None = None,
    ) -> None:
        self._path, self._film, self._sound = path, film, sound
        self._metadata = dict(metadata or {})
        self._start_s, self._end_s = start_s, end_s

    def write(self, frames: Iterable[FilmFrame]) -> Path:
        """Write all frames; an earlier file stays whole until the new one has replaced it.

        Raises:
            OutputError: the disk is full, or the container cannot hold the sound.
        """
        av = import_av()
        partial = files.beside(self._path, prefix=".", suffix=f".part{self._path.suffix}")
        try:
            with files.writing(self._path, partial):
                self._write(av, partial, frames)
        except av.error.FFmpegError as error:
            raise OutputError(
                f"{str(self._path)!r} cannot be written ({_reason(error)}): the painted frames "
                "are kept; make room, or name another file or container"
            ) from None
        except OSError as error:
            raise OutputError(
                f"{str(self._path)!r} cannot be written ({error.strerror or error}): the painted "
                "frames are kept; make room, or name another file"
            ) from None
        return self._path

    def _write(self, av: Any, partial: Path, frames: Iterable[FilmFrame]) -> None:
        with ExitStack() as stack:
            options = {"fflags": "+bitexact"}
            if partial.suffix in (".mp4", ".mov", ".m4v"):
                options["movflags"] = "+faststart+use_metadata_tags"
            container = stack.enter_context(
                av.open(str(partial), "w", format=_muxer(partial), options=options)
            )
            container.metadata.update(self._metadata)
            stream = self._add_video(container)
            copied: list[tuple[Any, Any]] = []
            if self._sound is not None:
                source = stack.enter_context(av.open(str(self._sound), metadata_errors="ignore"))
                copied = _add_sound(container, source, self._path)
            packets = self._sound_packets(copied)
            waiting = next(packets, None)
            for packet in self._encoded(av, stream, frames):
                # In the order of time, as players read them.
                while waiting is not None and _before(waiting, packet):
                    container.mux(waiting)
                    waiting = next(packets, None)
                container.mux(packet)
            while waiting is not None:
                container.mux(waiting)
                waiting = next(packets, None)

    def _add_video(self, container: Any) -> Any:
        codec, options = CONTAINERS[self._path.suffix.lower()]
        film, colours = self._film, self._film.colours
        stream = container.add_stream(codec, rate=1 / film.frame_s, options=dict(options))
        stream.width, stream.height = film.width_px, film.height_px
        stream.pix_fmt = _pixel_format(colours)
        stream.time_base = stream.codec_context.time_base = film.time_base
        context = stream.codec_context
        context.thread_count = int(options["threads"])
        context.colorspace, context.color_range = colours.matrix, 2 if colours.is_full_range else 1
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        return stream

    def _encoded(self, av: Any, stream: Any, frames: Iterable[FilmFrame]) -> Iterator[Any]:
        durations: dict[int, int] = {}
        usual = max(1, round(self._film.frame_s / self._film.time_base))
        before: FilmFrame | None = None
        for frame in frames:
            if before is not None:
                durations[before.time] = frame.time - before.time
            durations[frame.time] = frame.duration or usual
            before = frame
            for packet in stream.encode(self._converted(av, frame)):
                yield _timed(packet, durations)
        for packet in stream.encode(None):
            yield _timed(packet, durations)

    def _converted(self, av: Any, frame: FilmFrame) -> Any:
        from av.video.reformatter import Interpolation

        colours = self._film.colours
        deep = colours.bits > 8
        white = 65535 if deep else 255
        planes = (frame.pixels[0].clamp(0, 1) * white).round().permute(1, 2, 0).numpy()
        samples = np.ascontiguousarray(planes.astype(np.uint16 if deep else np.uint8))
        rgb = av.VideoFrame.from_ndarray(samples, format="rgb48le" if deep else "rgb24")
        converted = rgb.reformat(
            format=_pixel_format(colours),
            interpolation=Interpolation.BICUBIC
            | Interpolation.ACCURATE_RND
            | Interpolation.BITEXACT
            | Interpolation.FULL_CHR_H_INP,
            src_color_range="JPEG",
            dst_colorspace=_MATRICES.get(colours.matrix, "ITU709"),
            dst_color_range="JPEG" if colours.is_full_range else "MPEG",
        )
        converted.pts, converted.time_base = frame.time, self._film.time_base
        converted.colorspace = colours.matrix
        return converted

    def _sound_packets(self, copied: list[tuple[Any, Any]]) -> Iterator[Any]:
        if not copied:
            return
        streams = {source.index: target for source, target in copied}
        container = copied[0][0].container
        for packet in container.demux([source for source, _ in copied]):
            if packet.dts is None:
                continue
            time_s = packet.pts * packet.time_base
            # A sound may begin before 0, with what its decoder discards.
            is_early = self._start_s > 0 and time_s < self._start_s
            if is_early or (self._end_s is not None and time_s >= self._end_s):
                continue
            shift = round(self._start_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = streams[packet.stream.index]
            yield packet


def check_film_output(path: Path, sound: Path | None) -> None:
    """Check in advance that a film can be written to ``path``.

    Args:
        path: the file.
        sound: the film whose sound is copied into it, if it has any.

    Raises:
        SettingsError: the ending names no container that is written, or the container cannot hold
            the sound.
    """
    av = import_av()
    if path.suffix.lower() not in CONTAINERS:
        raise SettingsError(
            f"output: expected a film that ends in {', '.join(CONTAINERS)}, or .gif, .webp or "
            f"a pattern such as frames/%05d.png, got {str(path)!r}; rename it"
        )
    if sound is None:
        return
    with ExitStack() as stack:
        source = stack.enter_context(av.open(str(sound), metadata_errors="ignore"))
        container = stack.enter_context(av.open(os.devnull, "w", format=_muxer(path)))
        try:
            _add_sound(container, source, path)
        except OutputError as error:
            raise SettingsError(str(error)) from None


def _add_sound(container: Any, source: Any, path: Path) -> list[tuple[Any, Any]]:
    """Add a stream for each of the sounds; return the pairs of source and target."""
    av = import_av()
    pairs = []
    for stream in source.streams.audio:
        codec = stream.codec_context.name
        if codec not in container.supported_codecs and not _fits(container, codec):
            raise OutputError(
                f"output: {path.suffix} cannot hold the film's sound, which is {codec}: expected "
                "another container; use .mkv, or --no-sound"
            )
        try:
            pairs.append((stream, container.add_stream_from_template(stream)))
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputError(
                f"output: {path.suffix} cannot hold the film's sound, which is {codec} "
                f"({one_line(error)}); use .mkv, or --no-sound"
            ) from None
    return pairs


def _fits(container: Any, codec: str) -> bool:
    """Return whether a container that names its codecs otherwise holds this one."""
    names = {"mp3float": "mp3", "aac_fixed": "aac", "libopus": "opus", "libvorbis": "vorbis"}
    return names.get(codec, codec) in container.supported_codecs


def _muxer(path: Path) -> str:
    return {".mkv": "matroska", ".m4v": "mp4"}.get(path.suffix.lower(), path.suffix.lower()[1:])


def _before(sound: Any, video: Any) -> bool:
    return bool(sound.dts * sound.time_base <= video.dts * video.time_base)


def _timed(packet: Any, durations: Mapping[int, int]) -> Any:
    packet.duration = durations.get(packet.pts, packet.duration or 0)
    return packet


def _pixel_format(colours: ColourEncoding) -> str:
    return "yuv420p10le" if colours.bits > 8 else "yuv420p"


def _colours(frame: Any) -> ColourEncoding:
    """Return how a decoded frame encodes colours; what it does not say is assumed as usual."""
    is_high = min(frame.height, frame.width) >= _HIGH_DEFINITION_PX
    usual = 1 if is_high else 6
    name = frame.format.name
    is_full = frame.color_range == _FULL or name.startswith("yuvj") or frame.format.is_rgb
    matrix = int(frame.colorspace)
    if frame.format.is_rgb:
        return ColourEncoding(_bits(frame), 1, False, 1, 1)

    def known(code: int) -> int:
        return usual if code == _UNSPECIFIED else code

    return ColourEncoding(
        bits=_bits(frame),
        matrix=matrix if matrix in _MATRICES else usual,
        is_full_range=is_full,
        primaries=known(int(frame.color_primaries)),
        transfer=known(int(frame.color_trc)),
    )


def _bits(frame: Any) -> int:
    return 10 if max(part.bits for part in frame.format.components) > 8 else 8


def _reason(error: Any) -> str:
    return one_line(error.strerror or error)

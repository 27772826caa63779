"""Write the finished picture and its companions; if that fails, save it in another folder."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from impasto import files
from impasto.errors import ImageError, OutputError, SettingsError
from impasto.job.result import Result, Step
from impasto.output.collisions import check_apart
from impasto.output.options import DeliveryOptions, DestinationOptions
from impasto.output.timelapse import Timelapse


class Files:
    """Writes the files of DeliveryOptions.

    Args:
        delivery: the options.
        longest_px: longest side of the picture, in pixels.
        inputs: the input files, which no output may replace.

    Raises:
        ImageError: a file cannot be written there; nothing is written yet.
        SettingsError: an output is an input, or two outputs are the same file.
    """

    def __init__(
        self, delivery: DeliveryOptions, longest_px: int, inputs: Iterable[Path] = ()
    ) -> None:
        self._delivery = delivery
        self._timelapse = None if delivery.timelapse is None else Timelapse()
        if delivery.is_standard_output:
            check_standard_output(
                delivery, longest_px, bits=delivery.bits, dpi=delivery.dpi_of(longest_px)
            )
        else:
            _check_files(delivery, longest_px, list(inputs))

    def step(self, step: Step) -> str | None:
        """Write the intermediate picture and store the frame, if they are due after ``step``.

        Returns:
            An error message if the picture could not be written; painting can go on.
        """
        from impasto.images.save import write

        if self._timelapse is not None:
            self._timelapse.add(step)
        every = self._delivery.save_every
        if every is None or step.step % every:
            return None
        try:
            path = _after(self._delivery.output, step.step)
            write(self._delivery.encode(step.result(), path), path)
        except ImageError as error:
            return str(error)
        return None

    def move(self, output: Path) -> None:
        """Change the output's path; the animation goes beside it."""
        former = self._delivery.timelapse
        timelapse = None if former is None else output.with_suffix(former.suffix)
        self._delivery = self._delivery.model_copy(
            update={"output": output, "timelapse": timelapse}
        )

    def finish(self, result: Result) -> Path | None:
        """Write the picture, and the animation if there is one.

        Returns:
            The picture's file; None if it went to standard output.

        Raises:
            OutputError: a file cannot be written; the message says where the picture is.
        """
        delivery, output = self._delivery, self._delivery.output
        written = deliver(delivery.encode(result, delivery.file_name), delivery)
        if written is None:
            return None
        result.mark_saved(written)
        if self._timelapse is not None and delivery.timelapse is not None:
            try:
                self._timelapse.save(delivery.timelapse, result.image)
            except ImageError as error:
                raise OutputError(f"{error}; the picture itself is {str(output)!r}") from None
        return output


def save(data: bytes, output: Path) -> None:
    """Write a finished picture.

    Raises:
        OutputError: it cannot be written there; the message says where it is instead.
    """
    from impasto.images.save import write

    try:
        write(data, output)
    except ImageError as error:
        raise OutputError(f"{error}; {_rescue(data, output.name)}") from None


def deliver(data: bytes, destination: DestinationOptions) -> Path | None:
    """Write a finished picture to its file, or to standard output.

    Returns:
        The file; None if it went to standard output.

    Raises:
        OutputError: it cannot go where it should; the message says where it is instead.
    """
    if destination.is_standard_output:
        _print_picture(data, destination.file_name)
        return None
    save(data, destination.output)
    return destination.output


def check_standard_output(
    destination: DestinationOptions,
    longest_px: int = 1,
    *,
    bits: int = 8,
    dpi: float | None = None,
) -> None:
    """Make sure that a picture can be printed.

    Args:
        destination: names the format.
        longest_px: longest side of the picture to come, in pixels.
        bits: its bits a sample.
        dpi: its print size, if it has one.

    Raises:
        ImageError: the format cannot hold it.
        SettingsError: standard output is a terminal.
    """
    from impasto.images.encode import check_fit, format_of

    if sys.stdout.isatty():
        raise SettingsError(
            "output: expected a pipe or a file on standard output, got a terminal; add > FILE, or "
            "name a file with -o"
        )
    check_fit(
        format_of(Path(destination.file_name)),
        "the picture on standard output",
        longest_px=longest_px,
        bits=bits,
        dpi=dpi,
    )


def _check_files(delivery: DeliveryOptions, longest_px: int, inputs: list[Path]) -> None:
    from impasto.engine.checkpoint import partial_of
    from impasto.images.save import check_animation, check_output

    output, timelapse = delivery.output, delivery.timelapse
    delivery.check(output, longest_px)
    outputs = [output, delivery.checkpoint, partial_of(delivery.checkpoint)]
    if delivery.save_every is not None:
        check_output(_after(output, 0))
        outputs += _existing_numbered(output)
    if timelapse is not None:
        check_animation(timelapse)
        if files.identity(timelapse) in {files.identity(path) for path in outputs}:
            raise SettingsError(
                f"expected two files, got {str(timelapse)!r} for the timelapse and for the "
                "picture; rename one"
            )
        outputs.append(timelapse)
    check_apart(outputs, inputs)


def numbered(output: Path, number: str) -> Path:
    """Return a path with ``number`` between the file's name and its ending."""
    suffix = f"{number}{output.suffix}"
    return output.with_name(files.fitting_name(output.stem, suffix=suffix, folder=output.parent))


def _after(output: Path, step: int) -> Path:
    """Return the path of the picture after ``step`` iterations."""
    return numbered(output, f"_{step:05d}")


def _existing_numbered(output: Path) -> list[Path]:
    """Return the existing files that intermediate pictures may replace."""
    beginning, _, ending = _after(output, 0).name.rpartition("_00000")
    pattern = re.compile(rf"{re.escape(beginning)}_\d{{5,}}{re.escape(ending)}", re.IGNORECASE)
    return [path for path in output.parent.iterdir() if pattern.fullmatch(path.name)]


def _print_picture(data: bytes, name: str) -> None:
    """Write a finished picture to standard output.

    Raises:
        OutputError: it cannot be written; the message says where it is instead.
    """
    try:
        with open(sys.stdout.fileno(), "wb", closefd=False) as stream:
            stream.write(data)
    except OSError as error:
        raise OutputError(
            f"standard output cannot be written ({error.strerror}): expected a pipe or a file "
            f"that takes the picture; {_rescue(data, name)}"
        ) from None


def _rescue(data: bytes, name: str) -> str:
    """Write a picture to another folder; return a message with its path."""
    from impasto.images.save import write

    for folder in _fallback_folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            subfolder = Path(tempfile.mkdtemp(prefix="picture-", dir=folder))
            try:
                write(data, subfolder / name)
            except ImageError:
                subfolder.rmdir()
                continue
            return f"the picture is saved as {str(subfolder / name)!r}"
    return "the picture could not be saved anywhere else either: it is lost"


def _fallback_folders() -> list[Path]:
    """Return fallback folders for a picture that cannot be written to its own folder."""
    folders = []
    with suppress(RuntimeError):
        folders.append(files.cache_folder() / "rescued")
    with suppress(OSError):
        folders.append(Path(tempfile.gettempdir()))
    return folders

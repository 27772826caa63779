"""Write the finished picture and its companions; rescue it where that fails."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from impasto import files
from impasto.errors import ImageError, OutputError
from impasto.job.result import Result, Step
from impasto.output.timelapse import Timelapse

if TYPE_CHECKING:
    pass
from impasto.output.options import DeliveryOptions


class Files:
    """Writes what a DeliveryOptions asks for.

    Raises:
        ImageError: a file that cannot be written where it should be; nothing is written yet.
    """

    def __init__(self, delivery: DeliveryOptions, longest_px: int) -> None:
        from impasto.images.save import check_animation, check_output

        self._delivery = delivery
        self._timelapse = None if delivery.timelapse is None else Timelapse()
        delivery.check(delivery.output, longest_px)
        if delivery.save_every is not None:
            check_output(self._numbered(0))
        if delivery.timelapse is not None:
            check_animation(delivery.timelapse)
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
        from impasto.images.save import write

        if self._timelapse is not None:
            self._timelapse.add(step)
        every = self._delivery.save_every
        if every is None or step.step % every:
            return None
        try:
            path = self._numbered(step.step)
            write(self._delivery.encode(step.result(), path), path)
        except ImageError as error:
            return str(error)
        return None

    def finish(self, result: Result) -> Path:
        """Write the picture, and the animation if one was asked for.

        Raises:
            OutputError: a file cannot be written; the message says where the picture is.
        """
        output = self._delivery.output
        save(self._delivery.encode(result, output), output)
        if self._timelapse is not None and self._delivery.timelapse is not None:
            try:
                self._timelapse.save(self._delivery.timelapse, result.image)
            except ImageError as error:
                raise OutputError(f"{error}; the picture itself is {str(output)!r}") from None
        return output

    def _numbered(self, step: int) -> Path:
        output = self._delivery.output
        return output.with_stem(f"{output.stem}_{step:05d}")


def save(data: bytes, output: Path) -> None:
    """Write a finished picture.

    Raises:
        OutputError: it cannot go where it should; the message says where it is instead.
    """
    from impasto.images.save import write

    try:
        write(data, output)
    except ImageError as error:
        raise OutputError(f"{error}; {_rescue(data, output.name)}") from None


def _rescue(data: bytes, name: str) -> str:
    """Write a picture where it can be had, and say where."""
    from impasto.images.save import write

    for folder in _refuges():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            own = Path(tempfile.mkdtemp(prefix="picture-", dir=folder))
            try:
                write(data, own / name)
            except ImageError:
                own.rmdir()
                continue
            return f"the picture is kept as {str(own / name)!r}"
    return "the picture could not be kept anywhere else either: it is lost"


def _refuges() -> list[Path]:
    """List the folders that take in a picture whose own folder does not."""
    refuges = []
    with suppress(RuntimeError):
        refuges.append(files.cache_folder() / "rescued")
    with suppress(OSError):
        refuges.append(Path(tempfile.gettempdir()))
    return refuges

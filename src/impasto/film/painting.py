"""Paint a film: frames in, painted frames into a folder, and at the end a film.

frames -> shots -> each shot: a first frame, then one frame after another -> parts -> film
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

import impasto
from impasto import files, images, signals, weights
from impasto.config.film_settings import FilmSettings
from impasto.engine import setup
from impasto.engine.cache import Cache
from impasto.engine.estimate import estimate
from impasto.errors import ImageError, OutputError, SettingsError
from impasto.film import moving_masks, sources
from impasto.film.coherence import PaintedFrame, interpolate
from impasto.film.destination import Destination
from impasto.film.flow import LEAST_SIDE_PX, import_opencv
from impasto.film.resume import FilmState, Parts
from impasto.film.shot import FinishedFrame, ShotPainter
from impasto.film.shots import Shot, find_shots
from impasto.images.picture import load
from impasto.job import recipe as recipe_module
from impasto.job.hashes import LONGEST_NAME, PictureHash
from impasto.job.job import Job, Region
from impasto.job.recipe import FilmRecipe, Recipe
from impasto.job.result import Step
from impasto.output.collisions import check_apart, input_files
from impasto.output.film_file import FilmFrame
from impasto.weights.download import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

# Iterations that a later frame usually takes.
_USUAL_STEPS = 12
# A frame as PNG takes about so many bytes for each pixel and byte of a sample; and free disk that
# is asked for beside the frames, for the state and the film.
_BYTES_PER_PIXEL, _BYTES_BESIDE = 2.2, 2**26


@dataclass(frozen=True)
class FilmStep:
    """How far a film is.

    Attributes:
        frame: how many frames are painted.
        frames: how many there are in all.
        shot: index of the shot being painted, from 0.
        shots: how many shots there are.
        steps: iterations that the latest frame took.
        losses: of the latest frame.
        time_s: seconds since the film was begun or resumed.
        time_left_s: seconds still to go, if each frame takes as long as those before; None before
            the first frame.
        step: the Step of the first frame of a shot, while it is painted; else None.
        image: makes the latest frame; None before the first.
    """

    frame: int
    frames: int
    shot: int
    shots: int
    steps: int
    losses: dict[str, float]
    time_s: float
    time_left_s: float | None
    step: Step | None
    image: Callable[[], Image] | None


@dataclass(frozen=True)
class FilmResult:
    """A painted film.

    Attributes:
        path: where it is.
        frames: how many frames it has.
        size_px: width and height.
        shots: how many shots there are.
        time_s: how long painting took, in seconds, since it was begun or resumed.
        steps: iterations of each frame that was painted since then.
    """

    path: Path
    frames: int
    size_px: tuple[int, int]
    shots: int
    time_s: float
    steps: tuple[int, ...]


@dataclass(frozen=True)
class FilmOptions:
    """What is asked for beside the pictures' own options.

    Attributes:
        settings: the options that change the film.
        output: the file to write.
        resume: go on with the frames of an earlier run.
        keep_frames: leave the painted frames beside the film.
        sound: copy the film's sound.
        recipe: write into the file how it was made.
    """

    settings: FilmSettings
    output: Path
    resume: bool = False
    keep_frames: bool = False
    sound: bool = True
    recipe: bool = True


class FilmPainting:
    """Paints one film: ``open``, ``paint``, ``finish``; or ``preview`` alone.

    Everything is checked before the first iteration.

    Attributes:
        shots: of the part that is painted.
        size_px: width and height of the result.

    Args:
        source: the film: a file, a folder or a pattern.
        job: the paintings and the options of a picture, without a content picture. Of the
            ``decisions`` of an earlier film, those of the machine are repeated.
        options: what is asked for.
        cache: of networks and style statistics.
        progress: called while weights are downloaded.

    Raises:
        ImpastoError: wrong input or options; nothing is written yet.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        job: Job,
        options: FilmOptions,
        *,
        cache: Cache | None = None,
        progress: Progress | None = None,
    ) -> None:
        import_opencv()
        if job.runtime.precision == "int8":
            # Each frame has few steps, and ranges that follow the steps before have none to follow.
            raise SettingsError(
                "precision: expected auto, fp32 or bf16 for a film, got 'int8', which is for "
                "single pictures; leave it out"
            )
        self._options, self._cache, self._progress = options, cache or Cache(), progress
        job_inputs = input_files(job)
        job, self._moving = moving_masks.separate(job)
        # What a shot decides is its own; of earlier decisions, only the machine's are repeated.
        runtime = setup.with_decisions(job.runtime, job.decisions)
        styles = tuple(load(one) for one in job.style_images)
        self._job = replace(job, style_images=styles, runtime=runtime, decisions=None)
        self._name = files.path_of(source).name
        self._source = sources.open_source(source, options.settings.fps)
        output = options.output
        check_apart([output], [*self._source.files, *job_inputs])
        self.size_px = self._painted_px(output)
        self._destination = Destination(output, self._source, self.size_px, sound=options.sound)
        self._times: list[tuple[int, int | None]] = []
        self._skipped = 0
        self.shots = self._find_shots()
        moving_masks.at(self._moving, self._skipped + len(self._times) - 1)
        check_apart(self._destination.files(len(self._times)), self._source.files)
        identity = self._identity()
        folder = files.beside(output, suffix=".parts")
        bits = 16 if self._destination.film.colours.bits > 8 else 8
        self._parts = Parts(folder, identity, bits)
        self._state: FilmState | None = None
        self._painter: ShotPainter | None = None
        self._steps: list[int] = []
        self._waiting: list[FilmFrame] = []
        self._begun_s = time.perf_counter()

    def open(self) -> None:
        """Make the folder of painted frames, or go on with that of an earlier run.

        Raises:
            SettingsError: there are frames of an earlier run, and ``resume`` was not asked for.
            CheckpointError: the frames are of another film, or damaged.
            OutputError: the disk has too little room.
        """
        self._check_disk()
        if self._options.resume and self._parts.exists:
            self._state = self._parts.resume()
        else:
            self._parts.begin()

    def preview(
        self, count: int, on_step: Callable[[FilmStep], object] | None = None
    ) -> list[Path]:
        """Paint some frames, spread over the film, as pictures with the look of their shots.

        Args:
            count: how many; at most as many as the film has.
            on_step: called with each FilmStep.

        Returns:
            The files, beside the output.

        Raises:
            ImpastoError: as :meth:`paint`.
        """
        count = min(count, self.frames)
        wanted = {self.frames * (2 * part + 1) // (2 * count) for part in range(count)}
        paths = []
        for frame, shot in self._missing():
            if frame.index not in wanted:
                continue
            painter = self._new_painter()
            pixels = self._resized(frame.pixels)
            finished = self._paint_first(
                painter, frame.index, pixels, shot, on_step or (lambda step: None)
            )
            output = self._options.output
            folder = output.parent
            name = files.fitting_name(
                output.stem.replace("%", ""),
                suffix=f"_preview_{frame.index + 1:06d}.png",
                folder=folder,
            )
            paths.append(images.save_image(images.to_image(finished.pixels), folder / name))
        return paths

    @property
    def frames(self) -> int:
        """How many frames the result has."""
        return len(self._times)

    @property
    def done(self) -> int:
        """How many frames are painted."""
        return self._parts.done

    @property
    def parts_folder(self) -> Path:
        """The folder with the painted frames."""
        return self._parts.folder

    def paint(self, on_step: Callable[[FilmStep], object] | None = None) -> None:
        """Paint all frames that are not painted yet.

        Args:
            on_step: called with each FilmStep.

        Raises:
            ImpastoError: as ``iterate`` does; what is painted is kept.
        """
        try:
            for frame, shot in self._missing():
                if self._is_painted(frame.index, shot):
                    self._paint_frame(frame, shot, on_step or (lambda step: None))
                else:
                    self._waiting.append(frame)
            self._save_state(now=True)
        except BaseException:
            self._save_state(now=True)
            raise

    def finish(self) -> FilmResult:
        """Encode the frames that are painted; if they are all, their folder is removed.

        Raises:
            OutputError: the film cannot be written; its frames are kept.
        """
        metadata = {}
        painter = self._painter
        look = None if painter is None else painter.look
        if look is None and self._state is not None:
            look = self._state.look
        if self._options.recipe and look is not None:
            metadata = {"Recipe": self._recipe(look.recipe).text()}
        path = self._destination.write(
            (
                FilmFrame(index, *self._times[index], self._parts.load(index))
                for index in range(self.done)
            ),
            self._options.settings.range_s,
            metadata,
        )
        result = FilmResult(
            path,
            self.done,
            self.size_px,
            len(self.shots),
            time.perf_counter() - self._begun_s,
            tuple(self._steps),
        )
        if self.done == self.frames and not self._options.keep_frames:
            self._parts.remove()
        return result

    def _paint_frame(
        self, frame: FilmFrame, shot: int, on_step: Callable[[FilmStep], object]
    ) -> None:
        index = frame.index
        pixels = self._resized(frame.pixels)
        if index == self.shots[shot].first:
            self._painter = self._new_painter()
            between: list[Tensor] = []
            finished = self._paint_first(self._painter, index, pixels, shot, on_step)
        else:
            painter = self._resumed_painter()
            before = painter.earlier[0], painter.last_pixels
            finished = painter.next(index, pixels, self._regions(index))
            between = self._between(before, finished, pixels)
        with signals.deferred():
            for picture in between:
                self._parts.add(picture, 0)
            self._parts.add(finished.pixels, finished.steps)
            self._steps += [*(0 for _ in between), finished.steps]
            self._save_state()
        on_step(self._step(shot, finished.steps, finished.losses, None, finished.pixels))

    def _paint_first(
        self,
        painter: ShotPainter,
        index: int,
        pixels: Tensor,
        shot: int,
        on_step: Callable[[FilmStep], object],
    ) -> FinishedFrame:
        steps = painter.first(index, pixels, self.shots[shot].samples, self._regions(index))
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                finished: FinishedFrame = end.value
                return finished
            on_step(self._step(shot, step.step, step.losses, step, None))

    def _regions(self, index: int) -> tuple[Region, ...]:
        """Return the regions of a frame whose masks move."""
        return moving_masks.at(self._moving, self._skipped + index)

    def _is_painted(self, index: int, shot: int) -> bool:
        """Return whether a frame is painted; those between are interpolated."""
        first, stop = self.shots[shot].first, self.shots[shot].stop
        return (index - first) % self._options.settings.every == 0 or index + 1 == stop

    def _between(
        self, before: tuple[PaintedFrame, Tensor | None], after: FinishedFrame, pixels: Tensor
    ) -> list[Tensor]:
        """Interpolate the frames that wait between two painted ones."""
        earlier, painting = before
        assert painting is not None
        pictures = [
            interpolate(
                self._resized(frame.pixels),
                (earlier.pixels, painting),
                (pixels, after.pixels),
                (frame.index - earlier.index) / (after.index - earlier.index),
            )
            for frame in self._waiting
        ]
        self._waiting = []
        return pictures

    def _new_painter(self) -> ShotPainter:
        return ShotPainter(self._job, self._options.settings.temporal, self._cache, self._progress)

    def _resumed_painter(self) -> ShotPainter:
        """Return the painter of this shot; after a resume it continues from the state."""
        if self._painter is None:
            assert self._state is not None
            self._painter = self._new_painter()
            last = self._parts.load(self._state.done)
            self._painter.restore(self._state.look, self._state.earlier, last)
        return self._painter

    def _save_state(self, *, now: bool = False) -> None:
        painter = self._painter
        if painter is None or painter.look is None or not painter.earlier:
            return
        # An exception may have come between painting a frame and writing it.
        if painter.earlier[0].index == self.done - 1:
            self._parts.save_state(FilmState(painter.look, tuple(painter.earlier)), now=now)

    def _step(
        self,
        shot: int,
        steps: int,
        losses: dict[str, float],
        step: Step | None,
        pixels: Tensor | None,
    ) -> FilmStep:
        time_s = time.perf_counter() - self._begun_s
        painted, left = len(self._steps), self.frames - self.done
        image = step.image if step is not None else None
        if pixels is not None:
            image = lambda: images.to_image(pixels)  # noqa: E731
        return FilmStep(
            frame=self.done,
            frames=self.frames,
            shot=shot,
            shots=len(self.shots),
            steps=steps,
            losses=losses,
            time_s=time_s,
            time_left_s=time_s / painted * left if painted else None,
            step=step,
            image=image,
        )

    def _missing(self) -> Iterator[tuple[FilmFrame, int]]:
        """Yield each frame that is not painted yet, with the index of its shot."""
        stops = [shot.stop for shot in self.shots]
        for frame in self._in_range():
            if frame.index >= self.done:
                yield frame, next(n for n, stop in enumerate(stops) if frame.index < stop)

    def _in_range(self) -> Iterator[FilmFrame]:
        """Yield the frames of the part that is asked for, numbered from 0."""
        start_s, end_s = self._options.settings.range_s
        base = self._source.format.time_base
        index = 0
        for frame in self._source.frames():
            time_s = frame.time * base
            if end_s is not None and time_s >= end_s:
                return
            if time_s < start_s:
                self._skipped = frame.index + 1
            else:
                yield replace(frame, index=index)
                index += 1

    def _find_shots(self) -> tuple[Shot, ...]:
        def noted() -> Iterator[FilmFrame]:
            for frame in self._in_range():
                self._times.append((frame.time, frame.duration))
                yield frame

        shots = tuple(find_shots(noted()))
        if not shots:
            asked = self._options.settings.range
            where = "" if asked is None else f" in {asked}"
            raise SettingsError(
                f"{str(self._source.files[0])!r} has no frame{where}: expected at least one; "
                "take another part"
            )
        return shots

    def _painted_px(self, output: Path) -> tuple[int, int]:
        """Return the width and height of the result; even where the film needs that."""
        size, film = self._job.settings.size, self._source.format
        if isinstance(size, tuple):
            width_px, height_px = size
        else:
            longest_px = max(film.height_px, film.width_px) if size == "original" else size
            height_px, width_px = images.fit(film.height_px, film.width_px, longest_px)
        if Destination.needs_even_sides(output):
            width_px, height_px = (2 * max(1, round(side / 2)) for side in (width_px, height_px))
        if min(width_px, height_px) < LEAST_SIDE_PX:
            raise ImageError(
                f"expected a film of at least {LEAST_SIDE_PX} pixels a side, got {width_px} x "
                f"{height_px}; raise size"
            )
        return width_px, height_px

    def _resized(self, pixels: Tensor) -> Tensor:
        width_px, height_px = self.size_px
        return images.cover(pixels, height_px, width_px).contiguous()

    def _identity(self) -> dict[str, Any]:
        """Return all that the painted frames depend on, as JSON."""
        job, settings = self._job, self._options.settings
        return {
            "film": sources.digest(self._source.files),
            "terms": sorted(job.terms),
            "regions": moving_masks.identity(job, self._moving),
            "styles": [load(one).sha256 for one in job.style_images],
            "weights": weights.sha256(job.settings.network, file=job.runtime.weights),
            "settings": job.settings.model_dump(mode="json"),
            "options": settings.model_dump(mode="json"),
            "precision": job.runtime.precision,
            "width_px": self.size_px[0],
            "height_px": self.size_px[1],
            "versions": {
                "impasto": impasto.__version__,
                **recipe_module.versions().model_dump(mode="json"),
            },
        }

    def _recipe(self, first: Recipe) -> FilmRecipe:
        """Return the film's recipe, from that of the first frame of a shot."""
        fixed = len(self._job.regions)
        masks = moving_masks.hashes(self._moving)
        moving = zip(first.inputs.regions[fixed:], masks, strict=True)
        inputs = first.inputs.model_copy(
            update={
                "content": PictureHash(
                    name=self._name[-LONGEST_NAME:], sha256=sources.digest(self._source.files)
                ),
                "regions": (
                    *first.inputs.regions[:fixed],
                    *(region.model_copy(update={"mask": mask}) for region, mask in moving),
                ),
            }
        )
        # Strength is measured again, in each shot.
        decisions = first.decisions.anew(keep_weights=False)
        fields = {name: getattr(first, name) for name in Recipe.model_fields}
        fields |= {"inputs": inputs, "decisions": decisions}
        return FilmRecipe(**fields, film=self._options.settings)

    def expected_s(self) -> float:
        """Estimate the seconds that the frames to come take, from a measurement of a step."""
        every = self._options.settings.every
        shots = [shot for shot in self.shots if shot.stop > self.done]
        job = (
            replace(self._job, content_image=self._resized(shots[0].samples[0])) if shots else None
        )
        if job is None:
            return 0.0
        width_px, height_px = self.size_px
        settings = job.settings.model_copy(update={"size": (width_px, height_px)})
        expected = estimate(replace(job, settings=settings))
        left = sum(
            math.ceil((shot.stop - max(shot.first + 1, self.done)) / every) for shot in shots
        )
        firsts = sum(shot.first >= self.done for shot in shots)
        steps = min(_USUAL_STEPS, sum(scale.scale.iterations for scale in expected.scales))
        finest = expected.scales[-1]
        return firsts * expected.time_s + left * (finest.targets_s + steps * finest.step_s)

    def _check_disk(self) -> None:
        """Check that the frames fit on the disk.

        Raises:
            OutputError: they do not.
        """
        needed = self.needed_bytes
        free = shutil.disk_usage(self._options.output.parent).free
        if free < needed:
            raise OutputError(
                f"{str(self._parts.folder)!r} needs about {needed / 2**30:.1f} GiB for the painted "
                f"frames: expected as much on the disk, got {free / 2**30:.1f} GiB; make room, or "
                "name another folder"
            )

    @property
    def needed_bytes(self) -> int:
        """About how many bytes the frames to come take on the disk."""
        width_px, height_px = self.size_px
        a_frame = _BYTES_PER_PIXEL * width_px * height_px * self._parts.bits / 8
        return round(a_frame * (self.frames - self.done)) + _BYTES_BESIDE

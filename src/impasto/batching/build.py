"""Turn entries into tasks: check every option and every picture before anything is painted."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto import files
from impasto.batching.job_files import Entry
from impasto.batching.tasks import Task, identify, pending, writer_of
from impasto.config.affects import values
from impasto.config.initialization import parse_start
from impasto.config.settings import MODES, Mode, Runtime, Settings, make_settings
from impasto.config.validation import british, check, unknown_option
from impasto.config.words import words_of
from impasto.errors import ImpastoError, SettingsError, one_line, short_repr
from impasto.images.limits import MAX_PIXELS, too_large
from impasto.job.job import JobSpec, PictureReference, RegionReference
from impasto.output.options import OutputOptions
from impasto.weights.download import sha256_of

_OWN = ("mode", "content", "style", "output", "preset")
_LONGEST_MESSAGE = 1500
_MODELS = (Settings, Runtime, OutputOptions)


def make_tasks(
    entries: Sequence[Entry],
    options: dict[str, Any],
    *,
    mode: str,
    into: Path | None,
    ending: str,
    home: Path,
    written: Container[Path] = (),
) -> list[Task]:
    """Check every entry, and return its task, in the order of ``entries``.

    Args:
        entries: the user's jobs.
        options: options from the command line; an entry's own options override them.
        mode: the mode of entries that name none.
        into: the folder for the outputs. By default outputs are relative to the entry's folder,
            and each entry must name its output.
        ending: the file name extension of outputs without a name.
        home: the journal's folder.
        written: outputs that an earlier run of this batch has written, resolved.

    Raises:
        SettingsError: an unknown option, a value out of its bounds, pictures that the mode does
            not take, an output that is another job's too or a picture to paint from, or a job
            that needs what it writes itself or what a later one writes.
        ImageError: an input that is no picture, or an output that cannot be written.
    """
    builder = _TaskBuilder(options, mode, into, ending, home, written)
    builder.note_outputs(entries)
    tasks = [builder.make(entry) for entry in entries]
    _check_outputs(tasks)
    return tasks


def schedule(tasks: Sequence[Task]) -> list[Task]:
    """Sort large tasks first, so that all workers end at about the same time.

    Tasks with the same network and styles follow each other, so that the next one finds them in
    the cache.
    """

    def key(task: Task) -> tuple[Any, ...]:
        spec = task.spec
        network = json.dumps(values(spec.settings, "network"))
        styles = [style.sha256 for style in spec.styles]
        return (
            -task.work,
            network,
            str(task.runtime.precision),
            styles,
            spec.content.sha256 if spec.content else "",
        )

    return sorted(tasks, key=key)


@dataclass
class _TaskBuilder:
    options: dict[str, Any]
    mode: str
    into: Path | None
    ending: str
    home: Path
    written: Container[Path] = ()
    hashes: dict[Path, str] = field(default_factory=dict)
    # By resolved path: the entry that writes it, and the task if it is built already.
    outputs: dict[Path, Entry] = field(default_factory=dict)
    writers: dict[Path, Task] = field(default_factory=dict)

    def note_outputs(self, entries: Sequence[Entry]) -> None:
        """Record all outputs, so that a job may be painted from another job's picture."""
        for entry in entries:
            with suppress(ImpastoError, ValueError, TypeError):
                self.outputs.setdefault(_real(self._output(entry)), entry)

    def make(self, entry: Entry) -> Task:
        """Check an entry, and return its task; an error names the entry."""
        try:
            task = self._make(entry)
        except ImpastoError as error:
            message = str(error)
            if len(message) > _LONGEST_MESSAGE:
                message = one_line(message, _LONGEST_MESSAGE)
            raise type(error)(f"{entry.label}: {message}") from None
        self.writers.setdefault(_real(task.output), task)
        return task

    def _make(self, entry: Entry) -> Task:
        entry = replace(entry, words=british(entry.words))
        words, folder = entry.words, entry.folder
        known = [*_OWN, *(name for model in _MODELS for name in model.model_fields)]
        unknown = next((name for name in words if name not in known), None)
        if unknown is not None:
            raise SettingsError(unknown_option(unknown, known))
        mode = _mode(words.get("mode", self.mode))
        options = {**self.options, **words}
        if not isinstance(options.get("preset", ""), str):
            raise SettingsError(f"preset: expected a name, got {short_repr(options['preset'])}")
        settings = make_settings(**words_of(Settings, options, also=("preset",)))
        finish = check(OutputOptions, words_of(OutputOptions, options))
        runtime = check(Runtime, words_of(Runtime, options))
        spec = self._spec(entry, mode, settings)
        weights_sha256 = None
        if runtime.weights is not None:
            base = folder if "weights" in words else Path.cwd()
            path, weights_sha256 = self._hashed("weights", runtime.weights, base)
            runtime = runtime.model_copy(update={"weights": str(path)})
        output = self._output(entry)
        finish.check(output, _longest_px(spec.settings, spec.references()[0]))
        return Task(
            label=entry.label,
            output=output,
            spec=spec,
            runtime=runtime,
            finish=finish,
            identity=identify(spec, weights_sha256, finish, os.path.relpath(output, self.home)),
        )

    def _spec(self, entry: Entry, mode: Mode, settings: Settings) -> JobSpec:
        """Make references to the entry's pictures, and to the files that its settings name."""
        words, folder = entry.words, entry.folder
        content = [
            self._refer("content", word, folder) for word in _pictures(words, mode, "content")
        ]
        styles = [self._refer("style", word, folder) for word in _pictures(words, mode, "style")]
        start = None
        if settings.start is not None and parse_start(settings.start) is None:
            base = folder if "start" in words else Path.cwd()
            start = self._refer("start", settings.start, base)
            settings = settings.model_copy(update={"start": None})
        regions: tuple[RegionReference, ...] = ()
        if settings.region is not None:
            base = folder if "region" in words else Path.cwd()
            regions = self._regions(settings.region, base)
            settings = settings.model_copy(update={"region": None})
        return JobSpec(
            mode, content[0] if content else None, tuple(styles), start, regions, settings
        )

    def _regions(self, words: Sequence[str], folder: Path) -> tuple[RegionReference, ...]:
        from impasto.engine.regions import parse_files

        return tuple(
            RegionReference(
                self._refer("region", region.mask, folder),
                self._refer("region", region.style, folder),
                None
                if region.style_mask is None
                else self._refer("region", region.style_mask, folder),
                region.mask_colour,
                region.style_mask_colour,
            )
            for region in parse_files(words)
        )

    def _refer(self, kind: str, word: Any, folder: Path) -> PictureReference:
        path, sha256 = self._hashed(kind, word, folder)
        return PictureReference(path, sha256, path.name)

    def _hashed(self, kind: str, word: Any, folder: Path) -> tuple[Path, str]:
        """Return a file's path and its SHA-256."""
        if not isinstance(word, str):
            raise SettingsError(f"{kind}: expected a file's path, got {short_repr(word)}")
        path = folder / files.path_of(word)
        try:
            real = _real(path)
            if kind != "weights" and real in self.outputs:
                return self._chained(kind, path, real)
            is_file = path.is_file()
            if is_file and path not in self.hashes:
                self.hashes[path] = _checked_sha256(kind, path)
        except (OSError, ValueError) as error:
            if isinstance(error, ImpastoError):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise SettingsError(
                f"{kind}: {_shown(path)} cannot be read ({reason}); check its permissions"
            ) from None
        if not is_file:
            raise SettingsError(
                f"{kind}: no file {_shown(path)}: expected one to read; check its path"
            )
        return path, self.hashes[path]

    def _chained(self, kind: str, path: Path, real: Path) -> tuple[Path, str]:
        """Return the path of an earlier job's output, and a placeholder for its hash."""
        writer = self.writers.get(real)
        if writer is None:
            raise SettingsError(
                f"{kind}: {_shown(path)} is written by {self.outputs[real].label}: expected a "
                "picture that exists already, or the output of an earlier job; a job cannot wait "
                "for itself or for a later one, so name another file or change the order"
            )
        if os.path.lexists(real) and real not in self.written:
            raise SettingsError(
                f"{kind}: {_shown(path)} exists already, and {writer.label} would replace it: "
                "expected an output that is not also an input; name another output"
            )
        return path, pending(writer.identity)

    def _output(self, entry: Entry) -> Path:
        word = entry.words.get("output")
        if word is not None and not isinstance(word, str):
            raise SettingsError(f"output: expected a file's path, got {short_repr(word)}")
        if word is None and self.into is None:
            raise SettingsError(
                "output: expected a file's path, got none; name one, or a folder for all with -o"
            )
        folder = entry.folder if self.into is None else self.into
        if word is not None:
            return folder / files.path_of(word)
        return folder / f"{entry.named_by or _default_name(entry)}{self.ending}"


def _longest_px(settings: Settings, model: PictureReference) -> int:
    """Return the longest side of the result, whose shape is that of ``model``."""
    from impasto import images

    size = settings.size
    if size == "original" and writer_of(model):
        return 1  # The size is known once it is written; the encoder checks it again.
    if size == "original":
        return max(images.read_size(model.file))
    return max(size) if isinstance(size, tuple) else size


def _mode(word: Any) -> Mode:
    chosen = next((mode for mode in MODES if mode == word), None)
    if chosen is None:
        raise SettingsError(f"mode: expected one of {', '.join(MODES)}, got {short_repr(word)}")
    return chosen


def _pictures(words: dict[str, Any], mode: Mode, kind: str) -> list[Any]:
    """Return the paths of the content or style pictures, after a check that the mode takes them."""
    value = words.get(kind)
    paths = value if isinstance(value, list) else [] if value is None else [value]
    if kind == ("content" if mode == "style" else "style" if mode == "content" else None):
        if paths:
            raise SettingsError(
                f"{kind}: expected none in {mode} mode, got {short_repr(value)}; leave it out"
            )
    elif not paths or (kind == "content" and len(paths) > 1):
        raise SettingsError(
            f"{kind}: expected a picture in {mode} mode, got "
            f"{short_repr(value) if value else 'none'}; name one"
        )
    return paths


def _default_name(entry: Entry) -> str:
    """Make an output's name from the names of its content and style pictures."""
    styles = entry.words.get("style", [])
    pictures = [
        entry.words.get("content"),
        *(styles if isinstance(styles, list) else [styles]),
    ]
    return "_".join(Path(picture).stem for picture in pictures if picture)


def _checked_sha256(kind: str, path: Path) -> str:
    """Return the hash of a file, after a check of the picture's header.

    Raises:
        ImageError: it is no picture.
    """
    if kind != "weights":
        from impasto.images import decode

        with files.open_regular(path) as file:
            label = f"{kind}: {_shown(path)}"
            width_px, height_px = decode.read_size(file, label)
        if width_px * height_px > MAX_PIXELS:
            raise too_large(label, f"{width_px} x {height_px} pixels")
    return sha256_of(path)


def _real(path: Path) -> Path:
    """Resolve symbolic links; a loop of links stays as it is."""
    return Path(os.path.realpath(path))


def _shown(path: Path) -> str:
    return one_line(repr(str(path)))


def _check_outputs(tasks: Sequence[Task]) -> None:
    inputs = {
        _real(picture.file)
        for task in tasks
        for picture in task.spec.references()
        if not writer_of(picture)
    }
    labels: dict[Path, str] = {}
    for task in tasks:
        output = _real(task.output)
        if output in labels:
            raise SettingsError(
                f"{task.label}: expected each job to have an output of its own, got "
                f"{str(task.output)!r}, as {labels[output]} has; name another"
            )
        if output in inputs:
            raise SettingsError(
                f"{task.label}: expected an output that is not also an input, got "
                f"{str(task.output)!r}, which is one of the pictures to paint from; name another"
            )
        labels[output] = task.label

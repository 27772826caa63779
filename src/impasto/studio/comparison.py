"""Blind comparison: the trials, the choices, and the ranking of the methods.

A folder has one subfolder for each method. Pictures of two methods are compared if they come from
the same pair of photograph and painting: their recipes have the same hashes of inputs. Pictures
without a recipe are matched by file name.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from impasto import files
from impasto.config.validation import Options
from impasto.errors import ImageError, ImpastoError, OutputError, SettingsError
from impasto.images.decode import decode_texts
from impasto.job import recipe
from impasto.metrics.preference import bradley_terry

CHOICES_FILE = "choices.json"
Side = Literal["left", "right"]
Answer = Literal["left", "right", "neither"]
# The formats that browsers show, by the first bytes of the file.
_MEDIA_TYPES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
}
_MOST_FILE_BYTES = 256 * 2**20
_MOST_CHOICES_BYTES = 2**26


@dataclass(frozen=True)
class MethodPicture:
    """One picture of one method; ``inputs`` names its photograph and paintings by hash."""

    method: str
    path: Path
    media_type: str
    inputs: str | None


@dataclass(frozen=True)
class LeftOut:
    """A file that is not compared, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Trial:
    """Two pictures of one pair, one on each side."""

    pair: str
    left: MethodPicture
    right: MethodPicture

    def entry(self, side: Side) -> MethodPicture:
        """Return the picture on a side."""
        return self.left if side == "left" else self.right

    @property
    def key(self) -> tuple[str, frozenset[str]]:
        """The identity of a trial: its pair and its two methods, on whichever sides."""
        return self.pair, frozenset((self.left.method, self.right.method))


class Choice(Options):
    """The choice in one trial."""

    pair: str
    left: str = Field(description="The method on the left.")
    right: str = Field(description="The method on the right.")
    chosen: Answer


class Choices(Options):
    """The file of all choices."""

    format: Literal[1] = 1
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Ranked:
    """One row of the ranking.

    Attributes:
        method: the subfolder's name.
        strength: Bradley-Terry strength; 1 is the geometric mean.
        chosen: number of trials that it won; "neither" counts a half.
        compared: number of its trials.
    """

    method: str
    strength: float
    chosen: float
    compared: int


class Comparison:
    """A folder of pictures, and the choices between them.

    Args:
        folder: a folder with a subfolder for each method.
        seed: random seed for the order of the trials and for the sides.

    Raises:
        SettingsError: there is no such folder, or no two pictures that can be compared.
        OutputError: an earlier file of choices cannot be read.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self._path = folder / CHOICES_FILE
        entries, left_out = _read_folder(folder)
        groups = _groups(entries, left_out)
        self.left_out = tuple(left_out)
        self.trials = tuple(_trials(groups, seed))
        if not self.trials:
            reasons = "; ".join(f"{one.file}: {one.reason}" for one in left_out) or "no pictures"
            raise SettingsError(
                f"expected in {str(folder)!r} at least two subfolders, one for each method, with "
                f"pictures of the same pair; got {reasons}"
            )
        self.choices = _read_choices(self._path)
        answered = {(c.pair, frozenset((c.left, c.right))) for c in self.choices}
        self._open = [n for n, trial in enumerate(self.trials) if trial.key not in answered]

    @property
    def current(self) -> int | None:
        """The number of the next trial; None at the end."""
        return self._open[0] if self._open else None

    @property
    def answered(self) -> int:
        """Number of answered trials."""
        return len(self.trials) - len(self._open)

    def choose(self, number: int, chosen: Answer) -> None:
        """Save a choice.

        Raises:
            OutputError: the file cannot be written; the trial stays open.
        """
        trial = self.trials[number]
        choice = Choice(
            pair=trial.pair, left=trial.left.method, right=trial.right.method, chosen=chosen
        )
        choices = (*self.choices, choice)
        data = Choices(choices=choices).model_dump(mode="json")
        try:
            files.replace(self._path, (json.dumps(data, indent=1) + "\n").encode())
        except OSError as error:
            raise OutputError(
                f"{str(self._path)!r} cannot be written: {error.strerror or error}; free some "
                "space, or allow writing"
            ) from None
        self.choices = choices
        self._open.remove(number)

    def ranking(self) -> list[Ranked]:
        """Rank the methods by all choices, the preferred first."""
        wins: dict[tuple[str, str], float] = defaultdict(float)
        compared: dict[str, int] = defaultdict(int)
        for choice in self.choices:
            for one, other, side in (
                (choice.left, choice.right, "left"),
                (choice.right, choice.left, "right"),
            ):
                wins[one, other] += {side: 1.0, "neither": 0.5}.get(choice.chosen, 0.0)
                compared[one] += 1
        methods = sorted(
            {entry.method for trial in self.trials for entry in (trial.left, trial.right)}
            | set(compared)
        )
        strengths = bradley_terry(methods, wins)
        ranked = [
            Ranked(
                method,
                strengths[method],
                sum(count for (one, _), count in wins.items() if one == method),
                compared[method],
            )
            for method in methods
        ]
        return sorted(ranked, key=lambda one: (-one.strength, one.method))


def _read_folder(folder: Path) -> tuple[list[MethodPicture], list[LeftOut]]:
    entries: list[MethodPicture] = []
    left_out: list[LeftOut] = []
    try:
        methods = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        for method in methods:
            if not method.is_dir():
                if method.name != CHOICES_FILE:
                    left_out.append(LeftOut(method.name, "it is in no method's subfolder"))
                continue
            for path in sorted(method.iterdir()):
                if path.name.startswith("."):
                    continue
                try:
                    entries.append(_read_entry(method.name, path))
                except ImpastoError as error:
                    left_out.append(LeftOut(_label(method.name, path), str(error)))
    except OSError as error:
        raise SettingsError(
            f"--compare: expected a folder of pictures, got {str(folder)!r}, which cannot be read: "
            f"{error.strerror or error}"
        ) from None
    return entries, left_out


def _read_entry(method: str, path: Path) -> MethodPicture:
    label = repr(_label(method, path))
    try:
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise ImageError(f"expected at most {_MOST_FILE_BYTES // 2**20} MiB; scale it down")
        data = files.read_regular(path)
    except OSError as error:
        raise ImageError(f"it cannot be read: {error.strerror or error}") from None
    texts = decode_texts(data, label)
    media_types = [kind for start, kind in _MEDIA_TYPES.items() if data.startswith(start)]
    if not media_types:
        raise ImageError("expected PNG, JPEG or WebP, which browsers show, got another format")
    inputs = None
    if "Recipe" in texts:
        hashes = recipe.parse(texts["Recipe"], label).inputs
        content = hashes.content.sha256 if hashes.content else ""
        inputs = "+".join([content, *(style.sha256 for style in hashes.styles)])
    return MethodPicture(method, path, media_types[0], inputs)


def _groups(
    entries: list[MethodPicture], left_out: list[LeftOut]
) -> dict[str, list[MethodPicture]]:
    """Group the pictures by pair, one of each method; pairs with one method are left out.

    A picture without a recipe joins the pictures with its file name, if these all have one pair.
    """
    inputs_by_stem: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.inputs is not None:
            inputs_by_stem[entry.path.stem].add(entry.inputs)
    groups: dict[str, dict[str, MethodPicture]] = defaultdict(dict)
    for entry in entries:
        named = inputs_by_stem[entry.path.stem]
        key = entry.inputs or (next(iter(named)) if len(named) == 1 else entry.path.stem)
        earlier = groups[key].setdefault(entry.method, entry)
        if earlier is not entry:
            reason = f"{earlier.path.name} is the method's picture of this pair"
            left_out.append(LeftOut(_label(entry.method, entry.path), reason))
    for by_method in groups.values():
        if len(by_method) == 1:
            (entry,) = by_method.values()
            reason = "no other method has a picture of this pair"
            left_out.append(LeftOut(_label(entry.method, entry.path), reason))
    return {key: list(group.values()) for key, group in groups.items() if len(group) > 1}


def _trials(groups: dict[str, list[MethodPicture]], seed: int) -> Iterator[Trial]:
    generator = random.Random(seed)  # noqa: S311 - an order, not a secret
    trials = []
    for pair, group in sorted(groups.items()):
        for two in itertools.combinations(sorted(group, key=lambda entry: entry.method), 2):
            left, right = generator.sample(two, 2)
            trials.append(Trial(pair, left, right))
    generator.shuffle(trials)
    yield from trials


def _read_choices(path: Path) -> tuple[Choice, ...]:
    try:
        if path.stat().st_size > _MOST_CHOICES_BYTES:
            raise ValueError("too long")
        return Choices.model_validate_json(files.read_regular(path)).choices
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError, ValueError):
        raise OutputError(
            f"{str(path)!r} exists and contains no choices: expected a file that impasto wrote; "
            "move it away"
        ) from None


def _label(method: str, path: Path) -> str:
    return f"{method}/{path.name}"

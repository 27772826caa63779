"""A painting under way, kept in a file: ended at any moment, it goes on from there bit for bit.

A checkpoint is a safetensors file: vectors, and in its metadata the rest as JSON. It may come
from a stranger, and is data and no more: bounded, of known fields, shapes and number types.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from impasto import files
from impasto.config.validation import Options
from impasto.errors import CheckpointError, one_line
from impasto.job.recipe import Recipe
from impasto.optim.minimizer import Iterate, State

FORMAT: Literal[1] = 1
_METADATA = "impasto"
_MOST_CHARACTERS = 2**26
_WIDE_DTYPES = ("F32", "F64")
_DTYPES = ("F16", "BF16", *_WIDE_DTYPES)
_REMEMBERED = "remembered."
# The vectors' shapes, by the last part of their names.
_KINDS = {
    **dict.fromkeys(("image", "best", "exp_avg", "exp_avg_sq"), "like the image"),
    **dict.fromkeys(("s", "y", "move", "gradient"), "long"),
    **dict.fromkeys(("rho", "unit", "scale", "step"), "number"),
}
# Writing takes at most this share of the time.
_SHARE = 0.015

_Count = Annotated[int, Field(ge=0, le=2**40)]


@dataclass(frozen=True)
class Checkpoint:
    """All that a painting needs to go on, beside its pictures and the network.

    Attributes:
        recipe: how it is made, with what has been decided so far.
        place: index of the size being painted.
        state: where the descent at this size stands.
        rows: the history so far.
        time_s: seconds spent on it.
    """

    recipe: Recipe
    place: int
    state: State
    rows: tuple[dict[str, float], ...]
    time_s: float

    def check(self, recipe: Recipe) -> None:
        """Make sure that this is a checkpoint of the painting that ``recipe`` describes.

        Raises:
            CheckpointError: it is of another; the message says what differs.
        """
        then, now = _compared(self.recipe), _compared(recipe)
        differing = [
            f"{name} was {then.get(name)!r}, and is {now.get(name)!r}"
            for name in dict.fromkeys([*then, *now])
            if then.get(name) != now.get(name)
        ]
        if differing:
            raise CheckpointError(
                f"the checkpoint is of another painting: {'; '.join(differing)}; give what was "
                "given then, or start afresh without it"
            )


class _Rest(Options):
    """A checkpoint without its vectors."""

    model_config = ConfigDict(strict=True)

    format: Literal[1] = FORMAT
    recipe: Recipe
    place: _Count
    steps: _Count
    settled: float
    rescues: _Count
    losses: dict[str, float] | None
    rows: tuple[dict[str, int | float], ...]
    time_s: float = Field(ge=0)


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write to ``path``; an earlier checkpoint stays whole until the new one is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    state = checkpoint.state
    rest = _Rest(
        recipe=checkpoint.recipe,
        place=checkpoint.place,
        steps=state.steps,
        settled=state.settled,
        rescues=state.rescues,
        losses=None if state.best is None else state.best.losses,
        rows=checkpoint.rows,
        time_s=checkpoint.time_s,
    )
    vectors = {name: vector.detach().cpu() for name, vector in _vectors(state).items()}
    try:
        with files.writing(path, partial=partial_of(path)) as partial:
            save_file(vectors, partial, metadata={_METADATA: rest.model_dump_json()})
    except SafetensorError as error:
        raise OSError(str(error)) from None


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: no file, no checkpoint, a damaged one, or of another format.
    """
    label = repr(os.fspath(path))
    try:
        if not Path(path).is_file():
            raise CheckpointError(f"no checkpoint {label}: expected a file; check its name")
        with safe_open(path, framework="pt") as file:
            rest = _parse((file.metadata() or {}).get(_METADATA), label)
            vectors = _load(file, label)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _damaged(label, error) from None
    return Checkpoint(
        recipe=rest.recipe,
        place=rest.place,
        state=_state(rest, vectors),
        rows=rest.rows,
        time_s=rest.time_s,
    )


def misfit(reason: object) -> CheckpointError:
    """Return the error of a checkpoint that cannot come from the painting it tells of."""
    return CheckpointError(
        f"the checkpoint does not fit the painting that it tells of ({one_line(reason)}): "
        "expected one as impasto wrote it; start afresh without it"
    )


def partial_of(path: Path) -> Path:
    """Return where a checkpoint is written before it replaces the one at ``path``."""
    return files.beside(path, suffix=".part")


class Keeper:
    """Keeps a painting's checkpoint in a file: after the first step, and then every so often.

    The first one is early because a process that takes too much memory may be killed at once.

    Args:
        path: the file.
        every_s: how often, in seconds; less often where writing takes long. None for never.
        tell: told, where the file cannot be written; painting can go on.
    """

    def __init__(
        self,
        path: Path,
        every_s: float | None = 30.0,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.path = path
        self._every_s, self._tell = every_s, tell
        self._due_s = -math.inf

    def load(self) -> Checkpoint | None:
        """Return the checkpoint that is there; None if there is none.

        Raises:
            CheckpointError: it is damaged.
        """
        return read(self.path) if self.path.exists() else None

    def step(self, make: Callable[[], Checkpoint | None]) -> None:
        """Keep what ``make`` returns, if it is time."""
        if self._every_s is None or time.monotonic() < self._due_s:
            return
        began_s = time.monotonic()
        self.save(make)
        ended_s = time.monotonic()
        self._due_s = ended_s + max(self._every_s, (ended_s - began_s) / _SHARE)

    def save(self, make: Callable[[], Checkpoint | None]) -> None:
        """Keep what ``make`` returns, now, unless it is nothing."""
        checkpoint = None if self._every_s is None else make()
        if checkpoint is None:
            return
        try:
            write(checkpoint, self.path)
        except OSError as error:
            self._tell(
                f"the checkpoint {str(self.path)!r} cannot be written ({error.strerror or error}): "
                "expected a folder with room; the painting goes on without"
            )

    def remove(self) -> None:
        """Leave nothing behind: the painting is finished."""
        for path in (self.path, partial_of(self.path)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _vectors(state: State) -> dict[str, Tensor]:
    """Name the vectors of ``state``, each once."""
    vectors = {"image": state.image}
    if state.best is not None and state.best.image is not state.image:
        vectors["best"] = state.best.image
    return vectors | {f"{_REMEMBERED}{name}": part for name, part in state.optimiser_state.items()}


def _state(rest: _Rest, vectors: dict[str, Tensor]) -> State:
    image, best = vectors["image"], None
    if rest.losses is not None:
        best = Iterate(vectors.get("best", image), rest.losses)
    remembered = {
        name.removeprefix(_REMEMBERED): vector
        for name, vector in vectors.items()
        if name.startswith(_REMEMBERED)
    }
    return State(image, best, rest.steps, rest.settled, rest.rescues, remembered)


def _parse(text: str | None, label: str) -> _Rest:
    if text is None:
        raise _damaged(label, "it tells nothing of a painting")
    if len(text) > _MOST_CHARACTERS:
        raise _damaged(label, f"{len(text)} characters, at most {_MOST_CHARACTERS} are read")
    try:
        return _Rest.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_context=False)[0]
    if fault["loc"] == ("format",) and isinstance(fault["input"], int):
        raise CheckpointError(
            f"{label} is a checkpoint of another format: expected {FORMAT}; go on with the "
            "impasto that wrote it, or start afresh without it"
        )
    place = ".".join(str(part) for part in fault["loc"])
    raise _damaged(label, f"{place}: {fault['msg']}")


def _load(file: Any, label: str) -> dict[str, Tensor]:
    """Load the vectors, once their names, shapes and number types are those of a painting."""
    parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    image = tuple(parts["image"].get_shape()) if "image" in parts else ()
    if len(image) != 4 or image[:2] != (1, 3):
        raise _damaged(label, f"image: expected the shape (1, 3, H, W), got {image}")
    shapes = {"like the image": image, "long": (math.prod(image),), "number": ()}
    for name, part in parts.items():
        kind = _KINDS.get(name.rpartition(".")[2])
        if kind is None:
            raise _damaged(label, f"{name}: unknown")
        if tuple(part.get_shape()) != shapes[kind]:
            raise _damaged(
                label, f"{name}: expected the shape {shapes[kind]}, got {part.get_shape()}"
            )
        if part.get_dtype() not in (_DTYPES if kind == "long" else _WIDE_DTYPES):
            raise _damaged(label, f"{name}: numbers of type {part.get_dtype()}")
    # Copied, so that they lie in memory as they did: products may round by where that is.
    return {name: file.get_tensor(name).clone() for name in parts}


def _compared(recipe: Recipe) -> dict[str, Any]:
    """List what must be the same; of the memory, what was decided then is obeyed."""
    inputs = recipe.inputs
    return {
        "mode": recipe.mode,
        **recipe.settings.model_dump(mode="json"),
        "weights": recipe.weights_sha256,
        **{f"version of {name}": value for name, value in recipe.versions},
        **recipe.decisions.model_dump(include={"precision", "device", "threads"}),
        "content": None if inputs.content is None else inputs.content.sha256,
        "styles": [style.sha256 for style in inputs.styles],
        "regions": [
            [part and part.sha256 for part in (region.mask, region.style, region.style_mask)]
            for region in inputs.regions
        ],
        "start picture": None if inputs.start is None else inputs.start.sha256,
    }


def _damaged(label: str, reason: object) -> CheckpointError:
    return CheckpointError(
        f"{label} is no checkpoint that can be read ({one_line(reason)}): expected one as impasto "
        "wrote it; start afresh without it"
    )

"""A painting under way, in a file: it can end at any moment and go on from there bit for bit.

A checkpoint is a safetensors file: tensors, and in its metadata the rest as JSON, and the SHA-256
of the whole file. It may come from a stranger, and is data and no more: bounded, of known fields,
shapes and number types. Which tensors an optimiser has, its own class says.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import torch
from pydantic import ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from impasto import files
from impasto.config.validation import Options
from impasto.errors import CheckpointError, one_line
from impasto.job import recipe as recipe_module
from impasto.job.recipe import Recipe
from impasto.optim.base import StateTensor
from impasto.optim.minimizer import Iterate, State
from impasto.optim.registry import make_optimiser

# Format 1 had no checksum. It is still read, because paintings under way should survive an
# update; its tensors and fields are checked as those of format 2 are. A damaged file of format 2
# cannot pass for one of format 1: that takes two changes that fit each other.
Format = Literal[1, 2]
FORMAT: Format = 2
_METADATA, _CHECKSUM = "impasto", "sha256"
_NO_CHECKSUM = "0" * hashlib.sha256().digest_size * 2
_MOST_CHARACTERS = 2**26
_LENGTH_BYTES = 8  # of the header's length, with which a safetensors file begins
_MOST_HEADER_BYTES = 2**27  # more than safetensors reads
_CHUNK_BYTES = 2**20
_DTYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I32": torch.int32,
    "I64": torch.int64,
}
_IMAGE_DTYPES = (torch.float32, torch.float64)
# How the names of an optimiser's tensors begin, and of those of the objective's terms.
_OPTIMISER, _TERMS = "remembered.", "terms."
_ROW_KEYS = {"scale", "size_px", "step", "time_s", "total"}
# Writing takes at most this share of the time.
_SHARE = 0.015

_Count = Annotated[int, Field(ge=0, le=2**40)]


@dataclass(frozen=True)
class Checkpoint:
    """All that a painting needs to go on, beside its pictures and the network.

    Attributes:
        recipe: how it is made, with what has been decided so far.
        place: index of the size being painted.
        state: where the minimizer at this size stands.
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

    format: Format = FORMAT
    recipe: Recipe
    place: _Count
    steps: _Count
    settled: float
    rescues: _Count
    losses: dict[str, float] | None
    rows: tuple[dict[str, int | float], ...]
    time_s: float = Field(ge=0)

    @field_validator("losses")
    @classmethod
    def _have_total(cls, losses: dict[str, float] | None) -> dict[str, float] | None:
        if losses is not None and "total" not in losses:
            raise ValueError("expected the total among the losses")
        return losses

    @field_validator("rows")
    @classmethod
    def _are_rows(cls, rows: tuple[dict[str, float], ...]) -> tuple[dict[str, float], ...]:
        for row in rows:
            if absent := sorted(_ROW_KEYS - row.keys()):
                raise ValueError(f"expected {', '.join(absent)} in each row")
        return rows


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
    tensors = {name: tensor.detach().cpu() for name, tensor in _tensors(state).items()}
    metadata = {_METADATA: rest.model_dump_json(), _CHECKSUM: _NO_CHECKSUM}
    try:
        partial = partial_of(path)
        with files.writing(path, partial):
            save_file(tensors, partial, metadata=metadata)
            seal(partial)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def seal(path: Path) -> None:
    """Write the checksum of a checkpoint into it, where zeros stand for it.

    Raises:
        OSError: it cannot be written.
        ValueError: it has no checksum to replace.
    """
    with path.open("rb+") as file:
        position, _ = _find_checksum(file)
        digest = _digest(file, position)
        file.seek(position)
        file.write(digest.encode("ascii"))


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: no file, no checkpoint, a damaged one, or of another format; or it needs
            an optimiser, a statistic or a network that is not installed.
    """
    label = repr(os.fspath(path))
    try:
        if not Path(path).is_file():
            raise CheckpointError(f"no checkpoint {label}: expected a file; check its name")
        with safe_open(path, framework="pt") as file:
            rest = _parse((file.metadata() or {}).get(_METADATA), label)
            if rest.format > 1:
                _verify(Path(path), label)
            tensors = _load(file, rest.recipe, label)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _damaged(label, error) from None
    return Checkpoint(
        recipe=rest.recipe,
        place=rest.place,
        state=_state(rest, tensors),
        rows=rest.rows,
        time_s=rest.time_s,
    )


def misfit(reason: object) -> CheckpointError:
    """Return the error of a checkpoint whose parts contradict each other."""
    return CheckpointError(
        f"the checkpoint does not fit the painting that it describes ({one_line(reason)}): "
        "expected one as impasto wrote it; start afresh without it"
    )


def partial_of(path: Path) -> Path:
    """Return where a checkpoint is written before it replaces the one at ``path``."""
    return files.beside(path, suffix=".part")


class Keeper:
    """Writes a painting's checkpoint to a file: after the first step, and then at intervals.

    The first one is early because a process that takes too much memory may be killed at once.

    Args:
        path: the file.
        every_s: the interval in seconds; longer where writing takes long. None for never.
        tell: called with a message when the file cannot be written; painting can go on.
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
        """Return the checkpoint in the file; None if there is no file.

        Raises:
            CheckpointError: it is damaged.
        """
        return read(self.path) if self.path.exists() else None

    def step(self, make: Callable[[], Checkpoint | None]) -> None:
        """Write what ``make`` returns, if it is time."""
        if self._every_s is None or time.monotonic() < self._due_s:
            return
        began_s = time.monotonic()
        self.save(make)
        ended_s = time.monotonic()
        self._due_s = ended_s + max(self._every_s, (ended_s - began_s) / _SHARE)

    def save(self, make: Callable[[], Checkpoint | None]) -> None:
        """Write what ``make`` returns now, unless it is None."""
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
        """Delete the file: the painting is finished."""
        for path in (self.path, partial_of(self.path)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _tensors(state: State) -> dict[str, Tensor]:
    """Name the tensors of ``state``, each once."""
    tensors = {"image": state.image}
    if state.best is not None and state.best.image is not state.image:
        tensors["best"] = state.best.image
    tensors |= {f"{_OPTIMISER}{name}": part for name, part in state.optimiser_state.items()}
    return tensors | {f"{_TERMS}{name}": part for name, part in state.term_state.items()}


def _state(rest: _Rest, tensors: dict[str, Tensor]) -> State:
    image, best = tensors["image"], None
    if rest.losses is not None:
        best = Iterate(tensors.get("best", image), rest.losses)
    return State(
        image,
        best,
        rest.steps,
        rest.settled,
        rest.rescues,
        optimiser_state=_beginning_with(_OPTIMISER, tensors),
        term_state=_beginning_with(_TERMS, tensors),
    )


def _beginning_with(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _find_checksum(file: BinaryIO) -> tuple[int, str]:
    """Return where in a safetensors file the checksum stands, and the checksum.

    Raises:
        ValueError: there is none.
    """
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    header = file.read(min(length, _MOST_HEADER_BYTES))
    # Quotes inside the other metadata are escaped: this is found nowhere else.
    key = f'"{_CHECKSUM}":"'.encode()
    begin = header.find(key) + len(key)
    checksum = header[begin : begin + len(_NO_CHECKSUM)]
    if begin < len(key) or len(checksum) < len(_NO_CHECKSUM):
        raise ValueError("it has no checksum")
    return _LENGTH_BYTES + begin, checksum.decode("ascii", "replace")


def _digest(file: BinaryIO, position: int) -> str:
    """Hash a file whose checksum stands at ``position``, with zeros in place of the checksum."""
    file.seek(0)
    digest = hashlib.sha256(file.read(position))
    digest.update(_NO_CHECKSUM.encode("ascii"))
    file.seek(position + len(_NO_CHECKSUM))
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _verify(path: Path, label: str) -> None:
    """Make sure that no byte of the file has changed since it was written.

    Raises:
        CheckpointError: one has.
    """
    with path.open("rb") as file:
        position, checksum = _find_checksum(file)
        if _digest(file, position) != checksum:
            raise _damaged(label, "its checksum does not match: some of its bytes have changed")


def _parse(text: str | None, label: str) -> _Rest:
    if text is None:
        raise _damaged(label, "it describes no painting")
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
    if missing := recipe_module.missing_part(fault, text):
        raise CheckpointError(f"{label} cannot be gone on with: {missing}")
    field = ".".join(str(part) for part in fault["loc"])
    raise _damaged(label, f"{field}: {fault['msg']}")


def _load(file: Any, recipe: Recipe, label: str) -> dict[str, Tensor]:
    """Load the tensors, once their names, shapes and number types are those of a painting."""
    parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    image = tuple(parts["image"].get_shape()) if "image" in parts else ()
    if len(image) != 4 or image[:2] != (1, 3) or 0 in image:
        raise _damaged(label, f"image: expected the shape (1, 3, H, W), got {image}")
    dtype = _DTYPES.get(parts["image"].get_dtype())
    if dtype not in _IMAGE_DTYPES:
        raise _damaged(label, f"image: numbers of type {parts['image'].get_dtype()}")
    layout = _layout(recipe, image, dtype)
    for name, part in parts.items():
        if fault := _fault(name, part, layout):
            raise _damaged(label, f"{name}: {fault}")
    # Copied, so that they lie in memory as they did: rounding may depend on the alignment.
    tensors = {name: file.get_tensor(name).clone() for name in parts}
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise _damaged(label, f"{name}: expected finite numbers, got NaN or infinity")
    return tensors


def _layout(recipe: Recipe, shape: tuple[int, ...], dtype: torch.dtype) -> dict[str, StateTensor]:
    """Describe every tensor that a checkpoint may have, but for those of the terms."""
    optimiser = make_optimiser(recipe.settings).state_layout(shape, dtype)
    image = StateTensor(shape, (dtype,))
    return {"image": image, "best": image} | {
        f"{_OPTIMISER}{name}": tensor for name, tensor in optimiser.items()
    }


def _fault(name: str, part: Any, layout: dict[str, StateTensor]) -> str | None:
    """Say what is wrong with a tensor that has not been loaded yet; None where nothing is."""
    dtype = _DTYPES.get(part.get_dtype())
    if dtype is None:
        return f"numbers of type {part.get_dtype()}"
    if name.startswith(_TERMS):
        return None  # the terms check their own, when the objective is built
    return layout[name].fault(part.get_shape(), dtype) if name in layout else "unknown"


def _is_finite(tensor: Tensor) -> bool:
    # The extremes tell without a second tensor: NaN is both of them.
    return not tensor.numel() or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _compared(recipe: Recipe) -> dict[str, Any]:
    """List what must be the same; of the memory, what was decided then is obeyed."""
    inputs = recipe.inputs
    return {
        "mode": recipe.mode,
        **recipe.settings.model_dump(mode="json"),
        "weights": recipe.weights_sha256,
        **{f"version of {name}": value for name, value in recipe.versions},
        **{f"version of {part.package}": part.version for part in recipe.parts},
        **recipe.decisions.model_dump(include={"precision", "device", "threads"}),
        "content": None if inputs.content is None else inputs.content.sha256,
        "styles": [style.sha256 for style in inputs.styles],
        "regions": [
            [part and part.sha256 for part in (region.mask, region.style, region.style_mask)]
            for region in inputs.regions
        ],
        "labels picked": [
            (region.mask_colour, region.style_mask_colour) for region in inputs.regions
        ],
        "start picture": None if inputs.start is None else inputs.start.sha256,
    }


def _damaged(label: str, reason: object) -> CheckpointError:
    return CheckpointError(
        f"{label} is no checkpoint that can be read ({one_line(reason)}): expected one as impasto "
        "wrote it; start afresh without it"
    )

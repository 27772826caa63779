"""Checkpoints: a running painting in a file. Resuming it gives the same result bit for bit.

A checkpoint is a safetensors file. Its metadata has all other fields as JSON, and the SHA-256 of
the whole file. A checkpoint may come from an untrusted source: it contains only data, and its size,
fields, shapes and dtypes are checked. Each optimiser class says which tensors it has.
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

# Format 1 had no checksum. It is still read, so that a painting can be resumed after an update; its
# tensors and fields are checked like those of format 2. A damaged file of format 2 cannot be taken
# for one of format 1: two changes that match each other would be needed.
Format = Literal[1, 2]
FORMAT: Format = 2
_METADATA, _CHECKSUM = "impasto", "sha256"
_NO_CHECKSUM = "0" * hashlib.sha256().digest_size * 2
_MOST_CHARACTERS = 2**26
_LENGTH_BYTES = 8  # a safetensors file begins with the length of its header
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
# Prefixes of the tensors of the optimiser and of the objective's terms, in the file.
_OPTIMISER, _TERMS = "remembered.", "terms."
_ROW_KEYS = {"scale", "size_px", "step", "time_s", "total"}
# Writing may take at most this share of the time.
_SHARE = 0.015

_Count = Annotated[int, Field(ge=0, le=2**40)]


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to resume a painting, except its pictures and the network.

    Attributes:
        recipe: the recipe, with all decisions so far.
        scale_index: index of the size being painted.
        state: the state of the minimizer at this size.
        rows: the history so far.
        time_s: seconds spent on it.
    """

    recipe: Recipe
    scale_index: int
    state: State
    rows: tuple[dict[str, float], ...]
    time_s: float

    def check(self, recipe: Recipe) -> None:
        """Check that this is a checkpoint of the painting that ``recipe`` describes.

        Raises:
            CheckpointError: it is of another painting; the message lists the differences.
        """
        then, now = _compared(self.recipe), _compared(recipe)
        differing = [
            f"{name} was {then.get(name)!r}, and is {now.get(name)!r}"
            for name in dict.fromkeys([*then, *now])
            if then.get(name) != now.get(name)
        ]
        if differing:
            raise CheckpointError(
                f"the checkpoint is of another painting: {'; '.join(differing)}; use the same "
                "inputs and options as then, or start afresh without it"
            )


class _Metadata(Options):
    """The fields of a checkpoint that are not tensors, stored as JSON.

    ``place`` is the scale index; files on disk have this name.
    """

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
    """Write to ``path``; an earlier checkpoint stays intact until the new one is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    state = checkpoint.state
    fields = _Metadata(
        recipe=checkpoint.recipe,
        place=checkpoint.scale_index,
        steps=state.steps,
        settled=state.settled,
        rescues=state.rescues,
        losses=None if state.best is None else state.best.losses,
        rows=checkpoint.rows,
        time_s=checkpoint.time_s,
    )
    tensors = {name: tensor.detach().cpu() for name, tensor in _tensors(state).items()}
    metadata = {_METADATA: fields.model_dump_json(), _CHECKSUM: _NO_CHECKSUM}
    try:
        partial = partial_of(path)
        with files.writing(path, partial):
            save_file(tensors, partial, metadata=metadata)
            seal(partial)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def seal(path: Path) -> None:
    """Replace the zeros in a checkpoint by its checksum.

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
        CheckpointError: the file is absent, damaged, not a checkpoint or of another format; or it
            needs an optimiser, a statistic or a network that is not installed.
    """
    label = repr(os.fspath(path))
    try:
        if not Path(path).is_file():
            raise CheckpointError(f"no checkpoint {label}: expected a file; check its name")
        with safe_open(path, framework="pt") as file:
            metadata = _parse((file.metadata() or {}).get(_METADATA), label)
            if metadata.format > 1:
                _verify(Path(path), label)
            tensors = _load(file, metadata.recipe, label)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _damaged(label, error) from None
    return Checkpoint(
        recipe=metadata.recipe,
        scale_index=metadata.place,
        state=_state(metadata, tensors),
        rows=metadata.rows,
        time_s=metadata.time_s,
    )


def misfit(reason: object) -> CheckpointError:
    """Return the error of a checkpoint whose parts contradict each other."""
    return CheckpointError(
        f"the checkpoint does not fit the painting that it describes ({one_line(reason)}): "
        "expected one as impasto wrote it; start afresh without it"
    )


def partial_of(path: Path) -> Path:
    """Return the temporary file that replaces the checkpoint at ``path`` when it is complete."""
    return files.beside(path, suffix=".part")


class Keeper:
    """Writes a painting's checkpoint to a file: after the first step, and then at intervals.

    The first checkpoint is early because a process that needs too much memory may be killed soon.

    Args:
        path: the file.
        every_s: the interval in seconds; longer where writing takes long. None for never.
        notify: called with a message if the file cannot be written; painting can continue.
    """

    def __init__(
        self,
        path: Path,
        every_s: float | None = 30.0,
        notify: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.path = path
        self._every_s, self._notify = every_s, notify
        self._due_s = -math.inf

    def load(self) -> Checkpoint | None:
        """Return the checkpoint in the file; None if there is no file.

        Raises:
            CheckpointError: it is damaged.
        """
        return read(self.path) if self.path.exists() else None

    def step(self, make: Callable[[], Checkpoint | None]) -> None:
        """Write the checkpoint that ``make`` returns, if it is due."""
        if self._every_s is None or time.monotonic() < self._due_s:
            return
        began_s = time.monotonic()
        self.save(make)
        ended_s = time.monotonic()
        self._due_s = ended_s + max(self._every_s, (ended_s - began_s) / _SHARE)

    def save(self, make: Callable[[], Checkpoint | None]) -> None:
        """Write the checkpoint that ``make`` returns, unless that is None."""
        checkpoint = None if self._every_s is None else make()
        if checkpoint is None:
            return
        try:
            write(checkpoint, self.path)
        except OSError as error:
            self._notify(
                f"the checkpoint {str(self.path)!r} cannot be written ({error.strerror or error}): "
                "expected a folder with free space; the painting continues without it"
            )

    def remove(self) -> None:
        """Delete the file: the painting is finished."""
        for path in (self.path, partial_of(self.path)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _tensors(state: State) -> dict[str, Tensor]:
    """Return the tensors of ``state`` by name, each only once."""
    tensors = {"image": state.image}
    if state.best is not None and state.best.image is not state.image:
        tensors["best"] = state.best.image
    tensors |= {f"{_OPTIMISER}{name}": part for name, part in state.optimiser_state.items()}
    return tensors | {f"{_TERMS}{name}": part for name, part in state.term_state.items()}


def _state(metadata: _Metadata, tensors: dict[str, Tensor]) -> State:
    image, best = tensors["image"], None
    if metadata.losses is not None:
        best = Iterate(tensors.get("best", image), metadata.losses)
    return State(
        image,
        best,
        metadata.steps,
        metadata.settled,
        metadata.rescues,
        optimiser_state=_with_prefix(_OPTIMISER, tensors),
        term_state=_with_prefix(_TERMS, tensors),
    )


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _find_checksum(file: BinaryIO) -> tuple[int, str]:
    """Return the position of the checksum in a safetensors file, and the checksum.

    Raises:
        ValueError: there is none.
    """
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    header = file.read(min(length, _MOST_HEADER_BYTES))
    # Quotes inside the other metadata are escaped: this matches nowhere else.
    key = f'"{_CHECKSUM}":"'.encode()
    begin = header.find(key) + len(key)
    checksum = header[begin : begin + len(_NO_CHECKSUM)]
    if begin < len(key) or len(checksum) < len(_NO_CHECKSUM):
        raise ValueError("it has no checksum")
    return _LENGTH_BYTES + begin, checksum.decode("ascii", "replace")


def _digest(file: BinaryIO, position: int) -> str:
    """Hash a file whose checksum is at ``position``, with zeros in place of the checksum."""
    file.seek(0)
    digest = hashlib.sha256(file.read(position))
    digest.update(_NO_CHECKSUM.encode("ascii"))
    file.seek(position + len(_NO_CHECKSUM))
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _verify(path: Path, label: str) -> None:
    """Check that no byte of the file has changed since it was written.

    Raises:
        CheckpointError: a byte has changed.
    """
    with path.open("rb") as file:
        position, checksum = _find_checksum(file)
        if _digest(file, position) != checksum:
            raise _damaged(label, "its checksum does not match: some of its bytes have changed")


def _parse(text: str | None, label: str) -> _Metadata:
    if text is None:
        raise _damaged(label, "it describes no painting")
    if len(text) > _MOST_CHARACTERS:
        raise _damaged(label, f"{len(text)} characters, at most {_MOST_CHARACTERS} are read")
    try:
        return _Metadata.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_context=False)[0]
    if fault["loc"] == ("format",) and isinstance(fault["input"], int):
        raise CheckpointError(
            f"{label} is a checkpoint of another format: expected {FORMAT}; continue with "
            "the version of impasto that wrote it, or start afresh without it"
        )
    if missing := recipe_module.missing_part(fault, text):
        raise CheckpointError(f"{label} cannot be resumed: {missing}")
    field = ".".join(str(part) for part in fault["loc"])
    raise _damaged(label, f"{field}: {fault['msg']}")


def _load(file: Any, recipe: Recipe, label: str) -> dict[str, Tensor]:
    """Load the tensors, after a check of their names, shapes and dtypes."""
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
    # Copied, so that their alignment in memory is as before: rounding may depend on it.
    tensors = {name: file.get_tensor(name).clone() for name in parts}
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise _damaged(label, f"{name}: expected finite numbers, got NaN or infinity")
    return tensors


def _layout(recipe: Recipe, shape: tuple[int, ...], dtype: torch.dtype) -> dict[str, StateTensor]:
    """Return the layout of each tensor that a checkpoint may have, except those of the terms."""
    optimiser = make_optimiser(recipe.settings).state_layout(shape, dtype)
    image = StateTensor(shape, (dtype,))
    return {"image": image, "best": image} | {
        f"{_OPTIMISER}{name}": tensor for name, tensor in optimiser.items()
    }


def _fault(name: str, part: Any, layout: dict[str, StateTensor]) -> str | None:
    """Return what is wrong with a tensor that is not loaded yet; None if it is valid."""
    dtype = _DTYPES.get(part.get_dtype())
    if dtype is None:
        return f"numbers of type {part.get_dtype()}"
    if name.startswith(_TERMS):
        return None  # the terms check their own, when the objective is built
    return layout[name].fault(part.get_shape(), dtype) if name in layout else "unknown"


def _is_finite(tensor: Tensor) -> bool:
    # Minimum and maximum need no second tensor, and both are NaN if any element is.
    return not tensor.numel() or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _compared(recipe: Recipe) -> dict[str, Any]:
    """Return everything that must be equal; the memory budget may differ."""
    inputs = recipe.inputs
    return {
        "mode": recipe.mode,
        **recipe.settings.model_dump(mode="json"),
        "weights": recipe.weights_sha256,
        **{f"version of {name}": value for name, value in recipe.versions},
        **{f"version of {part.package}": part.version for part in recipe.parts},
        "terms": [term.model_dump() for term in recipe.terms],
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
        f"{label} is not a readable checkpoint ({one_line(reason)}): expected one as impasto "
        "wrote it; start afresh without it"
    )

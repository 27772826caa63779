"""The folder beside a film in which its painted frames wait, so that nothing is lost.

    OUT.parts/journal.jsonl        what the film is painted from, then one line for each frame
    OUT.parts/000123.png           a painted frame, lossless
    OUT.parts/state.safetensors    what the next frame needs; it may be some frames behind

After a kill, painting goes on from the state. The frames after it are painted again, to the same
bits. The film is encoded from the frames when all are there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from impasto import files, images
from impasto.errors import CheckpointError, OutputError, SettingsError, one_line
from impasto.film.coherence import PaintedFrame
from impasto.film.shot import ShotLook
from impasto.images.palette import ColourMap
from impasto.job import recipe as recipe_module
from impasto.job.recipe import Decisions

_FORMAT = 1
_JOURNAL, _STATE = "journal.jsonl", "state.safetensors"
# The state is written at most so often; writing it again costs less than these frames.
_STATE_EVERY_S = 5.0


@dataclass(frozen=True)
class FilmState:
    """What the next frame of a film needs.

    Attributes:
        look: of its shot.
        earlier: the frames that guide the next one, the latest first.
    """

    look: ShotLook
    earlier: tuple[PaintedFrame, ...]

    @property
    def done(self) -> int:
        """Index of the latest frame."""
        return self.earlier[0].index


class Parts:
    """The painted frames of a film on the disk.

    Attributes:
        folder: where they are.
        done: how many frames there are.
        bits: for each sample of a frame.

    Args:
        folder: beside the film; it is made when the first frame is written.
        identity: all that the film depends on, as JSON.
        bits: for each sample of a frame, 8 or 16.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], bits: int = 8) -> None:
        self.folder, self._identity, self.bits = folder, dict(identity), bits
        self.done = 0
        self._saved_s = time.monotonic()

    @property
    def exists(self) -> bool:
        """Whether there is anything from an earlier run."""
        return (self.folder / _JOURNAL).exists()

    def begin(self) -> None:
        """Make the folder and its journal.

        Raises:
            SettingsError: it has frames already.
            OutputError: it cannot be written.
        """
        if self.exists or (self.folder.exists() and any(self.folder.iterdir())):
            raise SettingsError(
                f"{str(self.folder)!r} has frames of an earlier film: expected none; add --resume "
                "to go on with it, or remove the folder"
            )
        try:
            self.folder.mkdir(exist_ok=True)
            self._write_journal([])
        except OSError as error:
            raise self._unwritable(error) from None

    def resume(self) -> FilmState | None:
        """Return the state to go on from; None if no frame is usable yet.

        Raises:
            CheckpointError: the folder belongs to another film, or is damaged.
        """
        lines = self._read_journal()
        if lines[0] != self._identity:
            raise CheckpointError(
                f"{str(self.folder)!r} belongs to another film: {self._difference(lines[0])}; "
                "take the same input and options, or remove the folder"
            )
        state = self._load_state()
        self.done = 0 if state is None else state.done + 1
        frames = lines[1 : 1 + self.done]
        if len(frames) < self.done:
            raise self._damaged(f"frame {len(frames)} is not in the journal")
        for index, line in enumerate(frames):
            path = self.path(index)
            try:
                digest = hashlib.sha256(files.read_regular(path)).hexdigest()
            except OSError as error:
                raise self._damaged(f"{path.name}: {error.strerror or error}") from None
            if digest != line.get("sha256"):
                raise self._damaged(f"{path.name} has changed")
        self._write_journal(frames)
        return state

    def path(self, index: int) -> Path:
        """Return the file of a frame."""
        return self.folder / f"{index:06d}.png"

    def add(self, pixels: Tensor, steps: int) -> None:
        """Write the next frame.

        Args:
            pixels: (1, 3, H, W) in [0, 1].
            steps: iterations that it took, for the journal.

        Raises:
            OutputError: it cannot be written.
        """
        picture = images.to_image(pixels) if self.bits == 8 else images.to_samples(pixels)
        data = images.encode_image(picture, "frame.png")
        line = {"frame": self.done, "sha256": hashlib.sha256(data).hexdigest(), "steps": steps}
        try:
            files.replace(self.path(self.done), data)
            with (self.folder / _JOURNAL).open("a") as journal:
                journal.write(json.dumps(line) + "\n")
        except OSError as error:
            raise self._unwritable(error) from None
        self.done += 1

    def load(self, index: int) -> Tensor:
        """Return a frame's pixels, (1, 3, H, W) in [0, 1]."""
        return images.load(self.path(index)).pixels

    def save_state(self, state: FilmState, *, now: bool = False) -> None:
        """Write the state, unless that was done a moment ago.

        Args:
            state: after the latest frame that was added.
            now: write it in any case.

        Raises:
            OutputError: it cannot be written.
        """
        if not now and time.monotonic() - self._saved_s < _STATE_EVERY_S:
            return
        look = state.look
        tensors = {f"map.{part}": one.shifts for part, one in look.maps.items()}
        for frame in state.earlier:
            tensors[f"canvas.{frame.index}"] = frame.canvas.detach().cpu().contiguous()
            tensors[f"pixels.{frame.index}"] = frame.pixels.contiguous()
            tensors[f"firmness.{frame.index}"] = frame.firmness.detach().cpu().contiguous()
        described = {
            "decisions": look.decisions.model_dump(mode="json"),
            "temporal_weight": look.temporal_weight,
            "recipe": look.recipe.text(),
            "earlier": [frame.index for frame in state.earlier],
        }
        # No storage may be shared between two tensors of a file.
        data = save(
            {name: tensor.clone() for name, tensor in tensors.items()},
            metadata={"film": json.dumps(described)},
        )
        try:
            files.replace(self.folder / _STATE, data)
        except OSError as error:
            raise self._unwritable(error) from None
        self._saved_s = time.monotonic()

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _load_state(self) -> FilmState | None:
        path = self.folder / _STATE
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                described = json.loads(file.metadata()["film"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            look = ShotLook(
                Decisions.model_validate_json(json.dumps(described["decisions"])),
                float(described["temporal_weight"]),
                {
                    int(name.partition(".")[2]): ColourMap(tensor)
                    for name, tensor in tensors.items()
                    if name.startswith("map.")
                },
                recipe_module.parse(described["recipe"], repr(str(path))),
            )
            earlier = tuple(
                PaintedFrame(
                    index,
                    *(tensors[f"{name}.{index}"] for name in ("pixels", "canvas", "firmness")),
                )
                for index in described["earlier"]
            )
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise self._damaged(one_line(error)) from None
        if not earlier or not all(
            bool(torch.isfinite(one.canvas).all()) and one.canvas.dim() == one.pixels.dim() == 4
            for one in earlier
        ):
            raise self._damaged("the state is incomplete")
        return FilmState(look, earlier)

    def _write_journal(self, frames: list[dict[str, Any]]) -> None:
        lines = [{"format": _FORMAT, "film": self._identity}, *frames]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        files.replace(self.folder / _JOURNAL, text.encode())

    def _read_journal(self) -> list[Any]:
        """Return the identity, and a line for each frame; a torn last line is left out."""
        try:
            text = files.read_regular(self.folder / _JOURNAL).decode()
            whole = text[: text.rfind("\n") + 1].splitlines()
            first, *frames = [json.loads(line) for line in whole]
            if first["format"] != _FORMAT:
                raise ValueError(f"expected format {_FORMAT}, got {first['format']}")
            return [first["film"], *frames]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"{_JOURNAL}: {one_line(error)}") from None

    def _difference(self, other: Any) -> str:
        """Name what differs between this film and another one."""
        if not isinstance(other, dict):
            return "expected its description, got something else"
        for name, value in self._identity.items():
            if other.get(name) == value:
                continue
            if isinstance(value, dict) and isinstance(other.get(name), dict):
                for key in value:
                    if other[name].get(key) != value[key]:
                        return one_line(f"{key}: expected {other[name].get(key)}, got {value[key]}")
            return one_line(f"{name}: expected {other.get(name)}, got {value}")
        return "it has more options"

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"{str(self.folder)!r} cannot be resumed ({reason}): expected the frames as they were "
            "painted; remove the folder to begin anew"
        )

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"{str(self.folder)!r} cannot be written ({error.strerror or error}); {self.done} "
            "painted frames are kept there: make room, then go on with --resume"
        )

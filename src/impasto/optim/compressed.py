"""Long vectors of an optimiser, stored in a narrower number type than it computes in.

A picture of 8192 x 8192 pixels is a vector of 0.8 GB in float32, and L-BFGS stores many.
Its arithmetic never converts a whole vector to the wide dtype: it converts one piece at a time and
uses it while it is in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

# Entries that are converted at a time. On a CPU these are some MB, the size of caches; on a GPU so
# many that the time to launch kernels does not matter.
_PIECE, _PIECE_ON_DEVICE = 2**20, 2**26
# The largest entry of a vector in float16 is scaled to this: half of the dtype's maximum.
_TOP = 2.0**15


class CompressedVector:
    """A vector stored as ``unit`` times entries of some number type.

    float16 has eleven bits and bfloat16 eight. The unit makes up for the smaller range of float16:
    entries down to 2^-39 of the largest are not lost.
    """

    def __init__(self, values: Tensor, dtype: torch.dtype) -> None:
        """Store a copy of ``values``, (n,), in ``dtype``."""
        self._wide = values.dtype
        self._entries = torch.empty_like(values, dtype=dtype)
        self._unit = _unit(_largest(values), dtype)
        for entries, piece in self._pieces(values):
            entries.copy_(piece / self._unit if self._is_scaled else piece)

    def parts(self, name: str) -> dict[str, Tensor]:
        """Return the entries and the unit, under names that begin with ``name``."""
        return {name: self._entries, f"{name}.unit": self._unit}

    @classmethod
    def of_parts(cls, state: Mapping[str, Tensor], name: str) -> CompressedVector:
        """Build a vector from what :meth:`parts` returned."""
        vector = cls.__new__(cls)
        vector._entries, vector._unit = state[name], state[f"{name}.unit"]
        vector._wide = vector._unit.dtype
        return vector

    def dot(self, values: Tensor | CompressedVector) -> Tensor:
        """Return the inner product with ``values``, a scalar of the wide type."""
        other = values._entries if isinstance(values, CompressedVector) else values
        parts = [
            entries.to(self._wide) @ piece.to(self._wide) for entries, piece in self._pieces(other)
        ]
        product = parts[0] if len(parts) == 1 else torch.stack(parts).sum()
        if isinstance(values, CompressedVector) and values._is_scaled:
            product = product * values._unit
        return product * self._unit if self._is_scaled else product

    def add_to(self, values: Tensor, factor: Tensor | None = None, *, sign: int = 1) -> None:
        """Add ``sign`` times ``factor``, or 1, times this vector to ``values``, in place."""
        scale = self._unit if factor is None else factor
        if self._is_scaled and factor is not None:
            scale = self._unit * factor
        for entries, piece in self._pieces(values):
            piece.addcmul_(entries.to(self._wide), scale, value=sign)

    def become_change_to(self, values: Tensor) -> None:
        """In place: self = values - self."""
        before = self._unit
        if self._is_scaled:
            self._unit = before + _unit(_largest(values), self._entries.dtype)
        for entries, piece in self._pieces(values):
            former = entries.to(self._wide) * before if self._is_scaled else entries
            change = piece - former
            entries.copy_(change / self._unit if self._is_scaled else change)

    @property
    def dtype(self) -> torch.dtype:
        """The number type of its entries in memory."""
        return self._entries.dtype

    @property
    def wide_dtype(self) -> torch.dtype:
        """The number type that it is computed with."""
        return self._wide

    @property
    def device(self) -> torch.device:
        """The device of its entries."""
        return self._entries.device

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def __getitem__(self, part: slice) -> Tensor:
        """Return a part of the vector, in the wide type."""
        wide = self._entries[part].to(self._wide)
        return wide * self._unit if self._is_scaled else wide

    @property
    def _is_scaled(self) -> bool:
        return self._entries.dtype == torch.float16

    def _pieces(self, values: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        count = entries_at_once(values.device)
        if len(values) <= count:
            return ((self._entries, values),)
        return zip(torch.split(self._entries, count), torch.split(values, count), strict=True)


def entries_at_once(device: torch.device) -> int:
    """Return the number of entries that are converted at a time on ``device``."""
    return _PIECE if device.type == "cpu" else _PIECE_ON_DEVICE


def _largest(values: Tensor) -> Tensor:
    low, high = values.aminmax()
    return torch.maximum(-low, high)


def _unit(largest: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype != torch.float16:
        return torch.ones_like(largest)
    return largest.clamp_min(1e-30) / _TOP

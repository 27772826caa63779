"""A cache for several paintings in one process: networks, style statistics, gradient norms."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor

Value = TypeVar("Value")

# Entries of each kind: a network takes 120 MB and more, a style's statistics at one size 2 MB.
_MOST = {"network": 2, "weights_sha256": 8, "style": 64, "calibration": 64}


class Cache:
    """A cache of the latest values of each kind; the key is everything a value depends on.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._entries: dict[str, OrderedDict[Hashable, Any]] = {
            kind: OrderedDict() for kind in _MOST
        }

    def get_or_compute(self, kind: str, key: Sequence[Any], compute: Callable[[], Value]) -> Value:
        """Return the cached value for ``key``, or call ``compute`` and cache its result.

        Args:
            kind: ``network``, ``weights_sha256``, ``style`` or ``calibration``.
            key: everything that the value depends on: numbers, strings, tensors (by value),
                options, and sequences and mappings of these. Other objects compare by identity.
            compute: computes the value; exceptions are not cached.
        """
        entries, hashed = self._entries[kind], _hashable(key)
        if hashed in entries:
            entries.move_to_end(hashed)
        else:
            entries[hashed] = compute()
            if len(entries) > _MOST[kind]:
                entries.popitem(last=False)
        value: Value = entries[hashed]
        return value


def _hashable(value: Any) -> Hashable:
    """Turn a value into a key that equals another's only if the values are equal."""
    if isinstance(value, Tensor):
        return (tuple(value.shape), value.dtype, value.device, _digest(value))
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, Mapping):
        return tuple((name, _hashable(part)) for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return tuple(_hashable(part) for part in value)
    return value  # type: ignore[no-any-return]


def _digest(tensor: Tensor) -> bytes:
    values = tensor.detach().contiguous().cpu().flatten().view(torch.uint8)
    return hashlib.sha256(values.numpy().data).digest()

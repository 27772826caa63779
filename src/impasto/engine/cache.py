"""What one painting leaves for the next in the same process: networks, and styles' statistics."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor

Value = TypeVar("Value")

# How many of a kind are kept: a network is 120 MB and more, a style's statistics at one size 2 MB.
_MOST = {"network": 2, "weights_sha256": 8, "style": 64, "balance": 64}


class Cache:
    """Remembers the latest of each kind, by everything that they were made from.

    For one thread.
    """

    def __init__(self) -> None:
        self._kept: dict[str, OrderedDict[Hashable, Any]] = {kind: OrderedDict() for kind in _MOST}

    def get_or_compute(
        self, kind: str, made_from: Sequence[Any], make: Callable[[], Value]
    ) -> Value:
        """Return what ``make`` returned for an equal ``made_from``, or call it now.

        Args:
            kind: ``network``, ``weights_sha256``, ``style`` or ``balance``.
            made_from: all that decides the outcome: numbers, words, tensors (by their values),
                options, and sequences and mappings of these. Anything else counts as itself.
            make: makes it; what it raises is not remembered.
        """
        kept, key = self._kept[kind], _key(made_from)
        if key in kept:
            kept.move_to_end(key)
        else:
            kept[key] = make()
            if len(kept) > _MOST[kind]:
                kept.popitem(last=False)
        found: Value = kept[key]
        return found


def _key(value: Any) -> Hashable:
    """Turn a value into a key that equals another's only if the values are equal."""
    if isinstance(value, Tensor):
        return (tuple(value.shape), value.dtype, value.device, _digest(value))
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, Mapping):
        return tuple((name, _key(part)) for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return tuple(_key(part) for part in value)
    return value  # type: ignore[no-any-return]


def _digest(tensor: Tensor) -> bytes:
    values = tensor.detach().contiguous().cpu().flatten().view(torch.uint8)
    return hashlib.sha256(values.numpy().data).digest()

"""Pickles taken as data: what one would do is known from its instructions, without doing it.

torch reads a state dict without running code from it (``weights_only``), but what it allows can
still fill the memory (``bytearray`` of a given length) or never end (the hash of a tuple of
tuples takes time exponential in their depth). So the instructions are followed first.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_MAX_PICKLE_BYTES = 2**22
_MOST_OPERATIONS = 2**20
# A tensor's tuples hold its storage, its shape and its strides.
_MOST_IN_TUPLE = 1000
# What tensors in a state dict are made of, quantised and sparse ones too: they are refused by name.
_TENSORS = re.compile(
    r"collections OrderedDict"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|sparse_tensor|qtensor)"
    r"|torch\.serialization _get_layout"
    r"|torch(\.storage)? \w+Storage"
    r"|torch (device|Size|per_tensor_affine|per_channel_affine|b?float\d+|u?int\d+|bool)"
)
# The three names that pickled arrays of numpy need.
_ARRAYS = re.compile(r"numpy\.core\.multiarray _reconstruct|numpy (ndarray|dtype)")
# Names from the stack, instances, extensions and buffers from elsewhere: no state dict has them.
_FOREIGN = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")


def check_file(path: Path) -> None:
    """Make sure that a file which torch saved holds tensors, and is no larger than it looks.

    Args:
        path: a zip archive, or five pickles and what they refer to, as older releases wrote.

    Raises:
        pickle.UnpicklingError: it would run code, fill the memory, or never end.
        ValueError: not what torch writes.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in ("magic number", "version", "system", "state dict", "keys of storages"):
                check(file)
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) != len(members):
            raise ValueError("two parts of it have one name")
        # torch packs nothing: what is packed may be a bomb.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("its parts are packed: torch stores them as they are")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its parts are longer than the file")
        for member in members:
            if member.filename.endswith(".pkl"):
                if member.file_size > _MAX_PICKLE_BYTES:
                    raise ValueError(f"its pickle has {member.file_size} bytes")
                check(io.BytesIO(archive.read(member)))


def check(file: BinaryIO, allowed: re.Pattern[str] = _TENSORS) -> None:
    """Follow the instructions of the pickle that ``file`` stands at, to its end.

    Args:
        file: open for reading.
        allowed: what it may ask for, each as module, space and name.

    Raises:
        pickle.UnpicklingError: it asks for anything else, or its tuples have no end.
        ValueError: no pickle, or one too long.
    """
    # The weight of each value: how many values it holds, if it is a tuple.
    stack: list[Any] = []
    memo: dict[int, int] = {}
    mark = pickletools.markobject
    operations: Iterator[tuple[Any, Any, Any]] = pickletools.genops(file)
    for count, (operation, argument, place) in enumerate(operations):
        if count > _MOST_OPERATIONS:
            raise ValueError(f"its pickle has more than {_MOST_OPERATIONS} instructions")
        name = operation.name
        if name in _FOREIGN or (name == "GLOBAL" and not allowed.fullmatch(str(argument))):
            raise pickle.UnpicklingError(f"it asks for {argument or name}")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            key = len(memo) if name == "MEMOIZE" else int(argument)
            # Python keeps a table up to the largest key.
            if key > place:
                raise pickle.UnpicklingError(f"it numbers one of its values {key}")
            memo[key] = _top(stack)
            continue
        taken = _take(stack, operation.stack_before)
        if name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(int(argument), 1))
            continue
        weight = 1 + sum(taken) if name.startswith("TUPLE") else 1
        if weight > _MOST_IN_TUPLE:
            raise pickle.UnpicklingError("its tuples hold tuples without end")
        stack += [mark if kind is mark else weight for kind in operation.stack_after]


def _take(stack: list[Any], kinds: list[Any]) -> list[int]:
    """Take off the stack what an instruction does."""
    if pickletools.markobject not in kinds:
        return [_pop(stack) for _ in kinds]
    taken = []
    while stack and stack[-1] is not pickletools.markobject:
        taken.append(stack.pop())
    if not stack:
        raise ValueError("its pickle takes what is not there")
    stack.pop()
    # Below the mark, a list or a dict waits for what is above it.
    below = kinds.index(pickletools.markobject)
    return taken + [_pop(stack) for _ in range(below)]


def _pop(stack: list[Any]) -> int:
    value = _top(stack)
    stack.pop()
    return value


def _top(stack: list[Any]) -> int:
    if not stack or stack[-1] is pickletools.markobject:
        raise ValueError("its pickle takes what is not there")
    return int(stack[-1])


def load_arrays(pickled: bytes) -> Any:
    """Load numpy arrays in plain containers.

    Raises:
        Exception: of any kind, where it is anything else; none of its code has run.
    """
    check(io.BytesIO(pickled), _ARRAYS)
    return _ArraysOnly(io.BytesIO(pickled)).load()


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled numpy arrays in plain containers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        allowed = {
            # numpy 2 moved this function; every array knows where it lives.
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        try:
            return allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

"""Pickles read as data: their instructions are checked without being executed.

torch reads a state dict without running code from it (``weights_only``), but what it allows can
still fill the memory (a ``bytearray`` of any length) or never end (the hash of nested tuples takes
time exponential in their depth). So the instructions are scanned first.
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
# The names in a state dict. Quantised and sparse tensors pass: the reader refuses them by name.
_TENSORS = re.compile(
    r"collections OrderedDict"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|sparse_tensor|qtensor)"
    r"|torch\.serialization _get_layout"
    r"|torch(\.storage)? \w+Storage"
    r"|torch (device|Size|per_tensor_affine|per_channel_affine|b?float\d+|u?int\d+|bool)"
)
# The three names that pickled arrays of numpy need.
_ARRAYS = re.compile(r"numpy\.core\.multiarray _reconstruct|numpy (ndarray|dtype)")
# Instructions that no state dict has: names from the stack, instances, extensions.
_FOREIGN = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")


def check_file(path: Path) -> None:
    """Check that a file from ``torch.save`` has only tensors, and is no larger than it looks.

    Args:
        path: a zip archive; or five pickles and their storages, the format of older releases.

    Raises:
        pickle.UnpicklingError: it would execute code, fill the memory, or never end.
        ValueError: torch did not write this file.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in ("magic number", "version", "system", "state dict", "keys of storages"):
                check(file)
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) != len(members):
            raise ValueError("two of its parts have the same name")
        # torch does not compress: a compressed part may be a decompression bomb.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError(
                "its parts are compressed: expected them uncompressed, as torch stores them"
            )
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its parts are longer than the file")
        for member in members:
            if member.filename.endswith(".pkl"):
                if member.file_size > _MAX_PICKLE_BYTES:
                    raise ValueError(f"its pickle has {member.file_size} bytes")
                check(io.BytesIO(archive.read(member)))


def check(file: BinaryIO, allowed: re.Pattern[str] = _TENSORS) -> None:
    """Scan the instructions of the pickle at the position of ``file``, to its end.

    Args:
        file: open for reading.
        allowed: the names that it may import, each as module, space and name.

    Raises:
        pickle.UnpicklingError: it imports another name, or its tuples are nested too deeply.
        ValueError: it is not a pickle, or too long.
    """
    # The weight of each value: the number of values in it, if it is a tuple.
    stack: list[Any] = []
    memo: dict[int, int] = {}
    mark = pickletools.markobject
    operations: Iterator[tuple[Any, Any, Any]] = pickletools.genops(file)
    for count, (operation, argument, position) in enumerate(operations):
        if count > _MOST_OPERATIONS:
            raise ValueError(f"its pickle has more than {_MOST_OPERATIONS} instructions")
        name = operation.name
        if name in _FOREIGN or (name == "GLOBAL" and not allowed.fullmatch(str(argument))):
            raise pickle.UnpicklingError(f"it asks for {argument or name}")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            key = len(memo) if name == "MEMOIZE" else int(argument)
            # Python allocates a table up to the largest key.
            if key > position:
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
    """Pop the operands of an instruction."""
    if pickletools.markobject not in kinds:
        return [_pop(stack) for _ in kinds]
    taken = []
    while stack and stack[-1] is not pickletools.markobject:
        taken.append(stack.pop())
    if not stack:
        raise ValueError("its pickle takes what is not there")
    stack.pop()
    # Below the mark is the list or the dict that takes the values above it.
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
        Exception: of any kind, if it is anything else; none of its code is executed.
    """
    check(io.BytesIO(pickled), _ARRAYS)
    return _ArraysOnly(io.BytesIO(pickled)).load()


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled numpy arrays in plain containers, and nothing that could execute code."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        allowed = {
            # numpy 2 moved this function; __reduce__ returns it with any release.
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        try:
            return allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

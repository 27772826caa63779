"""torch's global settings: set during a computation, and restored afterwards.

The caller may have changed the default dtype, the gradient mode, autocast or the number of threads.
These must not change a picture, and the settings of a painting must not remain in the caller's
process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch

Value = TypeVar("Value")

_PRECISION = "highest"


@contextmanager
def isolated(threads: int | None = None) -> Iterator[None]:
    """Use torch's default settings in the block, and restore the caller's afterwards.

    Args:
        threads: CPU threads to compute with; by default the caller's number.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device_type in _autocast_types():
            stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device("cpu"))
        _set(stack, torch.get_default_dtype, torch.set_default_dtype, torch.float32)
        if threads is not None:
            _set(stack, torch.get_num_threads, torch.set_num_threads, threads)
        _set_determinism(stack)
        _set(
            stack,
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
            _PRECISION,
        )
        if torch.cuda.is_available():
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=False, allow_tf32=True
                )
            )
        yield


def _autocast_types() -> list[str]:
    """List the device types for which the caller has enabled autocast."""
    types = ["cpu"]
    if torch.cuda.is_available():
        types.append("cuda")
    if torch.backends.mps.is_available():
        types.append("mps")
    return [name for name in types if torch.is_autocast_enabled(name)]


def _set(
    stack: ExitStack, read: Callable[[], Value], write: Callable[[Value], object], value: Value
) -> None:
    """Change a setting, and let the stack restore it."""
    before = read()
    if before != value:
        stack.callback(write, before)
        write(value)


def _set_determinism(stack: ExitStack) -> None:
    if torch.are_deterministic_algorithms_enabled():
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        stack.callback(torch.use_deterministic_algorithms, True, warn_only=warn_only)
        torch.use_deterministic_algorithms(False)

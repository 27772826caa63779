"""torch's global settings: set during a computation, and restored afterwards.

The caller may have changed the default dtype, the gradient mode, autocast or the number of threads.
These must not change a picture, and the settings of a painting must not remain in the caller's
process.

Most of these settings belong to the process, not to a thread. So one thread computes at a time:
paintings in several threads take turns, step by step.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch

Value = TypeVar("Value")

_PRECISION = "highest"


class _Turns:
    """A lock that threads get in the order in which they asked; one thread can get it repeatedly.

    Python's own lock would often return to the thread that has just released it, and a second
    painting would not make a step until the first has ended.
    """

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        own, turn = threading.get_ident(), threading.Lock()
        with self._state:
            if self._owner in (None, own):
                self._owner, self._depth = own, self._depth + 1
                return
            turn.acquire()
            self._waiting.append(turn)
        try:
            turn.acquire()
        except BaseException:  # a signal came while this thread waited
            with self._state:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                else:
                    self._pass_on()
            raise
        self._owner, self._depth = own, 1

    def __exit__(self, *raised: object) -> None:
        with self._state:
            self._depth -= 1
            if not self._depth:
                self._pass_on()

    def _pass_on(self) -> None:
        # While a turn is passed on, nobody else may take it.
        self._owner = -1 if self._waiting else None
        if self._waiting:
            self._waiting.popleft().release()

    def forget(self) -> None:
        """In a forked child, no other thread is left that could release the lock."""
        inside = self._owner == threading.get_ident()
        self._state, self._waiting = threading.Lock(), deque()
        if not inside:
            self._owner, self._depth = None, 0


_TURNS = _Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.forget)


@contextmanager
def isolated(threads: int | None = None) -> Iterator[None]:
    """Use torch's default settings in the block, and restore the caller's afterwards.

    Other threads wait at their own block until this one has ended.

    Args:
        threads: CPU threads to compute with; by default the caller's number.
    """
    with ExitStack() as stack:
        stack.enter_context(_TURNS)
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

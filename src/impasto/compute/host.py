"""Process-wide settings for impasto's own processes: malloc, threads, garbage collection.

Called by the command, before and after torch is loaded; never by ``import impasto``.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

from impasto.compute import cgroups

# glibc's names for what mallopt sets (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def make_own() -> None:
    """Keep freed memory, and compute on physical cores.

    Each step frees gigabytes and allocates them again. By default glibc returns large blocks to the
    kernel, which clears each page before the next use: at 1024 pixels that costs a quarter of the
    step.
    """
    keep_pages()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # torchrun sets one thread for each of several processes by default.
    is_chosen = "OMP_NUM_THREADS" in os.environ and not (
        processes > 1 and os.environ["OMP_NUM_THREADS"] == "1"
    )
    if not is_chosen and (cores := physical_cores()):
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores // processes))


def freeze_modules() -> None:
    """Exclude all existing objects, such as modules, from garbage collection.

    Call it after all imports. At 128 pixels scanning these objects took 5 % of the step.
    """
    gc.freeze()


def keep_pages() -> bool:
    """Configure glibc's malloc never to return memory; return False without glibc."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Both are needed: with one alone, malloc still returns memory.
    return all([mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, _NEVER)])


def physical_cores(root: Path = Path("/")) -> int | None:
    """Count the physical cores that this process may use; None if the system does not report them.

    Two threads on one core share its multipliers. A container may allow fewer cores than
    there are, as a set or as a share of time: more threads would wait for one another.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            siblings.add(path.read_text(encoding="ascii").strip())
        except OSError:
            return None
    quota = cgroups.cpu_quota(root)
    allowed = len(siblings) if quota is None else round(quota)
    return max(1, min(len(siblings), allowed))


def default_threads() -> int | None:
    """Return how many threads to compute with: the user's OMP_NUM_THREADS, or one for each core.

    None where neither is known.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(chosen) if chosen.isdecimal() and int(chosen) else physical_cores()


def free_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that the system and the control groups leave; None if neither says.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":") for line in lines)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    left = cgroups.memory_left_bytes(root)
    return available if left is None else min(available, left)

"""The limits that Linux control groups set for this process: memory and processor time.

A container, a Slurm job and a systemd service are control groups, and groups are nested. A limit
at any level applies to everything below it. So each level is read, from the process's own group up
to the root of the mount. Both versions of the interface are read (kernel documentation,
``cgroup-v2.rst`` and ``cgroup-v1/memory.rst``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# Where the hierarchies are mounted if /proc/self/mountinfo does not say.
_USUAL_MOUNTS = {
    "": ("sys/fs/cgroup", "sys/fs/cgroup/unified"),
    "memory": ("sys/fs/cgroup/memory",),
    "cpu": ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"),
}


@dataclass(frozen=True)
class _Mount:
    """A mounted hierarchy: its folder, and the group that this folder shows."""

    folder: Path
    group: PurePosixPath


def memory_left_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that the groups' limits leave; None if there is no limit.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    left = [
        *_memory_left(root, "", ("memory.max", "memory.high"), "memory.current", "inactive_file"),
        *_memory_left(
            root,
            "memory",
            ("memory.limit_in_bytes",),
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ]
    return min(left, default=None)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the number of processors whose time the groups may use; None if there is no limit.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    quotas = []
    for folder in _levels(root, ""):
        with suppress(OSError, ValueError, ZeroDivisionError):
            allowed, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            quotas.append(int(allowed) / int(period))
    for folder in _levels(root, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            allowed_us = _number(folder / "cpu.cfs_quota_us")
            if allowed_us > 0:  # -1 is no limit
                quotas.append(allowed_us / _number(folder / "cpu.cfs_period_us"))
    return min(quotas, default=None)


def _memory_left(
    root: Path, controller: str, limits: tuple[str, ...], usage: str, cache: str
) -> Iterator[int]:
    """Yield the memory that each limit at each level leaves."""
    for folder in _levels(root, controller):
        for limit in limits:
            # A level without this limit has no such file, or the word "max" in it.
            with suppress(OSError, ValueError):
                allowed, used = _number(folder / limit), _number(folder / usage)
                yield max(0, allowed - used + _reclaimable(folder, cache))


def _reclaimable(folder: Path, name: str) -> int:
    """Return the cached file pages: counted as used, but freed when memory is short."""
    with suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        return int(dict(line.split() for line in lines).get(name, 0))
    return 0


def _levels(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and of all groups around it, innermost first.

    Args:
        root: where ``proc`` and ``sys`` are.
        controller: of version 1; "" for version 2.
    """
    own = _own_group(root, controller)
    for mount in _mounts(root, controller):
        # If the group is outside the mount, such as one of the host, only the mount itself is read.
        inside = PurePosixPath()
        if own is not None and own.is_relative_to(mount.group):
            inside = own.relative_to(mount.group)
        for level in (inside, *inside.parents):
            yield mount.folder / level


def _own_group(root: Path, controller: str) -> PurePosixPath | None:
    """Return the path of this process's group in a hierarchy; None if it is in none."""
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path)
        if controller in controllers.split(",") and ".." not in group.parts:
            return group
    return None


def _mounts(root: Path, controller: str) -> list[_Mount]:
    """List the mounts of a hierarchy."""
    mounts = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = (*after.split(" ", 2), "", "")[:3]
        fields = before.split(" ")
        if kind == ("cgroup" if controller else "cgroup2") and len(fields) > 4:
            if controller and controller not in options.split(","):
                continue
            mounts.append(_Mount(root / fields[4].lstrip("/"), PurePosixPath(fields[3])))
    return mounts or [
        _Mount(root / folder, PurePosixPath("/")) for folder in _USUAL_MOUNTS[controller]
    ]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))

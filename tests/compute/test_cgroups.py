"""Limits of control groups, on machines that are a folder: nested, of both versions."""

import os

import pytest

from impasto.compute import cgroups, host

V2_MOUNT = "30 23 0:26 {group} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNTS = """\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 {group} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"""


def tell(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n", encoding="ascii")


def v2(root, own, *, group="/"):
    tell(root, "proc/self/cgroup", f"0::{own}")
    tell(root, "proc/self/mountinfo", V2_MOUNT.format(group=group))


def v1(root, own, *, group="/"):
    tell(root, "proc/self/cgroup", f"4:memory:{own}\n3:cpu,cpuacct:{own}\n0::/")
    tell(root, "proc/self/mountinfo", V1_MOUNTS.format(group=group))


def limit_v2(root, group, limit, used, cached=0, name="memory.max"):
    tell(root, f"sys/fs/cgroup{group}/{name}", limit)
    tell(root, f"sys/fs/cgroup{group}/memory.current", used)
    tell(root, f"sys/fs/cgroup{group}/memory.stat", f"anon 1\ninactive_file {cached}")


def limit_v1(root, group, limit, used, cached=0):
    folder = f"sys/fs/cgroup/memory{group}"
    tell(root, f"{folder}/memory.limit_in_bytes", limit)
    tell(root, f"{folder}/memory.usage_in_bytes", used)
    tell(root, f"{folder}/memory.stat", f"total_rss 1\ntotal_inactive_file {cached}")


SLURM = "/system.slice/slurmstepd.scope/job_7/step_0"


@pytest.mark.parametrize("level", [SLURM, "/system.slice/slurmstepd.scope/job_7", "/system.slice"])
def test_a_limit_at_any_level_above_counts(tmp_path, level):
    v2(tmp_path, SLURM)
    limit_v2(tmp_path, SLURM, "max", 700)
    limit_v2(tmp_path, level, 5000, 1000, cached=200)
    assert cgroups.memory_left_bytes(tmp_path) == 4200


def test_the_tightest_limit_counts(tmp_path):
    v2(tmp_path, "/a/b")
    limit_v2(tmp_path, "/a/b", 3000, 100)
    limit_v2(tmp_path, "/a", 9000, 8000)
    assert cgroups.memory_left_bytes(tmp_path) == 1000
    limit_v2(tmp_path, "/a/b", 3000, 2500)
    assert cgroups.memory_left_bytes(tmp_path) == 500


def test_a_limit_that_slows_down_counts_as_one_that_kills(tmp_path):
    v2(tmp_path, "/service")
    limit_v2(tmp_path, "/service", 9000, 1000)
    limit_v2(tmp_path, "/service", 4000, 1000, name="memory.high")
    assert cgroups.memory_left_bytes(tmp_path) == 3000


def test_other_groups_do_not_count(tmp_path):
    v2(tmp_path, "/a/b")
    limit_v2(tmp_path, "/a/c", 10, 0)
    limit_v2(tmp_path, "/a/b/deeper", 10, 0)
    assert cgroups.memory_left_bytes(tmp_path) is None


def test_version_1_is_walked_in_the_hierarchy_of_each_controller(tmp_path):
    v1(tmp_path, "/slurm/uid_0/job_7")
    limit_v1(tmp_path, "/slurm/uid_0", 5000, 1000, cached=200)
    limit_v1(tmp_path, "", 2**63 - 4096, 9000)
    assert cgroups.memory_left_bytes(tmp_path) == 4200
    tell(tmp_path, "sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", 150000)
    tell(tmp_path, "sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us", 100000)
    tell(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", -1)
    assert cgroups.cpu_quota(tmp_path) == 1.5


@pytest.mark.parametrize("lay_out", [v1, v2])
def test_a_container_sees_its_own_group_as_the_mount(tmp_path, lay_out):
    # Without a namespace of its own, the paths are the host's and the mount shows a part of them.
    lay_out(tmp_path, "/docker/abc/worker", group="/docker/abc")
    limit = limit_v1 if lay_out is v1 else limit_v2
    limit(tmp_path, "/worker", 5000, 1000)
    assert cgroups.memory_left_bytes(tmp_path) == 4000
    limit(tmp_path, "", 2000, 1000)
    assert cgroups.memory_left_bytes(tmp_path) == 1000


@pytest.mark.parametrize("own", ["/elsewhere/abc", "/../other"])
def test_a_group_outside_the_mount_leaves_the_mount(tmp_path, own):
    v2(tmp_path, own, group="/docker/abc")
    limit_v2(tmp_path, "", 5000, 1000)
    assert cgroups.memory_left_bytes(tmp_path) == 4000


def test_where_nothing_is_told_there_is_no_limit(tmp_path):
    assert cgroups.memory_left_bytes(tmp_path) is None
    assert cgroups.cpu_quota(tmp_path) is None


def test_nonsense_is_passed_over(tmp_path):
    v2(tmp_path, "/a")
    tell(tmp_path, "proc/self/cgroup", "\nx\n1:2\n0::/a")
    tell(tmp_path, "proc/self/mountinfo", f"x\n - cgroup2\n{V2_MOUNT.format(group='/')}")
    tell(tmp_path, "sys/fs/cgroup/a/memory.max", "much")
    tell(tmp_path, "sys/fs/cgroup/a/cpu.max", "200000 0")
    limit_v2(tmp_path, "", 5000, 1000)
    assert cgroups.memory_left_bytes(tmp_path) == 4000
    assert cgroups.cpu_quota(tmp_path) is None


def test_the_system_and_the_groups_are_compared(tmp_path):
    v2(tmp_path, SLURM)
    limit_v2(tmp_path, SLURM, 5000, 1000)
    tell(tmp_path, "proc/meminfo", "MemAvailable: 3 kB")
    assert host.free_bytes(tmp_path) == 3072
    tell(tmp_path, "proc/meminfo", "MemAvailable: 3000 kB")
    assert host.free_bytes(tmp_path) == 4000


def test_a_quota_of_a_group_above_limits_the_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for cpu in range(8):
        tell(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", cpu)
    v2(tmp_path, SLURM)
    tell(tmp_path, f"sys/fs/cgroup{SLURM}/cpu.max", "max 100000")
    assert host.physical_cores(tmp_path) == 8
    tell(tmp_path, "sys/fs/cgroup/system.slice/cpu.max", "300000 100000")
    assert host.physical_cores(tmp_path) == 3

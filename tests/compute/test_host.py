"""What the command does to its own process, and how it counts cores, on machines in a folder."""

import os
import platform
import subprocess
import sys

import pytest

from impasto.compute import host


def lay_out(root, siblings, quota=None):
    for cpu, group in enumerate(siblings):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{group}\n")
    if quota:
        (root / "sys/fs/cgroup").mkdir(parents=True)
        (root / "sys/fs/cgroup/cpu.max").write_text(f"{quota}\n")


HYPERTHREADS = ["0,4", "1,5", "2,6", "3,7"] * 2


@pytest.mark.parametrize(
    ("siblings", "allowed", "quota", "cores"),
    [
        (["0", "1"], {0, 1}, None, 2),
        (HYPERTHREADS, set(range(8)), None, 4),
        (HYPERTHREADS, {0, 4}, None, 1),
        (HYPERTHREADS, {0, 1, 2}, None, 3),
        (HYPERTHREADS, set(range(8)), "max 100000", 4),
        (HYPERTHREADS, set(range(8)), "200000 100000", 2),
        (HYPERTHREADS, set(range(8)), "20000 100000", 1),
    ],
    ids=["plain", "threads", "one core", "a set", "no quota", "two cores' time", "a fifth"],
)
def test_threads_of_one_core_and_a_containers_share_count(
    siblings, allowed, quota, cores, tmp_path, monkeypatch
):
    lay_out(tmp_path, siblings, quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
    assert host.physical_cores(tmp_path) == cores


def test_where_the_kernel_does_not_tell_nothing_is_decided(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert host.physical_cores(tmp_path) is None
    monkeypatch.delattr(os, "sched_getaffinity")
    assert host.physical_cores(tmp_path) is None


def test_threads_that_the_user_has_chosen_are_left(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    host.make_own()
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_elsewhere_than_on_linux_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert host.keep_pages() is False


COUNT_FAULTS = """
import resource

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

bytearray(64 << 20)
before = faults()
for _ in range(8):
    bytearray(64 << 20)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is what is told")
def test_memory_freed_is_used_again_without_asking_the_kernel():
    def count(first):
        words = [sys.executable, "-c", first + COUNT_FAULTS]
        return int(subprocess.run(words, capture_output=True, check=True, text=True).stdout)

    ours = count("from impasto.compute.host import make_own; make_own()")
    assert ours < 0.2 * count("import impasto.compute.host")


@pytest.mark.parametrize(
    ("chosen", "threads"), [("3", 3), ("4,2", 4), ("", 7), ("0", 7), ("many", 7), (None, 7)]
)
def test_threads_are_as_many_as_chosen_or_the_cores(monkeypatch, chosen, threads):
    monkeypatch.setattr(host, "physical_cores", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    assert host.default_threads() == threads

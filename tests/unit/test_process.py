"""Counting physical cores, on machines laid out in a folder."""

import os
import sys

import pytest

from impasto.frontends import process


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
    assert process.physical_cores(tmp_path) == cores


def test_where_the_kernel_does_not_tell_nothing_is_decided(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert process.physical_cores(tmp_path) is None
    monkeypatch.delattr(os, "sched_getaffinity")
    assert process.physical_cores(tmp_path) is None


def test_threads_that_the_user_has_chosen_are_left(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    process.make_own()
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_elsewhere_than_on_linux_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert process.keep_pages() is False

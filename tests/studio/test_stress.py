"""Haste and bad manners: nothing leaks and nothing hangs."""

import re
from contextlib import closing
from pathlib import Path

import requests

PAIRS, QUEUED, LISTENERS = 15, 12, 20
MOST_GROWTH_MIB = 24


def size(pid):
    """Resident memory in MiB, and open files."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident_kib = int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
    return resident_kib / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_haste_leaks_nothing_and_hangs_nothing(studio):
    studio.painted()
    processes = (studio.process.pid, studio.painter_pid())
    before = [size(pid) for pid in processes]
    for _ in range(PAIRS):
        work_id = studio.order(settings={"iterations": 100_000}).json()["id"]
        assert studio.post(f"/api/works/{work_id}/cancel").status_code == 200
    waiting = [studio.order(settings={"iterations": 1}).json()["id"] for _ in range(QUEUED)]
    for _ in range(LISTENERS):
        address = f"{studio.address}/api/events"
        with closing(
            requests.get(address, headers=studio.bearer, stream=True, timeout=30)
        ) as stream:
            next(stream.iter_lines())
    for work_id in waiting:
        studio.wait(work_id, "finished")
    for (memory_mib, files), pid in zip(before, processes, strict=True):
        memory_after_mib, files_after = size(pid)
        assert memory_after_mib - memory_mib < MOST_GROWTH_MIB
        assert files_after <= files + 4

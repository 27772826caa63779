"""A batch on Ray: two nodes on this machine, one of them killed with jobs on it, the driver too."""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

if os.name != "posix":
    pytest.skip("nodes are killed by signals", allow_module_level=True)

DONE = ["begun", "saving", "done"]


@pytest.fixture
def cluster(folder, monkeypatch):
    """Two nodes of one CPU each; to be had, ray must be installed."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    # Workers import what the tests import.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    try:
        from ray.cluster_utils import Cluster
    except ImportError:
        pytest.fail("ray is not installed: pip install -c constraints.txt -e '.[dev]'")
    handler = signal.getsignal(signal.SIGTERM)
    two = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "include_dashboard": False,
        },
    )
    two.second = two.add_node(num_cpus=1)
    signal.signal(signal.SIGTERM, handler)
    yield two
    two.shutdown()


@pytest.mark.slow
def test_a_node_and_the_driver_are_killed_and_each_job_is_done_once_as_on_one_machine(
    cluster, start_process, run_process, folder, jobs_file, states
):
    names = [f"{number}.png" for number in range(6)]
    file = jobs_file(*({"seed": seed, "start": "noise"} for seed in range(6)), iterations=12)
    words = ["batch", file, "--cluster", cluster.address, "--json", "--no-sheet"]

    driver = start_process(*words)
    while json.loads(driver.stdout.readline())["event"] != "done":
        pass
    driver.kill()
    driver.communicate()
    assert any(states(name) == DONE for name in names)
    assert not all((folder / name).exists() for name in names)

    driver = start_process(*words)
    while json.loads(driver.stdout.readline())["event"] != "done":
        pass
    cluster.remove_node(cluster.second, allow_graceful=False)
    out, err = driver.communicate(timeout=60)
    assert (driver.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["done"] == 6
    assert [states(name).count("done") for name in names] == [1] * 6

    pictures = [(folder / name).read_bytes() for name in names]
    for name in names[::2]:
        (folder / name).unlink()
    assert run_process("batch", file, "--quiet", "--no-sheet").code == 0
    assert [(folder / name).read_bytes() for name in names] == pictures


@pytest.fixture
def short_folder():
    """A folder for Ray's sockets, whose paths may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as name:
        yield Path(name)


def test_local_starts_its_own_ray_whatever_an_earlier_one_left_behind(
    run_process, folder, jobs_file, short_folder, monkeypatch
):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_TMPDIR", str(short_folder))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    # Ray removes this file when it ends, unless its processes are killed.
    (short_folder / "ray").mkdir()
    for directory in (short_folder, short_folder / "ray"):
        (directory / "ray_current_cluster").write_text("127.0.0.1:9")
    file = jobs_file({}, {"output": "1.png", "start": "0.png"}, {"output": "2.png", "seed": 1})
    done = run_process("batch", file, "--cluster", "local", "--quiet", "--no-sheet")
    assert (done.code, done.err) == (0, "")
    assert all((folder / f"{number}.png").exists() for number in range(3))
    pictures = [(folder / f"{number}.png").read_bytes() for number in range(3)]
    for number in range(3):
        (folder / f"{number}.png").unlink()
    assert run_process("batch", file, "--quiet", "--no-sheet").code == 0
    assert [(folder / f"{number}.png").read_bytes() for number in range(3)] == pictures


def test_without_ray_the_command_says_what_to_install(impasto, folder, jobs_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = impasto("batch", jobs_file({}), "--cluster", "local", "--quiet")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "pip install '.[cluster]'" in done.err


def test_an_address_where_nothing_listens_is_refused_at_once(impasto, folder, jobs_file):
    done = impasto("batch", jobs_file({}), "--cluster", "127.0.0.1:9", "--quiet")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no Ray cluster at '127.0.0.1:9'" in done.err
    assert not (folder / "0.png").exists()

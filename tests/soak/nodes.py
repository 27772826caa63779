"""A batch on two Ray nodes, one of which is killed with jobs on it: every job is done, once.

The nodes run in a network of their own (``unshare``), so that nothing else on the machine can
meet them. Run it as it is: ``python tests/soak/nodes.py --jobs 8``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scene import make_pictures, make_weights

INSIDE = "IMPASTO_SOAK_INSIDE"
JOB = {
    **{"content": "photograph.png", "style": "painting.png", "size": 96, "coarsest": 48},
    **{"iterations": 40, "alpha": 1, "beta": 1e4, "threads": 1, "start": "noise"},
}


def enter_own_network() -> int:
    """Run this script again in a network namespace that has a loopback device alone."""
    words = [sys.executable, *sys.argv]
    return subprocess.run(
        ["unshare", "-n", "bash", "-c", 'ip link set lo up && exec "$@"', "soak", *words],
        env=os.environ | {INSIDE: "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
        check=False,
    ).returncode


def start_batch(folder: Path, address: str) -> subprocess.Popen[str]:
    """Start the batch, and wait until its first job is done."""
    command = ["batch", "jobs.jsonl", "--cluster", address, "--json", "--no-sheet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", *command], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "done":
            return process
    raise SystemExit("the batch ended before its first job was done")


def main() -> None:
    """Start the nodes, kill one, and check what the batch has made of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=8)
    options = parser.parse_args()
    if INSIDE not in os.environ:
        raise SystemExit(enter_own_network())
    from ray.cluster_utils import Cluster

    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak", dir="/tmp") as name:
        folder = Path(name)
        make_weights(folder / "vgg16.safetensors")
        make_pictures(folder)
        jobs = [
            JOB | {"output": f"{number}.png", "seed": number, "weights": "vgg16.safetensors"}
            for number in range(options.jobs)
        ]
        (folder / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            second = cluster.add_node(num_cpus=1)
            batch = start_batch(folder, cluster.address)
            cluster.remove_node(second, allow_graceful=False)
            out, _ = batch.communicate(timeout=1800)
        finally:
            cluster.shutdown()
        summary = json.loads(out.splitlines()[-1])
        lines = map(json.loads, (folder / "jobs.journal.jsonl").read_text().splitlines())
        done = [line["output"] for line in lines if line.get("state") == "done"]
    took_s = time.monotonic() - began_s
    print(f"{summary['done']} of {options.jobs} jobs done after a node was killed, {took_s:.0f} s")
    is_right = batch.returncode == 0 and sorted(done) == sorted(set(done))
    raise SystemExit(0 if is_right and len(done) == options.jobs else 1)


if __name__ == "__main__":
    main()

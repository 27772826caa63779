"""One image over several processes: the same picture, and no waiting for the dead."""

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from impasto.job import recipe

if os.name != "posix":
    pytest.skip("signals are for POSIX systems", allow_module_level=True)

# Tiles of a few pixels, and little patience, so that small pictures tell.
SMALL = """
import datetime
import impasto.compute.distributed
import impasto.planning.plan
impasto.planning.plan._SMALLEST_TILE_PX = 24
impasto.compute.distributed._TIMEOUT = datetime.timedelta(seconds=5)
"""
WORDS = (
    "transfer", "photograph.png", "painting.png", "--json", "--precision=fp32", "--threads=1",
    "--size=96", "--coarsest=64", "--content-layers=relu2_1", "--style-layers=relu1_1,relu2_1",
)  # fmt: skip


@pytest.fixture
def start_ranks(start_process, monkeypatch, weights_file):
    """``start_ranks(*words)``: two processes, as torchrun would start them on one machine."""

    def start(*words):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        ranks = []
        for rank in range(2):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
            place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            with monkeypatch.context() as environment:
                for name, value in place.items():
                    environment.setenv(name, str(value))
                ranks.append(start_process(*WORDS, "--weights", weights_file, *words, first=SMALL))
        return ranks

    return start


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    ("more", "share"),
    [
        (("--iterations=6", "--palette=0"), 1),
        # The slope of the map of colours doubles what the processes round differently.
        (("--iterations=6", "--palette=1"), 0.98),
        # The ranges are measured in a pass whose codes are each tile's own.
        (("--iterations=6", "--palette=0", "--precision=int8"), 0.98),
        (("--iterations=11", "--coarsest=96", "--statistic=neighbours", "--palette=0"), 1),
    ],
)
def test_torchrun_s_processes_paint_the_picture_of_one(more, share, impasto, folder, weights_file):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    # Behind the "--" in front of them, --start is not torchrun's --start-method.
    words = (*WORDS, "--weights", str(weights_file), *more, "--start=content", "-o")
    program = f"{SMALL}\nfrom impasto.cli.app import run\nrun()"
    (folder / "paint.py").write_text(program)
    shared = subprocess.run(
        [*torchrun, "paint.py", "--", *words, "shared.png"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shared.returncode == 0, shared.stderr
    alone = impasto(*words, "alone.png")
    losses = [
        [json.loads(line)["losses"]["total"] for line in printed.splitlines() if '"step"' in line]
        for printed in (shared.stdout, alone.out)
    ]
    rel = 5e-3 if "--precision=int8" in more else 1e-4
    assert losses[0] == pytest.approx(losses[1], rel=rel)
    levels = np.abs(pixels_of("shared.png") - pixels_of("alone.png"))
    assert np.quantile(levels, share) <= 1
    assert recipe.read(folder / "shared.png").decisions.ranks == 2
    assert recipe.read(folder / "alone.png").decisions.ranks is None


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "silent"])
def test_the_picture_is_kept_when_a_process_is_gone(start_ranks, folder, blow):
    first, second = start_ranks("--iterations=20000", "-o", "out.png")
    for _ in range(3):
        assert json.loads(first.stdout.readline())["event"] == "step"
    second.send_signal(blow)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "expected every process of the group to take part" in err
    assert json.loads(out.splitlines()[-1])["event"] == "result"
    assert pixels_of("out.png").shape == (72, 96, 3)

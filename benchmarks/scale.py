"""Compare predicted with measured memory and time, time several processes, and picture files.

    python -m benchmarks.scale predict CONTENT STYLE --size 512 2048 --memory 16GiB 3GiB
    python -m benchmarks.scale ranks CONTENT STYLE --size 2048 --ranks 2
    python -m benchmarks.scale pictures --size 8192

Every painting runs in its own process at one size, starting from the photograph, so that its peak
memory is that of the size. Each command adds its rows to --json FILE.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from benchmarks.suite import machine

_KEY = ("what", "size_px", "memory", "ranks", "format")
_MATMUL = """
import torch, time
torch.set_num_threads(1)
a = torch.rand(2048, 2048).to(torch.bfloat16)
a @ a
began = time.perf_counter()
for _ in range(40): a @ a
print(time.perf_counter() - began)
"""
_PICTURE = """
import sys, torch
from impasto import images
from impasto.compute.host import keep_pages
path, side = sys.argv[2], int(sys.argv[3])
if sys.argv[1] == "write":
    rows = torch.linspace(0, 1, side).view(1, 1, side, 1)
    pixels = (rows + torch.rand(1, 3, side, side) / 8).clamp_(0, 1)
    images.save_image(images.to_image(pixels), path)
else:
    images.load(path)
"""


def main() -> None:
    """Read the command line, measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("predict", "predicted and measured memory and time"),
        ("ranks", "one process, and several processes, of one thread each"),
        ("pictures", "reading and writing"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--size", type=int, nargs="+", default=[512])
        command.add_argument("--json", type=Path, help="file to add rows to")
        if name == "pictures":
            command.add_argument("--formats", nargs="+", default=["png", "tiff", "jpg"])
            continue
        command.add_argument("pictures", nargs=2, metavar="PICTURE", help="CONTENT and STYLE")
        command.add_argument("--iterations", type=int, default=3)
        command.add_argument("--options", nargs="*", default=[], help="NAME=VALUE for impasto")
        if name == "predict":
            command.add_argument("--memory", nargs="+", default=["16GiB"])
        else:
            command.add_argument("--ranks", type=int, default=2)
    args = parser.parse_args()
    rows = {"predict": predict, "ranks": ranks, "pictures": pictures}[args.command](args)
    if args.json:
        write(args.json, rows)


def predict(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Paint at each size within each budget, and compare with the plan."""
    rows = []
    for size_px in args.size:
        for memory in args.memory:
            words = [*_words(args, size_px), "--memory", memory]
            *_, size, total = _lines(_impasto("plan", "transfer", *words, "--json"))
            with tempfile.TemporaryDirectory() as folder:
                out = str(Path(folder, "out.png"))
                peak_bytes, printed = _measured(
                    [*_impasto("transfer", *words, "--json", "-o", out)]
                )
            row = {
                "what": "predict",
                "size_px": size_px,
                "memory": memory,
                **{name: size[name] for name in ("tile_px", "tiles_kept", "history")},
                **{name: size[name] for name in ("history_bits", "content_kept", "iterations")},
                "predicted_gib": size["peak_bytes"] / 2**30,
                "measured_gib": peak_bytes / 2**30,
                "predicted_s": total["time_s"],
                "measured_s": printed[-1]["time_s"],
                "predicted_step_s": size["step_s"],
                "measured_step_s": _step_s(printed),
            }
            rows.append(row)
            print(
                f"{size_px:6} px, {memory:>6}: tiles {row['tile_px']}, history {row['history']} in "
                f"{row['history_bits']} bits; GiB {row['predicted_gib']:.2f} predicted, "
                f"{row['measured_gib']:.2f} measured; s {row['predicted_s']:.1f} predicted, "
                f"{row['measured_s']:.1f} measured; step {row['predicted_step_s']:.2f}, "
                f"{row['measured_step_s']:.2f}",
                flush=True,
            )
    return rows


def ranks(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time one process and several processes of one thread each, for painting and products."""
    rows = []
    alone_s, together_s = _matmul_s(1), _matmul_s(args.ranks)
    gain = args.ranks * alone_s / together_s
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={args.ranks}")
    for size_px in args.size:
        times_s = []
        for starter in ((), torchrun):
            with tempfile.TemporaryDirectory() as folder:
                out = str(Path(folder, "out.png"))
                words = [*_words(args, size_px), "--threads", "1", "--json", "-o", out]
                # Without "--", torchrun would read --start as its own --start-method.
                _, printed = _measured([sys.executable, *starter, "-m", "impasto", "--",
                                        "transfer", *words])  # fmt: skip
            times_s.append(_step_s(printed))
        row = {
            "what": "ranks",
            "size_px": size_px,
            "ranks": args.ranks,
            "alone_step_s": times_s[0],
            "together_step_s": times_s[1],
            "gain": times_s[0] / times_s[1],
            "matmul_gain": gain,
            "share": times_s[0] / times_s[1] / gain,
        }
        rows.append(row)
        print(
            f"{size_px:6} px: a step takes {times_s[0]:.2f} s alone, {times_s[1]:.2f} s together: "
            f"{row['gain']:.2f} times, where products gain {gain:.2f}: {row['share']:.2f}",
            flush=True,
        )
    return rows


def pictures(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Write and read a picture of each size and format."""
    rows = []
    for size_px in args.size:
        for ending in args.formats:
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder, f"picture.{ending}"))
                row: dict[str, Any] = {"what": "pictures", "size_px": size_px, "format": ending}
                for doing in ("write", "read"):
                    began_s = time.perf_counter()
                    peak_bytes, _ = _measured(
                        [sys.executable, "-c", _PICTURE, doing, path, str(size_px)]
                    )
                    row[f"{doing}_gib"] = peak_bytes / 2**30
                    row[f"{doing}_s"] = time.perf_counter() - began_s
                row["file_mb"] = Path(path).stat().st_size / 1e6
            rows.append(row)
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return rows


def _words(args: argparse.Namespace, size_px: int) -> list[str]:
    options = [f"--{option}" for option in args.options]
    return [*args.pictures, f"--size={size_px}", f"--coarsest={size_px}", "--start=content",
            f"--iterations={args.iterations}", *options]  # fmt: skip


def _impasto(*words: str) -> list[str]:
    return [sys.executable, "-m", "impasto", *words]


def _lines(command: list[str]) -> list[dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _measured(command: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """Run ``command``; return its peak memory in bytes, and the lines of JSON that it printed."""
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"failed: {' '.join(command)}")
        printed.seek(0)
        return usage.ru_maxrss * 1024, [json.loads(line) for line in printed]


def _step_s(printed: list[dict[str, Any]]) -> float:
    """Return the time between the last two steps; with one step only, the time to its end."""
    times_s = [0.0, *(line["time_s"] for line in printed if line["event"] == "step")]
    return times_s[-1] - times_s[-2]


def _matmul_s(count: int) -> float:
    """Return the time of the slowest of ``count`` processes that multiply matrices."""
    command = [sys.executable, "-c", _MATMUL]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return max(float(process.communicate()[0]) for process in started)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write ``rows`` to ``path``; rows of earlier runs stay, unless a new row replaces them."""
    new = {tuple(row.get(name) for name in _KEY) for row in rows}
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    earlier = [row for row in before if tuple(row.get(name) for name in _KEY) not in new]
    written = {"machine": machine.describe(torch.device("cpu")), "rows": earlier + rows}
    path.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()

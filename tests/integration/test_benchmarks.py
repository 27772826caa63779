"""The benchmarks at a tiny size: real measurements, of which only the form is looked at."""

import ast
import json
import runpy
import sys
from pathlib import Path

import pytest
from benchmarks.suite.__main__ import run

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILES = sorted(BENCHMARKS.rglob("*.py"))
SCRIPTS = ["suite", *sorted(path.stem for path in BENCHMARKS.glob("*.py"))]


def read(path, benchmark):
    report = json.loads(path.read_text())
    assert report["benchmark"] == benchmark
    assert {"processor", "device_name", "torch", "impasto", "threads"} <= report["machine"].keys()
    return report["rows"]


def test_a_step_stands_beside_the_peak_and_plain_autograd(impasto, folder):
    outcome = impasto(
        *("step", "--sizes", "16,32", "--precisions", "fp32", "--repeats", "1"),
        *("--json", "step.json", "--device", "cpu"),
        run=run,
    )
    assert outcome.code == 0, outcome.err
    rows = read(folder / "step.json", "step")
    assert [(row["precision"], row["size_px"]) for row in rows] == [("fp32", 16), ("fp32", 32)]
    for row in rows:
        assert row["plain_s"] > 0
        assert row["gflop_per_s"] == pytest.approx(row["gflop"] / row["time_s"])
        assert row["share_of_peak"] == pytest.approx(row["gflop_per_s"] / row["peak_gflop_per_s"])
    assert "share of" in outcome.out


def test_growth_is_measured_by_the_megapixel(impasto, folder):
    outcome = impasto(
        *("scaling", "--megapixels", "0.001,0.004", "--precisions", "fp32"),
        *("--repeats", "1", "--json", "scaling.json", "--device", "cpu"),
        run=run,
    )
    assert outcome.code == 0, outcome.err
    rows = read(folder / "scaling.json", "scaling")
    assert [row["size_px"] for row in rows] == [32, 64]


def test_a_painting_stands_beside_the_notebooks_projected_time(impasto, folder, weights_file):
    outcome = impasto(
        *("run", "--sizes", "32", "--content", "photograph.png", "--style"),
        *("painting.png", "--weights", str(weights_file), "--iterations", "2"),
        *("--notebook-steps", "2", "--json", "run.json"),
        run=run,
    )
    assert outcome.code == 0, outcome.err
    (row,) = read(folder / "run.json", "run")
    assert row["projected"] is True
    assert row["measured_steps"] == 2
    assert row["notebook_s"] > row["time_s"] > 0
    assert row["ratio"] == pytest.approx(row["notebook_s"] / row["time_s"])


def test_a_painting_that_fails_says_why(impasto, folder):
    outcome = impasto("run", "--sizes", "32", "--content", "absent.png", run=run)
    assert outcome.code == 2
    assert "absent.png" in outcome.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("step", "--sizes", "64x64"), "sizes: expected numbers of at least 16"),
        (("step", "--sizes", "8"), "sizes: expected numbers of at least 16"),
        (("scaling", "--megapixels", ""), "megapixels: expected numbers"),
        (("step", "--precisions", "fp31"), "precision: expected"),
        (("step", "--device", "cuda:77"), "cuda:77"),
    ],
)
def test_a_wrong_word_is_refused(words, named, impasto, folder):
    outcome = impasto(*words, run=run)
    assert outcome.code == 2
    assert named in outcome.err


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_starts_as_a_module_from_the_root(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    for module in [module for module in sys.modules if module.startswith("benchmarks.")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out.lower()


def private_names(path):
    """The private names that a file takes from elsewhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            names.append(node.attr)
    return [name for name in names if name.startswith("_") and name[:2] != "__" and name not in own]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_no_benchmark_takes_a_private_name_of_the_package(path):
    assert private_names(path) == []


def test_a_private_name_would_be_noticed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from impasto.x import _y\nfrom impasto import z\nz._w\nself._v = z._v\n")
    assert private_names(script) == ["_y", "_w"]

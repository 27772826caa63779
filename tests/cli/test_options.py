"""Every field of the settings is a flag and a keyword, and the help tells of all of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from impasto import api
from impasto.cli import app
from impasto.config.labels import label_of
from impasto.config.settings import Runtime, Settings
from impasto.output.options import DeliveryOptions

# For each field, what is written on the line, and what it means.
WORDS = {
    "size": ("640", 640),
    "aspect": ("16:9", "16:9"),
    "seed": ("0", 0),
    "start": ("noise", "noise"),
    "network": ("vgg19", "vgg19"),
    "pooling": ("average", "average"),
    "padding": ("zeros", "zeros"),
    "margin": ("0", 0),
    "content_layers": ("relu3_1,relu4_1=0.5", {"relu3_1": 1.0, "relu4_1": 0.5}),
    "style_layers": ("relu1_1", {"relu1_1": 1.0}),
    "strength": ("0.25", 0.25),
    "style_scale": ("0.5,2", (0.5, 2.0)),
    "colour": ("match", "match"),
    "palette": ("0.5", 0.5),
    "statistic": ("moments", "mean+covariance"),
    "motifs": ("0", 0.0),
    "alpha": ("0", 0.0),
    "beta": ("1e3", 1000.0),
    "total_variation": ("0", 0.0),
    "style_weights": ("0,2.5", (0.0, 2.5)),
    "normalisation": ("paper", "paper"),
    "optimiser": ("adam", "adam"),
    "iterations": ("0", 0),
    "learning_rate": ("0.5", 0.5),
    "history": ("7", 7),
    "coarsest": ("64", 64),
    "region": ("a,b.png:c.jpg", ("a,b.png:c.jpg",)),
    "seamless": (None, True),
    "size_ratio": ("2", 2.0),
    "device": ("cuda:1", "cuda:1"),
    "precision": ("fp32", "fp32"),
    "threads": ("3", 3),
    "memory": ("6GiB", 6 * 2**30),
    "weights": ("file.pth", "file.pth"),
    "offline": (None, True),
}
COMMANDS = (
    (), ("transfer",), ("content",), ("style",),
    ("recipe",), ("replay",), ("batch",),
    ("sheet",), ("presets",), ("measure",),
    ("plan",), ("plan", "transfer"), ("plan", "content"), ("plan", "style"),
    ("studio",), ("video",),
    ("weights",), ("weights", "list"), ("weights", "fetch"), ("weights", "verify"),
)  # fmt: skip


@pytest.fixture
def job_of(impasto, monkeypatch):
    """``job_of(*words)``: the Job that the command would paint."""
    jobs = []

    class MadeError(Exception):
        pass

    def paint(job, *arguments, **options):
        jobs.append(job)
        raise MadeError

    def call(*words):
        monkeypatch.setattr(api, "paint", paint)
        with pytest.raises(MadeError):
            impasto(*words)
        return jobs[-1]

    return call


@pytest.mark.parametrize("field", [*Settings.model_fields, *Runtime.model_fields])
def test_every_field_is_a_flag_and_a_keyword(job_of, field):
    word, value = WORDS[field]
    flag = f"--{field.replace('_', '-')}"
    words = [flag] if word is None else [flag, word]
    job = job_of("transfer", "a.png", "b.png", "c.png", "-o", "out.png", *words)
    group = job.settings if field in Settings.model_fields else job.runtime
    assert getattr(group, field) == value
    assert group.model_fields_set == {field}
    assert api.make_job("style_transfer", "a.png", ["b.png", "c.png"], **{field: value}) == job


@pytest.mark.parametrize(
    ("american", "name", "value"), [("color", "colour", "keep"), ("optimizer", "optimiser", "adam")]
)
def test_american_spelling_is_accepted_and_not_shown(job_of, impasto, american, name, value):
    line = ("transfer", "a.png", "b.png", "-o", "out.png")
    assert job_of(*line, f"--{american}", value) == job_of(*line, f"--{name}", value)
    both = impasto(*line, f"--{american}", value, f"--{name}", value)
    assert (both.code, both.err) == (
        2,
        f"impasto: {name}: expected {name} or {american}, got both; leave one out\n",
    )
    assert f"--{american}" not in impasto("transfer", "--help-all").out


def test_what_is_not_given_is_left_to_the_settings(job_of):
    job = job_of("style", "a.png", "-o", "out.png")
    assert job == api.make_job("style", None, ["a.png"])
    assert job.settings.model_fields_set == job.runtime.model_fields_set == set()


@pytest.mark.parametrize("columns", ["40", "80", "120"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal(impasto, monkeypatch, columns, command):
    monkeypatch.setenv("COLUMNS", columns)
    outcome = impasto(*command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert max(len(line) for line in outcome.out.splitlines()) <= int(columns)


MODE_COMMANDS = {"transfer": "style_transfer", "content": "content", "style": "style"}


@pytest.mark.parametrize("command", MODE_COMMANDS)
def test_help_all_tells_of_every_option_its_bounds_and_its_default(impasto, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "240")
    shown = " ".join(impasto(command, "--help-all").out.replace("│", " ").split())
    for field in (*Settings.model_fields, *Runtime.model_fields, *DeliveryOptions.model_fields):
        flag = {"json_lines": "json", "show": "open"}.get(field, field.replace("_", "-"))
        is_taken = field not in Settings.model_fields or (
            MODE_COMMANDS[command] in label_of(Settings, field).modes
        )
        assert (f"--{flag} " in shown) == is_taken
    assert "Longest side of the result in pixels, 16 to 65536;" in shown
    assert "cropped at its centre. (default 512)" in shown
    assert "(at least 16; at most 65536; default 128)" in shown
    assert "(above 0; at most 10; default 0.02)" in shown
    assert ("(default relu4_2=1)" in shown) == (command != "style")
    assert "pixel values of [0, 1]" in shown
    assert "vgg16|vgg19" in shown


@pytest.mark.parametrize("columns", ["80", "40", "200"])
@pytest.mark.parametrize("command", MODE_COMMANDS)
def test_help_is_one_screen_with_an_example_that_works(impasto, monkeypatch, columns, command):
    monkeypatch.setenv("COLUMNS", columns)
    outcome = impasto(command, "--help")
    lines = outcome.out.splitlines()
    assert lines[0].startswith("Usage: ")
    assert max(map(len, lines)) <= int(columns)
    if int(columns) >= 80:
        assert len(lines) <= 23  # and the next prompt
    _, example = outcome.out.split("\n\n  ", 1)
    words = example[example.index(f" {command} ") : example.index("\n\n")].split()
    # All that is wrong is that the pictures are not there.
    assert "no file" in impasto(*words).err
    assert "--help-all" in "".join(lines[-3:])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_speaks_of_no_class(impasto, command):
    word = "--help-all" if command and command[-1] in MODE_COMMANDS else "--help"
    shown = impasto(*command, word).out
    # A rename in the code must not reach the sentences that people read.
    assert not re.findall(r"\b[A-Z][a-z]+[A-Z]\w*", shown)
    if "--quiet" in shown and command:
        assert "Leave out progress and notes." in shown


@pytest.mark.parametrize("words", [["--help"], ["transfer", "--help"], ["--version"], ["plan"]])
def test_words_alone_load_no_heavy_package(words):
    code = (
        "import json, sys\n"
        "from impasto.cli.app import run\n"
        "try: run()\n"
        "finally: print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    loaded = set(json.loads(process.stderr.splitlines()[-1]))
    assert {"typer", "pydantic"} <= loaded
    assert not {"torch", "numpy", "PIL", "pyvips", "safetensors", "matplotlib"} & loaded


def test_the_version_is_the_packages(impasto):
    from impasto import __version__

    assert impasto("--version").out == f"impasto {__version__}\n"


def test_every_command_is_listed_here():
    groups = {(): app.app} | {
        (group.name,): group.typer_instance for group in app.app.registered_groups
    }
    names = {
        (*path, command.name or command.callback.__name__)
        for path, group in groups.items()
        for command in group.registered_commands
    }
    assert names | set(groups) == set(COMMANDS)


def commands(command, name=()):
    """Every command that does something, by its words."""
    inner = getattr(command, "commands", {})
    if not inner:
        yield name, command
    for word, one in inner.items():
        yield from commands(one, (*name, word))


def test_every_command_can_be_quiet():
    from typer.main import get_command

    from impasto.cli.app import app

    listed = dict(commands(get_command(app)))
    assert len(listed) > 12
    for name, command in listed.items():
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {"--quiet", "-q"} <= flags, name


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("impasto tr", ["transfer"]),
        ("impasto transfer --str", ["--strength"]),
        ("impasto transfer --preset gat", ["gatys2015", "gatys2016"]),
        ("impasto transfer --colour ", ["free", "keep", "match"]),
        ("impasto transfer photog", []),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_what_is_begun(shell, line, proposed):
    count = str(len(line.split(" ")) - 1)
    asked = {"_IMPASTO_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": count}
    asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    program = [Path(sys.executable).with_name("impasto")]
    done = subprocess.run(
        program, env=os.environ | asked, capture_output=True, text=True, check=False
    )
    for word in proposed:
        assert word in done.stdout
    assert ("--" in done.stdout) == ("--str" in line)
    assert done.stderr == ""

"""The launchers run here as they are, in a copy of the folder, with real Pythons and real virtual
environments; only what would download is a stand-in: pip, and the commands that it installs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if os.name != "posix":
    pytest.skip("the launchers are for bash", allow_module_level=True)

REPOSITORY = Path(__file__).parents[2]
COPIED = ("run", "test", ".ci/run", "scripts/set-up.sh", "constraints.txt", "pyproject.toml")
SYSTEM = ("bash", "cat", "cksum", "dirname", "find", "mkdir", "mv", "readlink", "rm", "sed")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

# It says what it was asked for, then installs commands that say the same of themselves.
PIP = """
import os, pathlib, sys, time
state = pathlib.Path(os.environ["STATE"])
with open(state / "calls", "a") as calls:
    print("pip", *sys.argv[1:], file=calls)
while (state / "hang").exists():
    (state / "hanging").touch()
    time.sleep(0.01)
if (state / "failing").exists() and "pip" in (state / "failing").read_text().split():
    sys.exit("ERROR: no such package")
for name in ["impasto"] + ["ruff", "mypy", "lint-imports", "pytest"] * ("dev" in sys.argv[-1]):
    command = pathlib.Path(sys.executable).with_name(name)
    command.write_text('''#!/bin/sh
name=${0##*/}
echo "$name" "$@" >>"$STATE/calls"
printf '%s\\\\n' "$name in $PWD" "$@"
! grep -qsx "$name" "$STATE/failing"
''')
    command.chmod(0o755)
"""
PYTHON = """#!/bin/sh
echo python "$@" >>"$STATE/calls"
if [ "$1 $2" = "-m venv" ]; then
    "{real}" -m venv --without-pip "$3" || exit
    pip=$(echo "$3"/lib/python*/site-packages)/pip
    mkdir "$pip" && touch "$pip/__init__.py" && cp "$STATE/pip.py" "$pip/__main__.py"
elif [ "$1" = -c ]; then
    exec "{real}" -c "{quirk}"'
import sys; exec(sys.argv[1])' "$2"
else
    exec "{real}" "$@"
fi
"""
OLD = (
    "import platform, sys; sys.version_info = (3, 8, 18); "
    "platform.python_version = lambda: '3.8.18'"
)
WITHOUT_VENV = "import sys; sys.modules['ensurepip'] = None"


@dataclass
class Copy:
    """A copy of the launchers, and the machine that they see."""

    folder: Path
    state: Path
    commands: Path

    def add_python(self, name="python3", *, quirk=""):
        """Put a Python on the PATH; ``quirk`` is code that it runs first."""
        python = self.commands / name
        python.write_text(PYTHON.replace("{real}", sys.executable).replace("{quirk}", quirk))
        python.chmod(0o755)

    def start(self, *command, cwd=None):
        environment = {"PATH": str(self.commands), "STATE": str(self.state)}
        return subprocess.Popen(
            command,
            cwd=cwd or self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command, cwd=None):
        process = self.start(*command, cwd=cwd)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def calls(self, start=""):
        """What was called since the last time that this was asked."""
        calls = self.state / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(start)]

    def fail(self, *names):
        (self.state / "failing").write_text("".join(f"{name}\n" for name in names))

    def start_and_hang(self):
        """Start ./run, and wait until pip is at work; it goes on when ``hang`` is removed."""
        (self.state / "hang").touch()
        process = self.start("./run", "plan")
        while not (self.state / "hanging").exists():
            assert process.poll() is None
            time.sleep(0.01)
        return process

    def start_and_stop(self, stop):
        """Start ./run, and send ``stop`` to all of it once pip is at work."""
        process = self.start_and_hang()
        os.killpg(process.pid, stop)
        _, errors = process.communicate(timeout=60)
        (self.state / "hang").unlink()
        self.calls()
        return process.returncode, errors


@pytest.fixture
def bare(tmp_path):
    """A copy on a machine without Python."""
    copy = Copy(tmp_path / "a folder [of mine]", tmp_path / "state", tmp_path / "commands")
    for name in COPIED:
        (copy.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, copy.folder / name)
    copy.state.mkdir()
    (copy.state / "pip.py").write_text(PIP)
    copy.commands.mkdir()
    for name in (*SYSTEM, "cp", "grep", "touch"):
        (copy.commands / name).symlink_to(shutil.which(name))
    (copy.commands / "chromium").symlink_to(shutil.which("cat"))
    return copy


@pytest.fixture
def copy(bare):
    """A copy on a machine with a Python that will do."""
    bare.add_python()
    return bare


@pytest.fixture
def heed_ctrl_c():
    """A job in the background ignores Ctrl-C, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_start_installs_the_lock_fetches_the_weights_and_runs_the_command(copy):
    done = copy.run("./run", "plan")
    assert done.returncode == 0
    assert done.stderr == "run: setting up .venv, this once: it takes some minutes\n" + (
        f"impasto in {copy.folder}\nweights\nfetch\nvgg16\n"
    )
    calls = copy.calls()
    assert calls[-3].startswith("pip install ")
    assert calls[-3].endswith(" --constraint constraints.txt --editable .[notebook,studio,video]")
    assert calls[-2:] == ["impasto weights fetch vgg16", "impasto plan"]


def test_a_later_start_runs_the_command_and_nothing_else(copy):
    copy.run("./run", "plan")
    copy.calls()
    done = copy.run("./run", "plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert copy.calls() == ["impasto plan"]


def test_arguments_arrive_as_they_were_given_in_the_folder_where_they_were_given(copy, tmp_path):
    elsewhere = tmp_path / "my pictures"
    elsewhere.mkdir()
    arguments = ["transfer", "my cat.jpg", "", "*", "--size=64", 'a "b" $c']
    done = copy.run(copy.folder / "run", *arguments, cwd=elsewhere)
    assert done.stdout.split("\n") == [f"impasto in {elsewhere}", *arguments, ""]


def test_a_link_to_a_link_starts_it(copy, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links/inner link").symlink_to("../a folder [of mine]/run")
    (tmp_path / "paint").symlink_to(tmp_path / "links/inner link")
    done = copy.run("./paint", "plan", cwd=tmp_path)
    assert done.stdout == f"impasto in {tmp_path}\nplan\n"
    assert (copy.folder / ".venv").is_dir()


def test_without_arguments_it_paints_a_bundled_picture_and_says_where(copy, tmp_path):
    done = copy.run(copy.folder / "run", cwd=tmp_path)
    _, verb, content, style, option, result = done.stdout.splitlines()
    assert (verb, option) == ("transfer", "-o")
    for picture in (content, style):
        assert (REPOSITORY / Path(picture).relative_to(copy.folder)).is_file()
    assert Path(result).parent == copy.folder / "img/results"
    assert Path(result).stem == f"{Path(content).stem}_{Path(style).stem}"
    assert f"run: painting {result}\n" in done.stderr


def test_the_commands_exit_code_is_the_launchers(copy):
    copy.run("./run", "plan")
    copy.fail("impasto")
    assert copy.run("./run", "plan").returncode == 1


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_changed_file_is_installed_in_the_environment_that_is_there(copy, name):
    copy.run("./run", "plan")
    copy.calls()
    with (copy.folder / name).open("a") as file:
        file.write("# changed\n")
    copy.run("./run", "plan")
    calls = copy.calls()
    assert [call.split()[0] for call in calls if "-c" not in call.split()] == [
        "pip",
        "impasto",
        "impasto",
    ]
    copy.run("./run", "plan")
    assert copy.calls() == ["impasto plan"]


def test_a_folder_that_was_moved_is_set_up_afresh(copy, tmp_path):
    copy.run("./run", "plan")
    copy.calls()
    copy.folder = copy.folder.rename(tmp_path / "moved here")
    assert copy.run("./run", "plan").stdout == f"impasto in {copy.folder}\nplan\n"
    assert len(copy.calls("python -m venv")) == 1


def test_another_python_behind_the_environment_means_another_set_up(copy):
    copy.run("./run", "plan")
    copy.calls()
    (copy.folder / ".venv/bin/python").unlink()
    assert copy.run("./run", "plan").returncode == 0
    assert len(copy.calls("python -m venv")) == 1


def test_an_environment_made_by_hand_is_kept_and_completed(copy):
    copy.run("./run", "plan")
    (copy.folder / ".venv/set-up-done").unlink()
    (copy.folder / ".venv/mine").touch()
    copy.calls()
    assert copy.run("./run", "plan").returncode == 0
    assert (copy.folder / ".venv/mine").exists()
    calls = copy.calls()
    assert sum(call.startswith("pip install") for call in calls) == 1
    assert not any(call.startswith("python -m venv") for call in calls)


@pytest.mark.parametrize("found", ["nothing", "a file"])
def test_an_environment_without_python_is_made(copy, found):
    (copy.folder / ".venv/bin").mkdir(parents=True)
    if found == "a file":
        (copy.folder / ".venv/bin/python").touch()
    assert copy.run("./run", "plan").returncode == 0


def test_a_set_up_that_was_killed_is_begun_afresh(copy):
    code, _ = copy.start_and_stop(signal.SIGKILL)
    assert code == -signal.SIGKILL
    (copy.folder / ".venv/half-made").touch()
    assert copy.run("./run", "plan").stdout == f"impasto in {copy.folder}\nplan\n"
    assert len(copy.calls("python -m venv")) == 1
    assert not (copy.folder / ".venv/half-made").exists()
    copy.run("./run", "plan")
    assert copy.calls() == ["impasto plan"]


def test_ctrl_c_ends_the_set_up_with_130_and_the_next_start_repairs_it(copy, heed_ctrl_c):
    code, errors = copy.start_and_stop(signal.SIGINT)
    assert code == 130
    assert errors.endswith("run: interrupted; the next start does the set-up again\n")
    assert copy.run("./run", "plan").returncode == 0


def test_pips_error_is_shown_and_the_next_start_tries_again(copy):
    copy.fail("pip")
    done = copy.run("./run", "plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ERROR: no such package\nrun: could not install what impasto needs" in done.stderr
    copy.fail()
    assert copy.run("./run", "plan").returncode == 0


def test_two_first_starts_at_once_install_once(copy):
    first = copy.start_and_hang()
    second = copy.start("./run", "plan")
    assert second.stderr.readline() == "run: waiting for another set-up here to end\n"
    (copy.state / "hang").unlink()
    for process in (first, second):
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, f"impasto in {copy.folder}\nplan\n")
    assert len(copy.calls("pip install")) == 1


def test_a_python_that_is_too_old_is_refused(bare):
    bare.add_python(quirk=OLD)
    done = bare.run("./run", "plan")
    assert done.returncode == 1
    assert done.stderr == (
        "run: Python 3.10 or newer is needed, but python3 is 3.8.18; install a newer one\n"
    )
    assert not (bare.folder / ".venv").exists()


def test_a_newer_python_by_its_own_name_takes_the_place_of_one_too_old(bare):
    bare.add_python(quirk=OLD)
    bare.add_python("python3.12")
    assert bare.run("./run", "plan").returncode == 0


def test_a_python_without_venv_is_refused_with_debians_remedy(bare):
    bare.add_python(quirk=WITHOUT_VENV)
    done = bare.run("./run", "plan")
    assert done.returncode == 1
    assert "lacks it; on Debian and Ubuntu: sudo apt install python3-venv" in done.stderr
    assert not (bare.folder / ".venv").exists()


def test_no_python_at_all_is_said(bare):
    done = bare.run("./run", "plan")
    assert done.returncode == 1
    assert done.stderr.startswith("run: Python 3.10 or newer is needed, but no python3 runs here")


def test_weights_that_cannot_be_fetched_do_not_stop_other_commands(copy):
    copy.fail("impasto")
    done = copy.run("./run", "plan")
    assert "could not fetch the network's weights" in done.stderr
    assert done.stdout == f"impasto in {copy.folder}\nplan\n"


CHECKS = ["ruff format --check .", "ruff check .", "mypy", "lint-imports"]


def checks(calls):
    return [call for call in calls if not call.startswith(("python", "pip"))]


def test_test_runs_every_check_and_ends_with_pytest(copy, tmp_path):
    done = copy.run(copy.folder / ".ci/run", cwd=tmp_path)
    assert done.returncode == 0
    calls = copy.calls()
    assert any(call.endswith(" --editable .[dev]") for call in calls)
    assert checks(calls) == ["impasto weights fetch vgg16", *CHECKS, "pytest"]
    assert done.stdout.endswith(f"\npytest in {copy.folder}\n")
    assert done.stderr.endswith("test: lint-imports\n")


@pytest.mark.parametrize("name", ["impasto", "ruff", "mypy", "lint-imports", "pytest"])
def test_one_failure_fails_the_whole_and_stops_nothing(copy, name):
    copy.fail(name)
    done = copy.run("./test")
    assert done.returncode == 1
    assert checks(copy.calls()) == ["impasto weights fetch vgg16", *CHECKS, "pytest"]
    if name != "pytest":
        assert f"test: failed: {name}" in done.stderr.splitlines()[-1]


def test_test_installs_the_browser_where_it_may(copy):
    (copy.commands / "chromium").unlink()
    for name in ("apt-get", "sudo"):
        (copy.commands / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"$STATE/calls"\n')
        (copy.commands / name).chmod(0o755)
    assert copy.run("./test").returncode == 0
    calls = copy.calls()
    assert any(call.endswith("install -y -qq chromium") for call in calls)
    assert calls[-1] == "pytest"


def test_test_fails_without_a_browser_with_the_command_to_give(copy):
    (copy.commands / "chromium").unlink()
    done = copy.run("./test")
    assert done.returncode == 1
    assert "sudo apt install chromium" in done.stderr
    assert copy.calls()[-1] == "pytest"


def test_fast_runs_the_checks_and_the_unit_tests_and_fetches_nothing(copy):
    (copy.commands / "chromium").unlink()
    done = copy.run("./test", "--fast")
    assert done.returncode == 0
    *before, last = checks(copy.calls())
    assert before == CHECKS
    assert last.startswith("pytest -m not (heavy or slow or real) tests/compute tests/config ")


def test_all_runs_what_ci_runs_and_the_slow_tests(copy):
    assert copy.run("./test", "--all").returncode == 0
    assert checks(copy.calls()) == [
        "impasto weights fetch vgg16",
        *CHECKS,
        "pytest -m slow or not slow",
    ]


@pytest.mark.parametrize("option", ["--fast", "--all"])
@pytest.mark.parametrize("name", ["mypy", "pytest"])
def test_a_failure_fails_these_too(copy, option, name):
    copy.fail(name)
    assert copy.run("./test", option).returncode == 1
    assert copy.calls()[-1].startswith("pytest -m ")


@pytest.mark.parametrize(
    ("option", "marks"),
    [("--fast", "not (heavy or slow or real)"), ("--all", "slow or not slow")],
)
def test_arguments_after_fast_and_all_go_to_pytest_too(copy, option, marks):
    done = copy.run("./test", option, "-k", "a or b")
    assert f"pytest in {copy.folder}\n-m\n{marks}\n" in done.stdout
    assert done.stdout.endswith("\n-k\na or b\n")


def test_tests_arguments_go_to_pytest_alone(copy):
    done = copy.run("./test", "-k", "a or b")
    assert done.stdout.endswith(f"pytest in {copy.folder}\n-k\na or b\n")
    assert checks(copy.calls()) == ["impasto weights fetch vgg16", "pytest -k a or b"]


def test_what_test_installed_serves_run_and_not_the_reverse(copy):
    for command, extra in (("./run", ".[notebook,studio,video]"), ("./test", ".[dev]")):
        copy.run(command)
        assert copy.calls("pip")[-1].endswith(extra)
    copy.run("./run")
    assert copy.calls("pip") == []


def environment(python):
    """What markers see in a Python of that version on Linux."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }


def pins(python):
    """The lock as that Python reads it."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    read = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [pin for pin in read if pin.marker is None or pin.marker.evaluate(environment(python))]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_settles_each_package_once_within_the_range_that_the_package_asks(python):
    found = {canonicalize_name(pin.name): pin for pin in pins(python)}
    assert len(found) == len(pins(python))
    asked = [Requirement(line) for line in metadata.requires("impasto")]
    for requirement in asked:
        launched = any(
            requirement.marker is None
            or requirement.marker.evaluate(environment(python) | {"extra": extra})
            for extra in ("dev", "notebook", "studio")
        )
        if launched and requirement.name != "impasto":
            [exact] = found[canonicalize_name(requirement.name)].specifier
            assert exact.operator == "=="
            assert requirement.specifier.contains(exact.version)


def test_the_lock_leaves_torchs_build_to_the_machine():
    names = {pin.name for pin in pins("3.11")}
    assert "torch" in names
    assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton"))]

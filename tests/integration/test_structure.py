"""The shape of the package: public names, what loads when, and examples that run."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

import impasto
from impasto.cli.app import app

PUBLIC = [
    "Checkpoint",
    "CheckpointError",
    "Diverged",
    "FilmResult",
    "FilmSettings",
    "FilmStep",
    "ImageError",
    "ImageSource",
    "ImpastoError",
    "Job",
    "JobOptions",
    "LossHistory",
    "LossTerm",
    "LostRankError",
    "Metrics",
    "MissingPackageError",
    "OutOfMemoryError",
    "OutputError",
    "Painter",
    "Painting",
    "Recipe",
    "Region",
    "Result",
    "Runtime",
    "Settings",
    "SettingsError",
    "ShapeError",
    "Step",
    "VGGFeatures",
    "WeightsError",
    "batch",
    "content",
    "evaluate",
    "iterate",
    "main",
    "make_job",
    "measure",
    "register_statistic",
    "style",
    "style_transfer",
    "video",
]
# Triton comes with torch for CUDA, and not with the one that these tests need.
UNLOADABLE = {"impasto.__main__"} | (
    {"impasto.models.triton_pooling"} if find_spec("triton") is None else set()
)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(impasto.__path__, "impasto.")
    if module.name not in UNLOADABLE
)
PACKAGES = ["images", "losses", "models", "weights"]
HEAVY = ("torch", "numpy", "PIL", "pyvips", "matplotlib", "yaml", "ray", "av", "cv2")


def loaded_by(code):
    """The modules that a fresh Python has loaded after ``code``."""
    program = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_the_public_names_are_these():
    assert sorted(impasto.__all__) == sorted([*PUBLIC, *PACKAGES])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_had(name):
    named = getattr(impasto, name)
    if name == "ImageSource":
        # A union of types that are not to be loaded.
        assert isinstance(named, str)
    else:
        assert named.__name__ == name


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_of_the_core_can_be_had_by_attribute(name):
    assert inspect.ismodule(getattr(impasto, name))


def test_names_are_listed_before_they_are_loaded():
    assert set(PUBLIC) | set(PACKAGES) <= set(dir(impasto))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No impasto attribute paint"):
        _ = impasto.paint


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import impasto").intersection(HEAVY)


def test_options_and_errors_load_nothing_heavy():
    code = "from impasto import Settings, Runtime, SettingsError, Job; Settings(); Job('style')"
    assert not loaded_by(code).intersection(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([name, "--help"] for name in sorted(get_command(app).commands))],
    ids=" ".join,
)
def test_help_loads_no_torch(arguments):
    code = (
        f"import atexit\nsys.argv = ['impasto', *{arguments!r}]\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from impasto.cli.app import run\nrun()"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True
    )
    assert "Usage" in done.stdout
    assert not set(done.stderr.split()).intersection(HEAVY)


def test_no_module_bears_the_name_of_a_public_function():
    own = {name.split(".")[1] for name in MODULES}
    assert not own.intersection(PUBLIC)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert not found.failed


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES]
    assert any(test.examples for module in modules for test in finder.find(module))


def test_no_class_name_stands_twice():
    package = Path(impasto.__file__).parent
    places = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                # A leading underscore does not tell two things apart.
                places[node.name.lstrip("_")].append(f"{path.relative_to(package)}:{node.lineno}")
    assert len(places) > 100
    assert {name: found for name, found in places.items() if len(found) > 1} == {}

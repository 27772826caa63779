"""What the documents tell a reader to run runs, and what they name exists."""

import ast
import pkgutil
import re
import runpy
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from impasto import api, painter
from impasto.config.registry import REGISTRIES

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# The studio's page asks a server, which tests/studio has.
PAGES_WITH_PYTHON = [
    page
    for page in PAGES
    if "```python" in page.read_text(encoding="utf-8") and page.name != "studio.md"
]

# What a notebook's cell tagged "parameters" becomes.
SMALL = "SIZE, STEPS, ROW_SIZE, ROW_STEPS = 48, 3, 48, 3"
LARGEST_NOTEBOOK_BYTES = 3_000_000


def name(path):
    return str(path.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder as a reader has it: the bundled pictures, and two of their own."""
    (tmp_path / "img" / "results").mkdir(parents=True)
    for kind in ("content", "style"):
        (tmp_path / "img" / kind).symlink_to(ROOT / "img" / kind)
    shutil.copy(ROOT / "img" / "content" / "chelsea.jpg", tmp_path / "photograph.jpg")
    shutil.copy(ROOT / "img" / "style" / "nocturne.jpg", tmp_path / "painting.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_runs(path, folder, real_network, monkeypatch):
    # A kernel of its own chooses how it shows figures.
    monkeypatch.delenv("MPLBACKEND")
    # At these sizes several threads only wait for each other.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    (parameters,) = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())
    ]
    parameters.source = SMALL
    here = folder / "notebooks"
    here.mkdir()
    (here / "img").symlink_to(folder / "img")
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": here}}
    ).execute()


@pytest.mark.real
@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=name)
def test_the_python_of_a_page_runs(page, folder, real_network, monkeypatch):
    make_job = api.make_job

    def make_small_job(*pictures, **options):
        return make_job(*pictures, **options | {"size": 48, "iterations": 2})

    for module in (api, painter):
        monkeypatch.setattr(module, "make_job", make_small_job)
    names = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        # As many lines further down as in the page, so that a traceback names the right one.
        above = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(above + block[1], str(page), "exec"), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_says_what_its_script_says(path):
    convert = runpy.run_path(str(path.parent / "make_notebook.py"))["convert"]
    expected = convert(path.with_suffix(".py").read_text(encoding="utf-8")).cells
    cells = nbformat.read(path, as_version=4).cells
    told = f"{path.name} is not what its script says; run python notebooks/make_notebook.py"
    assert [cell.source for cell in cells] == [cell.source for cell in expected], told


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_is_kept_with_its_outputs_and_small(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert path.stat().st_size < LARGEST_NOTEBOOK_BYTES


MODULE_PATH = re.compile(r"(?<![\w/.-])(?:impasto|benchmarks)(?:\.[A-Za-z_]\w*)+")
FILE_PATH = re.compile(r"`([\w./-]+\.(?:py|js|md|sh|toml|txt))(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def names_at_top(path):
    """The functions and classes that a Python file defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if hasattr(node, "name")}


def anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unknown_modules(text):
    """The dotted paths in a text that cannot be imported; groups of entry points are none."""
    unknown = []
    groups = {registry.group for registry in REGISTRIES}
    for path in sorted(set(MODULE_PATH.findall(text)) - groups):
        try:
            pkgutil.resolve_name(path)
        except (ImportError, AttributeError):
            unknown.append(path)
    return unknown


def unknown_files(text, folder):
    """The files that a text names, and the functions and classes in them, that do not exist.

    NAME stands for what a reader chooses.
    """
    unknown = []
    for path, definition in FILE_PATH.findall(text):
        if "NAME" in path:
            continue
        homes = (ROOT, ROOT / "src" / "impasto", folder)
        files = [home / path for home in homes if (home / path).is_file()]
        if not files or (definition and definition not in names_at_top(files[0])):
            unknown.append(f"{path}::{definition}" if definition else path)
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_module_that_a_page_names_exists(page):
    assert unknown_modules(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_page_names_exists(page):
    assert unknown_files(page.read_text(encoding="utf-8"), page.parent) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_within_the_repository_leads_somewhere(page):
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_what_does_not_exist_would_be_noticed():
    text = "`impasto.network.load`, impasto.models.load; `engine/course.py`, `api.py::paint_it`"
    assert unknown_modules(text) == ["impasto.network.load"]
    assert unknown_files(text, ROOT) == ["engine/course.py", "api.py::paint_it"]

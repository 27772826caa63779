"""The bundled pictures: there, small, readable, in the wheel; and the script that paints them."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError
from impasto.images import samples

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "make_styles.py"
KINDS: tuple[samples.Kind, ...] = ("content", "style")
PICTURES = [(kind, name) for kind in KINDS for name in samples.names(kind)]


def make_styles(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (file,) = folder.glob("*.whl")
    return file


def test_the_notebook_finds_its_pictures_at_the_root() -> None:
    assert (ROOT / "img/content/dancing.jpg").is_file()
    assert (ROOT / "img/style/picasso.jpg").is_file()
    assert (ROOT / "img/results").is_dir()


def test_there_are_enough_to_choose_from() -> None:
    assert len(samples.names("content")) >= 3
    assert len(samples.names("style")) >= 4


@pytest.mark.parametrize(("kind", "name"), PICTURES)
def test_a_bundled_picture_is_small_and_opens(kind: samples.Kind, name: str) -> None:
    file = samples.path(kind, name)
    assert file.stat().st_size < 300_000
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) >= 300
    assert pixels.std() > 30


@pytest.mark.parametrize(("kind", "name"), PICTURES)
def test_every_picture_is_credited(kind: samples.Kind, name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "examples/README.md").read_text(encoding="utf-8")


def test_a_name_may_leave_out_its_ending() -> None:
    assert samples.path("style", "picasso") == samples.path("style", "picasso.jpg")


@pytest.mark.parametrize("name", ["monet", "", "../content/dancing.jpg", "picasso.png"])
def test_an_unknown_name_lists_those_there_are(name: str) -> None:
    with pytest.raises(ImageError, match=r"picasso\.jpg") as caught:
        samples.path("style", name)
    assert "\n" not in str(caught.value)


def test_the_wheel_carries_the_pictures(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for kind, name in PICTURES:
            packed = archive.read(f"impasto/img/{kind}/{name}")
            assert packed == samples.path(kind, name).read_bytes()


def test_what_the_container_is_given_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    ignored, *patterns = (ROOT / ".dockerignore").read_text().split()
    assert ignored == "*"
    for name in (pattern[1:] for pattern in patterns if pattern.startswith("!")):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "built"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (file,) = (tmp_path / "built").glob("*.whl")
    with zipfile.ZipFile(wheel) as expected, zipfile.ZipFile(file) as archive:
        assert set(archive.namelist()) == set(expected.namelist())


def test_an_installed_wheel_finds_its_own_pictures(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    ask = "from impasto.images import samples; print(samples.path('style', 'picasso'))"
    found = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(found.stdout.strip()) == tmp_path / "impasto/img/style/picasso.jpg"


def test_the_script_paints_every_style_and_the_same_again(tmp_path: Path) -> None:
    for run in ("first", "second"):
        done = make_styles("--size", "64", "--out", str(tmp_path / run))
        assert done.returncode == 0, done.stderr
    painted = {file.name: file.read_bytes() for file in (tmp_path / "first").iterdir()}
    again = {file.name: file.read_bytes() for file in (tmp_path / "second").iterdir()}
    assert sorted(painted) == samples.names("style")
    assert painted == again
    assert len(set(painted.values())) == len(painted)


def test_a_bundled_style_is_what_the_script_paints(tmp_path: Path) -> None:
    assert make_styles("glass", "--size", "192", "--out", str(tmp_path)).returncode == 0
    with (
        Image.open(tmp_path / "glass.jpg") as small,
        Image.open(samples.path("style", "glass")) as bundled,
    ):
        size = (12, 15)
        ours = np.asarray(small.resize(size, Image.Resampling.BOX), np.float32)
        theirs = np.asarray(bundled.resize(size, Image.Resampling.BOX), np.float32)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["monet"], "expected any of"), (["--size", "8"], "at least 64"), (["--size", "x"], "int")],
)
def test_the_script_refuses_what_it_cannot_paint(arguments: list[str], told: str) -> None:
    done = make_styles(*arguments)
    assert done.returncode == 2
    assert told in done.stderr

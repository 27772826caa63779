"""Regular files read, files written whole, identities of files, and names that fit."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from impasto import files
from impasto.errors import SettingsError

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None


def test_a_regular_file_is_read_whole(tmp_path):
    (tmp_path / "file").write_bytes(b"bytes")
    assert files.read_regular(tmp_path / "file") == b"bytes"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert files.read_regular(tmp_path / "link") == b"bytes"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_what_could_be_waited_for_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    before = len([*Path("/dev/fd").iterdir()])
    for path in (tmp_path / "pipe", tmp_path / "link", "/dev/zero", "/dev/null"):
        with pytest.raises(OSError, match="a pipe or a device, not a regular file"):
            files.open_regular(path)
    with pytest.raises(IsADirectoryError) as caught:
        files.open_regular(tmp_path)
    assert caught.value.errno == errno.EISDIR
    assert len([*Path("/dev/fd").iterdir()]) == before


def test_an_absent_file_is_absent(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_regular(tmp_path / "absent")


def test_the_same_file_by_other_names_has_one_identity(tmp_path):
    file = tmp_path / "picture.png"
    file.write_bytes(b"picture")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.png").symlink_to("picture.png")
    (tmp_path / "hard.png").hardlink_to(file)
    (tmp_path / "way").symlink_to("folder")
    others = (
        "link.png",
        "hard.png",
        "folder/../picture.png",
        "way/../picture.png",
        "./picture.png",
    )
    for name in others:
        assert files.identity(tmp_path / name) == files.identity(file)
    (tmp_path / "copy.png").write_bytes(b"picture")
    assert files.identity(tmp_path / "copy.png") != files.identity(file)


def test_files_to_come_are_known_by_folder_and_name(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    (tmp_path / "dangling.png").symlink_to("folder/out.png")
    expected = files.identity(tmp_path / "folder" / "out.png")
    assert files.identity(tmp_path / "way" / "out.png") == expected
    assert files.identity(tmp_path / "dangling.png") == expected
    assert files.identity(tmp_path / "folder" / "other.png") != expected
    assert files.identity(tmp_path / "absent" / "out.png") != expected


def test_a_name_beside_another_keeps_it_where_there_is_room(tmp_path):
    path = tmp_path / "out.png"
    assert files.beside(path, prefix=".", suffix=".checkpoint").name == ".out.png.checkpoint"


@pytest.mark.parametrize("letter", ["x", "画", "é"])
def test_a_name_that_would_be_too_long_is_shortened_by_a_hash(tmp_path, letter):
    long = letter * (251 // len(letter.encode())) + ".png"
    names = [long, f"{long[:-5]}y.png", f"y{long[1:]}"]
    derived = [files.beside(tmp_path / name, prefix=".", suffix=".checkpoint") for name in names]
    assert len({path.name for path in derived}) == len(names)
    for path in derived:
        assert path.name.endswith(".checkpoint")
        path.write_bytes(b"")  # the file system takes it
    assert derived[0] == files.beside(tmp_path / long, prefix=".", suffix=".checkpoint")
    again = files.beside(derived[0], suffix=".part")
    assert len(os.fsencode(again.name)) <= 255


def test_a_home_folder_in_quotes_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert files.path_of("~/a.png") == tmp_path / "a.png"
    assert files.path_of("~nobody-of-this-name/a.png") == Path("~nobody-of-this-name/a.png")
    Path("~").mkdir()
    Path("~/a.png").touch()
    assert files.path_of("~/a.png") == Path("~/a.png")


@pytest.mark.parametrize("address", ["https://example.com/a.png", "http://x", "FTP://x/y"])
def test_a_web_address_is_no_path(address):
    with pytest.raises(SettingsError, match=r"got the web address '.*://.*'; download it first"):
        files.path_of(address)


@pytest.mark.parametrize("path", ["a:b.png", "https.png", "C:/a.png", "folder/http/a.png"])
def test_other_colons_are_no_web_address(path):
    assert files.path_of(path) == Path(path)


def stray(path, number):
    """What a process that was killed while it wrote ``path`` has left behind."""
    partial = path.with_name(f".{path.name}.{number:032x}.part")
    partial.write_bytes(b"half")
    return partial


def test_a_file_is_replaced_and_nothing_is_left(tmp_path):
    path = tmp_path / "out.png"
    for data in (b"first", b"second", b""):
        files.replace(path, data)
        assert path.read_bytes() == data
        assert list(tmp_path.iterdir()) == [path]


posix = pytest.mark.skipif(os.name != "posix", reason="there are no locks of this kind here")


# Ends before the file has its place, and before anything is tidied up.
KILLED = """
import os, sys
from pathlib import Path
from impasto import files
Path.replace = lambda *_: os._exit(9)
files.replace(Path(sys.argv[1]), b"picture")
"""


@posix
@pytest.mark.parametrize("name", ["out.png", "画" * 80 + ".png", "a[b]*.png"])
def test_what_a_killed_process_left_behind_goes_with_the_next_write(tmp_path, name):
    path, made = tmp_path / name, []
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
        assert killed.returncode == 9
        made.append(sorted(tmp_path.iterdir()))
    assert [len(one) for one in made] == [1, 1]
    assert made[0] != made[1]
    files.replace(path, b"picture")
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_what_another_process_writes_is_left_alone(tmp_path):
    path = tmp_path / "out.png"
    busy, others = stray(path, 1), [stray(tmp_path / "out.jpg", 2), tmp_path / ".out.png.part"]
    others[1].write_bytes(b"no number")
    pipe = path.with_name(f".out.png.{3:032x}.part")
    os.mkfifo(pipe)
    with busy.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        files.replace(path, b"picture")
        assert busy.exists()
    assert sorted(tmp_path.iterdir()) == sorted([path, busy, pipe, *others])
    files.replace(path, b"picture")
    assert sorted(tmp_path.iterdir()) == sorted([path, pipe, *others])


@posix
def test_a_file_is_locked_until_it_has_its_place(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    rename, seen = Path.replace, []

    def replace_between(partial, target):
        monkeypatch.setattr(Path, "replace", rename)
        files.replace(path, b"another's")
        seen.append(partial.exists())
        return rename(partial, target)

    monkeypatch.setattr(Path, "replace", replace_between)
    files.replace(path, b"ours")
    assert seen == [True]
    assert path.read_bytes() == b"ours"
    assert list(tmp_path.iterdir()) == [path]

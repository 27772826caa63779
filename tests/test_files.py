"""Files that are read: regular ones alone, and at once."""

import errno
import os
from pathlib import Path

import pytest

from impasto import files


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

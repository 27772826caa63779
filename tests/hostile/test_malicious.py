"""Weights, archives and recipes made to run code, to write elsewhere, or to ask for everything."""

import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import pytest
import torch
from PIL import Image, PngImagePlugin

from impasto.config.settings import Settings
from impasto.engine import checkpoint
from impasto.errors import CheckpointError, ImageError, WeightsError
from impasto.job import recipe
from impasto.job.hashes import InputHashes, PictureHash
from impasto.job.recipe import Decisions, Recipe, Versions
from impasto.weights import formats

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits by /proc")


class Call:
    """An object whose unpickling would call a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def calls(marker):
    """Several ways to create ``marker``."""
    code = f"__import__('os').mkdir({str(marker)!r})"
    return {
        "os.system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "mkdir": Call(os.mkdir, str(marker)),
        "popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "torch.load": Call(torch.load, str(marker)),
    }


WAYS = tuple(calls("marker"))
ZIPPED, LEGACY = {"_use_new_zipfile_serialization": True}, {"_use_new_zipfile_serialization": False}


def saved(path, found, **options):
    torch.save(found, path, **options)
    return path


def refusal(path):
    with pytest.raises(WeightsError) as caught:
        formats.read(path, "vgg16")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ["pth", "ckpt", "safetensors"])
@pytest.mark.parametrize("options", [ZIPPED, LEGACY], ids=["zip", "legacy"])
def test_no_state_dict_runs_code(tmp_path, way, ending, options):
    tensors = {"conv1_1.bias": torch.zeros(64), "x": calls(tmp_path / "ran")[way]}
    path = tmp_path / f"weights.{ending}"
    assert "would run code (it asks for" in refusal(saved(path, tensors, **options))
    assert "it asks for" in refusal(saved(path, {"state_dict": tensors}, **options))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_runs_code(tmp_path, way, protocol):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(calls(tmp_path / "ran")[way], protocol))
    refusal(path)
    with pytest.raises(WeightsError, match="it asks for"):
        formats.from_jax(path.read_bytes(), "vgg16")
    assert list(tmp_path.iterdir()) == [path]


def test_the_attacks_work_where_nothing_stops_them(tmp_path):
    """Or else none of these tests could fail."""
    for way in ("os.system", "eval", "exec", "mkdir"):
        marker = tmp_path / way
        pickle.loads(pickle.dumps(calls(marker)[way]))
        assert marker.exists(), way


# Files that ask for everything, read in a process of their own: should one be let through, it
# would fill the memory, never end, or take the process down.


def global_call(module, name, argument):
    return f"c{module}\n{name}\n".encode() + argument + b"\x85R"


def tuples_in_tuples():
    """A key of 2^60 values, whose hash takes as many steps, in 300 bytes."""
    doubled = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    return b"\x80\x02}K\x01\x85q\x00" + doubled + b"K\x01s."


def archive(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as pack:
        for name, data in members:
            pack.writestr(name, data)
    return stream.getvalue()


def torch_archive(pickled):
    return archive([("a/data.pkl", pickled), ("a/version", b"3\n"), ("a/byteorder", b"little")])


def header(text, length=None):
    """A safetensors file whose header is ``text``, or pretends to be longer."""
    return struct.pack("<Q", len(text) if length is None else length) + text


def tensor(**fields):
    plain = {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}
    return json.dumps({"conv1_1.bias": plain | fields}).encode()


GREEDY = {
    "bytearray": torch_archive(
        b"\x80\x02" + global_call("builtins", "bytearray", b"\x8a\x06\0\0\0\0\0\x10") + b"."
    ),
    "legacy bytearray": b"\x80\x02"
    + global_call("__builtin__", "bytearray", b"J\0\0\0\x7f")
    + b".",
    "tuples": torch_archive(tuples_in_tuples()),
    "old tuples": tuples_in_tuples(),
    "deep tuples": torch_archive(b"\x80\x02}K\x01" + b"\x85" * 1_000_000 + b"K\x01s."),
    "old numbers": b"\x80\2K\1r\xff\xff\xff\x7f.",
    "numbers": torch_archive(b"\x80\2K\1r\xff\xff\xff\x7f."),
    "long pickle": torch_archive(b"\x80\x02" + b"K\x010" * 2_000_000 + b"N."),
    "packed": archive([("a/data.pkl", bytes(200_000_000))], zipfile.ZIP_DEFLATED),
    "two of a name": None,
    "outside": archive([("../../../ran", b"x"), ("/tmp/ran", b"x"), ("a/data.pkl", b"\x80\x02}.")]),
    "length": header(b"{}", 2**63),
    "long header": header(b"{}", 2**40),
    "empty header": header(b"{", 0),
    "shape": header(tensor(shape=[2**62, 2**62])) + bytes(256),
    "negative": header(tensor(shape=[-64])) + bytes(256),
    "offsets": header(tensor(data_offsets=[0, 2**60])) + bytes(256),
    "backwards": header(tensor(data_offsets=[256, 0])) + bytes(256),
    "escapes": header(tensor(dtype="\x1b[2J\x1b]0;title\x07")) + bytes(256),
    "nested": header(b'{"a":' * 100_000),
    "brackets": header(b"{" + b"[" * 1_000_000),
    "nobody": header(b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,0]}}'),
}

READER = """
import json, os, pathlib, resource, signal, sys
import torch
from impasto.weights import formats
from impasto.errors import WeightsError

# Of addresses, of which torch takes many, so much more than now.
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 2 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    signal.alarm(10)
    try:
        formats.read(path, "vgg16")
        told = None
    except WeightsError as error:
        told = str(error)
    try:
        with path.open("rb") as file:
            formats.from_jax(file.read(2**22), "vgg16")
        told = None
    except WeightsError:
        pass
    print(json.dumps([path.name, told]), flush=True)
# Not getrusage: that begins with the peak of the process before exec.
with open("/proc/self/status") as status:
    (peak_kib,) = [line.split()[1] for line in status if line.startswith("VmHWM")]
print(int(peak_kib) // 1024)
"""


def test_no_weights_file_fills_the_memory_or_never_ends(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive([("a/data.pkl", b"\x80\x02}."), ("a/data.pkl", b"\x80\x02N.")])
    for name, data in (GREEDY | {"two of a name": twice}).items():
        (folder / name).write_bytes(data)
    with (folder / "vast").open("wb") as file:
        file.write(header(b"{}"))
        file.truncate(formats.MAX_FILE_BYTES + 1)
    command = [sys.executable, "-W", "error", "-c", READER, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, ""), lines[-1:]
    *told, peak_mib = map(json.loads, lines)
    assert peak_mib < 1024
    assert len(told) == len(GREEDY) + 1
    for name, message in told:
        assert message is not None, name
        assert message.isprintable(), name
        assert len(message) < 1000, name
    messages = dict(told)
    assert "it asks for builtins bytearray" in messages["bytearray"]
    assert "tuples without end" in messages["tuples"]
    assert "tuples without end" in messages["deep tuples"]
    assert "parts are compressed" in messages["packed"]
    assert "the same name" in messages["two of a name"]
    assert "at most 4 GiB" in messages["vast"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["weights", *messages])


def test_a_source_archive_is_never_unpacked_to_files(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, target in (
            ("../../ran", tarfile.REGTYPE, ""),
            (str(tmp_path / "ran"), tarfile.REGTYPE, ""),
            ("link", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard link", tarfile.LNKTYPE, "/etc/passwd"),
            ("device", tarfile.CHRTYPE, ""),
            ("pipe", tarfile.FIFOTYPE, ""),
            ("folder", tarfile.DIRTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
        names = tar.getnames()
    for name in names:
        with pytest.raises(WeightsError) as caught:
            formats.unpack(path, name, "0" * 64)
        assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_refuses_a_malicious_checkpoint(tmp_path):
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "painting.png")
    saved(tmp_path / "best.ckpt", {"conv1_1.bias": calls(tmp_path / "ran")["os.system"]})
    before = sorted(tmp_path.iterdir())
    words = ["style", "painting.png", "-o", "out.png", "--size=32", "--weights", "best.ckpt"]
    command = [sys.executable, "-m", "impasto", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "it asks for posix system" in line
    assert sorted(tmp_path.iterdir()) == before


# Recipes

HOSTILE_NAME = "../../etc/\x1b[2J\x1b]0;owned\x07\npasswd"


def made(**inputs):
    return Recipe(
        mode="style",
        settings=Settings(size=32),
        weights_sha256="0" * 64,
        versions=Versions(impasto="1.0\x1b[31m", torch="2.13\n", python="3.12"),
        decisions=Decisions(precision="fp32", device="cpu", threads=1),
        inputs=InputHashes(**inputs),
    )


def with_text(path, *texts):
    info = PngImagePlugin.PngInfo()
    for text in texts:
        info.add_itxt("Recipe", text, zip=True)
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    return path


def run_here(capfd, *words):
    from impasto.cli.app import run

    with pytest.raises(SystemExit) as ended:
        run([str(word) for word in words])
    out, err = capfd.readouterr()
    return ended.value.code or 0, out, err


def test_what_a_recipe_names_is_shown_escaped(tmp_path, capfd):
    path = with_text(
        tmp_path / "evil.png",
        made(styles=(PictureHash(name=HOSTILE_NAME, sha256="1" * 64),)).text(),
    )
    code, out, err = run_here(capfd, "recipe", path)
    assert (code, err) == (0, "")
    assert out.replace("\n", "").isprintable()
    code, out, err = run_here(capfd, "replay", path, "-o", tmp_path / "out.png")
    assert (code, out) == (2, "")
    assert err.rstrip("\n").isprintable()
    assert repr(HOSTILE_NAME) in err


def test_a_path_in_a_recipe_is_never_taken(tmp_path, capfd):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (32, 32), "teal").save(secret)
    named = PictureHash(name=str(secret), sha256=hashlib.sha256(secret.read_bytes()).hexdigest())
    path = with_text(tmp_path / "evil.png", made(styles=(named,)).text())
    code, _, err = run_here(capfd, "replay", path, "-o", tmp_path / "out.png")
    assert code == 2
    assert "style: expected 1 of these pictures, got 0" in err


@pytest.mark.parametrize(
    "text",
    [
        "[" * 900_000,
        '{"settings":' * 80_000,
        '{"format": 1' + "0" * 900_000 + "}",
        json.dumps({"\x1b[2J" * 1000: 1}),
        made().text().replace('"size":32', '"size":1e400'),
        made().text().replace('"seed":0', f'"seed":{"9" * 200_000}'),
        made().text().replace('"fp32"', "\"__import__('os').system('touch ran')\""),
        made().text()[:-1] + ',"__class__":"os.system","py/object":"os.system"}',
    ],
    ids=["brackets", "braces", "digits", "escapes", "infinite", "seed", "code", "classes"],
)
def test_a_hostile_text_in_a_picture_is_refused_in_one_line(tmp_path, text, capfd):
    path = with_text(tmp_path / "evil.png", text)
    code, out, err = run_here(capfd, "recipe", path)
    assert (code, out) == (2, "")
    assert err.startswith(f"impasto: {str(path)!r} has a recipe")
    assert err.rstrip("\n").isprintable()
    assert len(err) < 1000
    assert list(tmp_path.iterdir()) == [path]


def test_texts_that_unpack_to_more_than_64_mb_are_refused(tmp_path):
    path = with_text(tmp_path / "evil.png", *(["x" * 1_000_000] * 100))
    assert path.stat().st_size < 200_000
    with pytest.raises(ImageError, match="damaged"):
        recipe.read(path)
    one = with_text(tmp_path / "one.png", "x")
    bomb = b"Recipe\0\1\0\0\0" + zlib.compress(bytes(100_000_000))
    chunk = struct.pack(">I", len(bomb)) + b"iTXt" + bomb
    chunk += struct.pack(">I", zlib.crc32(b"iTXt" + bomb))
    data = one.read_bytes()
    path.write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(ImageError, match="damaged"):
        recipe.read(path)


@pytest.mark.parametrize("way", WAYS)
def test_no_checkpoint_runs_code(tmp_path, way):
    made = {"image": torch.zeros(1, 3, 4, 4), "x": calls(tmp_path / "ran")[way]}
    for path in (
        saved(tmp_path / "zipped", made, **ZIPPED),
        saved(tmp_path / "old", made, **LEGACY),
    ):
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            checkpoint.read(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "zipped"]


@pytest.mark.parametrize("shape", [[1, 3, 2**31, 2**31], [2**62, 4, 4, 4], [1, 3, 4, 4]])
def test_a_checkpoint_of_absurd_sizes_is_refused_before_it_is_read(tmp_path, shape):
    header = {"image": {"dtype": "F32", "shape": shape, "data_offsets": [0, 2**40]}}
    text = json.dumps(header).encode()
    path = tmp_path / "absurd"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 192)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path)
    assert str(caught.value).isprintable()

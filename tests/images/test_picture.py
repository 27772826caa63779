"""Where pictures come from, which are refused, and how pixels become a Pillow image."""

import io
import os
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.images.written_files import (
    P3_TO_XYZ_D50,
    colours,
    file_bytes,
    matrix_profile,
    photograph,
    png,
    rgb,
    tiff,
)

from impasto import images
from impasto.errors import ImageError, ShapeError
from impasto.images.picture import MAX_FILE_BYTES

# Where pictures come from


def test_a_path_gives_name_and_hash(tmp_path):
    path = tmp_path / "dancing.tar.png"
    path.write_bytes(file_bytes(Image.new("RGB", (2, 3), "red")))
    by_path, by_text = images.load(path), images.load(str(path))
    by_bytes = images.load(path.read_bytes())
    assert (by_path.name, by_text.name, by_bytes.name) == ("dancing.tar", "dancing.tar", "image")
    assert by_path.sha256 == by_text.sha256 == by_bytes.sha256
    assert len(by_path.sha256) == 64
    assert images.load(by_path) is by_path


def test_arrays_hash_by_their_values():
    samples = colours(8)
    one, same = images.load(samples), images.load(Image.fromarray(samples))
    assert one.sha256 == same.sha256 != images.load(samples[::-1]).sha256
    assert one.sha256 != images.load(samples.reshape(7, 5, 3)).sha256


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float32, np.float64])
def test_arrays_of_every_shape_and_type(shape, dtype):
    values = np.random.default_rng(0).random(shape)
    kind = np.dtype(dtype)
    white = 1 if kind.kind == "f" else np.iinfo(kind).max
    array = (values * white).astype(kind)
    picture = images.load(array)
    planes = (array.astype(np.float64) / white).reshape(5, 7, -1)
    np.testing.assert_allclose(rgb(picture), np.broadcast_to(planes[..., :3], (5, 7, 3)), atol=1e-6)
    assert (picture.alpha is None) == (len(shape) == 2 or shape[2] < 4)
    assert picture.name == "image"


@pytest.mark.parametrize(
    "shape", [(3, 5, 7), (1, 3, 5, 7), (1, 5, 7), (4, 5, 7), (1, 1, 5, 7), (1, 4, 5, 7)]
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
def test_tensors_of_every_shape_and_type(shape, dtype):
    tensor = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    tensor = (tensor * 255).to(dtype) if dtype == torch.uint8 else tensor.to(dtype)
    picture = images.load(tensor)
    unit = tensor.double().reshape(-1, 5, 7) / (255 if dtype == torch.uint8 else 1)
    torch.testing.assert_close(
        picture.pixels[0].double(), unit[:3].expand(3, 5, 7), atol=1e-6, rtol=0
    )
    assert (picture.alpha is None) == (unit.shape[0] < 4)


def test_the_caller_keeps_what_is_the_callers():
    array, tensor = np.full((2, 2, 3), 1.00001), torch.full((3, 2, 2), 1.00001)
    tensor.requires_grad_()
    for source in (array, tensor):
        picture = images.load(source)
        assert picture.pixels.max() == 1
        picture.pixels.zero_()
    assert array.min() > 1
    assert tensor.min() > 1


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (np.zeros((3, 5, 7)), ShapeError, "moveaxis"),
        (np.zeros((5, 7, 2)), ShapeError, r"\(5, 7, 2\)"),
        (np.zeros((0, 7, 3)), ShapeError, "shape"),
        (np.zeros((2, 5, 7, 3)), ShapeError, "shape"),
        (np.zeros((5, 7), np.int32), ImageError, "int32"),
        (np.zeros((5, 7), complex), ImageError, "complex"),
        (np.array([[np.nan]]), ImageError, "NaN"),
        (np.array([[np.inf]]), ImageError, "infinity"),
        (np.array([[0.0, 255.0]]), ImageError, "0 to 255"),
        (np.array([[-0.5]]), ImageError, "-0.5"),
        (torch.zeros(5, 7, 3), ShapeError, "permute"),
        (torch.zeros(2, 3, 5, 7), ShapeError, "one picture at a time"),
        (torch.zeros(2, 5, 7), ShapeError, r"\(2, 5, 7\)"),
        (torch.zeros(7), ShapeError, "shape"),
        (torch.zeros(3, 0, 7), ShapeError, "shape"),
        (torch.zeros(3, 5, 7, dtype=torch.int64), ImageError, "int64"),
        (torch.full((3, 2, 2), torch.nan), ImageError, "NaN"),
        (torch.full((3, 2, 2), 2.0), ImageError, "2"),
        (Image.new("RGB", (0, 3)), ShapeError, "0 x 3"),
        ([[0.0]], ImageError, "list"),
        (None, ImageError, "NoneType"),
    ],
)
def test_values_that_are_no_picture(source, error, words):
    with pytest.raises(error, match=words) as caught:
        images.load(source)
    assert "\n" not in str(caught.value)


# Bad files


BAD_FILES = {
    "empty.png": (b"", "is empty"),
    "text.jpg": (b"this is no picture\n" * 30, "is a text"),
    "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "page.png": (b"\n <!DOCTYPE html><html></html>", "web page"),
    "archive.png": (b"PK\x03\x04" + bytes(100), "ZIP"),
    "document.png": (b"%PDF-1.7\n" + bytes(100), "PDF"),
    "phone.png": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC|damaged"),
    "film.mp4": (b"\0\0\0\x18ftypisom" + bytes(100), "is a film"),
    "half.floats.tif": (
        tiff(np.ones((2, 2, 3), np.float16), 2, sample_format=3),
        "3 x 16 bits a pixel, floats",
    ),
    "noise.png": (bytes(range(256)), "cannot be read as a picture"),
    "half.jpg": (photograph("JPEG")[:1500], "cut short"),
    "half.png": (photograph("PNG")[:3000], "cut short"),
    "half.webp": (photograph("WEBP")[:500], "cut short"),
    "half.tif": (photograph("TIFF")[:3000], "damaged"),
    "half16.png": (png(colours(10, 64, 64, dtype=np.uint16), 2)[:9000], "cut short"),
    "half16.tif": (tiff(colours(10, 8, 8, dtype=np.uint16), 2)[:300], "damaged"),
    "header.png": (photograph("PNG")[:20], "damaged"),
    "bomb.png": (
        png(np.zeros((1, 1, 3), np.uint8), 2, size=(20_000, 20_000)),
        "at most 300 megapixels.*400000000",
    ),
    "bomb16.png": (
        png(np.zeros((1, 1, 3), np.uint16), 2, size=(2**31 - 1, 2**31 - 1)),
        "at most 300 megapixels",
    ),
    "none.png": (png(np.zeros((1, 1, 3), np.uint8), 2, size=(0, 0)), "damaged|no pixels"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_end_in_one_line(tmp_path, name, capfd):
    data, words = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(ImageError, match=words) as caught:
            images.load(source)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert capfd.readouterr() == ("", "")
    assert path.read_bytes() == data


def test_damaged_files_leave_the_terminal_alone(tmp_path):
    """In a process of its own, because pytest takes up logs that Python would print."""
    lzw = file_bytes(Image.fromarray(colours(14, 64, 64)), "TIFF", compression="tiff_lzw")
    many = tiff(colours(15), 2).replace(
        struct.pack("<HHIHH", 277, 3, 1, 3, 0), struct.pack("<HHIHH", 277, 3, 1, 512, 0)
    )
    damaged = [lzw[:500] + b"\xff" * 500 + lzw[1000:], many, photograph("JPEG")[:1500]]
    for index, data in enumerate(damaged):
        (tmp_path / str(index)).write_bytes(data)
    script = """
import pathlib, sys
from impasto import errors
from impasto.images import decode
for path in pathlib.Path(sys.argv[1]).iterdir():
    try:
        decode.decode(path.read_bytes(), path.name)
    except errors.ImageError:
        print("refused")
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["refused"] * 3, "")


def test_a_large_picture_leaks_no_warning():
    data = png(np.zeros((1, 1, 3), np.uint8), 2, size=(12_000, 12_000))
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with pytest.raises(ImageError, match="cut short"):
            images.load(data)
    assert not leaked
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "dancing.jpg").touch()
    with pytest.raises(ImageError, match=r"no file .*did you mean 'dancing.jpg'"):
        images.load(tmp_path / "dancng.jpg")
    with pytest.raises(ImageError, match="check the path"):
        images.load(tmp_path / "zebra.png")
    with pytest.raises(ImageError, match="no folder"):
        images.load(tmp_path / "nowhere" / "dancing.jpg")
    with pytest.raises(ImageError, match="no file"):
        images.load(tmp_path / "dancing.jpg" / "inside.jpg")


def test_names_that_no_file_can_have():
    for name in ("a\0b.png", "x" * 5000 + ".png"):
        with pytest.raises(ImageError, match="cannot be read"):
            images.load(name)


def test_folders_pipes_and_devices_are_refused_at_once(tmp_path):
    pipe, link = tmp_path / "pipe.png", tmp_path / "link.png"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    with pytest.raises(ImageError, match="is a folder"):
        images.load(tmp_path)
    for path in (pipe, link, Path("/dev/zero")):
        with pytest.raises(ImageError, match="device or a pipe"):
            images.load(path)


def test_a_file_of_many_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.write(photograph())
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="GiB"):
        images.load(path)


def test_strange_names_are_shown_escaped(tmp_path):
    with pytest.raises(ImageError) as caught:
        images.load(tmp_path / "two\nlines\x1b[31m.png")
    assert r"two\nlines\x1b" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"\\udcff"):
        images.load(os.fsencode(str(tmp_path)).decode() + "/\udcff.png")


def test_a_path_of_odd_bytes_can_be_read(tmp_path):
    path = tmp_path / os.fsdecode(b"odd\xff\n.png")
    path.write_bytes(photograph())
    assert images.load(path).height_px == 64


def test_threads_may_load_at_once():
    sources = [photograph(name) for name in ("PNG", "JPEG", "WEBP", "TIFF")] * 4
    sources += [
        png(colours(11, dtype=np.uint16), 2, profile=matrix_profile(P3_TO_XYZ_D50, 2.2))
    ] * 4
    hashes = [images.load(source).pixels.sum().item() for source in sources]
    sums = [0.0] * len(sources)

    def work(index):
        sums[index] = images.load(sources[index]).pixels.sum().item()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(sources))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == hashes


def test_to_image_rounds_clips_and_tags():
    pixels = torch.tensor([-1.0, 0.0, 0.5 / 255 + 1e-4, 2.0]).expand(1, 3, 1, 4)
    image = images.to_image(pixels)
    assert image.mode == "RGB"
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 255]
    assert b"acsp" in image.info["icc_profile"][:40]
    with_alpha = images.to_image(pixels, torch.full((1, 1, 1, 4), 0.2))
    assert with_alpha.mode == "RGBA"
    assert np.asarray(with_alpha)[0, :, 3].tolist() == [51] * 4


def test_to_image_refuses_other_shapes_and_nan():
    with pytest.raises(ShapeError, match=r"\(3, 4, 4\)"):
        images.to_image(torch.zeros(3, 4, 4))
    with pytest.raises(ShapeError, match=r"\(1, 1, 4, 4\)"):
        images.to_image(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ImageError, match="NaN"):
        images.to_image(torch.full((1, 3, 4, 4), torch.nan))


def test_a_file_may_be_open_and_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "a cat.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path)
    expected = images.load(path)
    with path.open("rb") as file:
        file.read(7)
        for _ in range(2):
            picture = images.load(file)
            assert picture.pixels.equal(expected.pixels)
            assert (picture.name, picture.file_name) == ("a cat", "a cat.png")
            assert picture.sha256 == expected.sha256
    with pytest.raises(ImageError, match=r"'a cat\.png' cannot be read .* open it again"):
        images.load(file)
    with path.open(encoding="latin-1") as text, pytest.raises(ImageError, match="binary mode"):
        images.load(text)
    assert images.load(io.BytesIO(path.read_bytes())).file_name is None


class Upload:
    """An upload as Starlette has it: read as a coroutine, with the file beside."""

    def __init__(self, data, filename):
        self.file, self.filename = io.BytesIO(data), filename

    async def read(self, size=-1):
        raise AssertionError


def test_an_upload_is_read_from_its_file(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    picture = images.load(Upload((tmp_path / "a.png").read_bytes(), "../up/cat.png"))
    assert picture.file_name == "cat.png"
    assert picture.pixels[0, :, 0, 0].tolist() == [1, 0, 0]
    with pytest.raises(ImageError, match=r"'evil\.txt'"):
        images.load(Upload(b"no picture", "evil.txt"))


class OnHost:
    """An array of another library, as JAX has it."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


class OnDevice:
    """An array that refuses to be NumPy's, as CuPy's do."""

    def __init__(self, array):
        self._tensor = torch.from_numpy(array)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion")

    def __dlpack__(self, **options):
        return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._tensor.__dlpack_device__()


@pytest.mark.parametrize("kind", [OnHost, OnDevice])
def test_arrays_of_other_libraries_have_numpys_axes(kind):
    array = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    assert images.load(kind(array)).pixels.equal(images.load(array).pixels)


def test_an_array_that_cannot_be_converted_is_refused():
    class Neither:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("on the moon")

    with pytest.raises(ImageError, match=r"got Neither, which cannot be \(on the moon\)"):
        images.load(Neither())

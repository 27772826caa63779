"""What the command refuses: in one line, with its exit code, and with nothing written."""

import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.weights import formats

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_400_megapixels():
    row = b"\0" + b"\0" * (20_000 // 8)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * 20_000))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def damaged(folder):
    """Pictures that cannot be used, by name, beside the good ones."""
    (folder / "folder.png").mkdir()
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("a letter, and no picture\n")
    for ending in ("jpg", "png"):
        with Image.open("photograph.png") as photograph:
            photograph.save(f"whole.{ending}")
        data = Path(f"whole.{ending}").read_bytes()
        Path(f"cut.{ending}").write_bytes(data[: len(data) // 2])
    Image.new("RGB", (1, 1)).save("dot.png")
    Image.new("RGB", (3, 2000)).save("line.png")
    (folder / "vast.png").write_bytes(png_of_400_megapixels())
    return folder


@pytest.fixture
def refuse(impasto, folder):
    """``refuse(*words)``: the one line that the command says; nothing may have been written."""

    def call(*words, code=2):
        before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
        outcome = impasto(*words)
        assert (outcome.code, outcome.out) == (code, "")
        assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before
        (line,) = outcome.err.splitlines()
        assert line.startswith("impasto: ")
        return line.removeprefix("impasto: ")

    return call


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.png", "no file 'absent.png': expected a picture"),
        ("photogarph.png", "did you mean 'photograph.png'"),
        ("no such/folder.png", "there is no folder"),
        ("folder.png", "is a folder: expected a picture file"),
        ("empty.jpg", "is empty: expected a picture"),
        (
            "text.jpg",
            "is a text: expected AVIF, BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF, WEBP or TGA",
        ),
        ("cut.jpg", "is damaged or cut short: expected a whole picture"),
        ("cut.png", "is damaged or cut short: expected a whole picture"),
        ("dot.png", "is too small: expected at least 8 pixels a side for relu4_2, got 1 x 1"),
        ("line.png", "is too small: expected at least 8 pixels a side for relu4_2, got 3 x 2000"),
        ("vast.png", "is too large: expected at most 300 megapixels"),
        ("", "is a folder: expected a picture file"),
    ],
)
def test_unusable_pictures(refuse, damaged, quick, name, message):
    Path("out.png").write_text("kept")
    assert message in refuse("transfer", name, "painting.png", "-o", "out.png", *quick)
    assert message in refuse("transfer", "photograph.png", name, "-o", "out.png", *quick)
    assert Path("out.png").read_text() == "kept"


@pytest.mark.parametrize("name", ["text.jpg", "cut.png", "folder.png", "vast.png"])
def test_unusable_starts(refuse, damaged, quick, name):
    refuse(*TRANSFER, *quick, "--start", name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--size 0", "size: expected a number greater than or equal to 16, got '0'"),
        ("--size -5", "size: expected a number greater than or equal to 16, got '-5'"),
        ("--size 70000", "size: expected a number less than or equal to 65536, got '70000'"),
        (
            "--size large",
            "size: expected a whole number of pixels, both sides such as 96x64, or original",
        ),
        ("--size 48.5", "size: expected a whole number of pixels, both sides"),
        ("--seed -1", "seed: expected a number greater than or equal to 0, got '-1'"),
        ("--seed 9223372036854775808", "seed: expected a number less than 9223372036854775808"),
        ("--learning-rate 0", "learning_rate: expected a number greater than 0, got '0'"),
        ("--alpha nan", "alpha: expected a finite number, got 'nan'"),
        ("--beta -1", "beta: expected a number greater than or equal to 0, got '-1'"),
        ("--save-every 0", "save_every: expected a number greater than or equal to 1, got '0'"),
        ("--threads 0", "threads: expected a number greater than or equal to 1, got '0'"),
        ("--network vgg11", "network: expected 'vgg16' or 'vgg19', got 'vgg11'"),
        ("--optimiser sgd", "optimiser: expected 'lbfgs' or 'adam', got 'sgd'"),
        ("--preset none", "no preset 'none': expected one of default"),
        ("--device tpu", "device: expected something like auto or cpu or cuda:1, got 'tpu'"),
        ("--device cuda:99", "device: no 'cuda:99' on this machine: expected one of auto, "),
        ("--content-layers relu9_9", "content_layers: vgg16 has no layer 'relu9_9'"),
        ("--style-layers relu5_4", "vgg16 has no layer 'relu5_4': vgg19 has it"),
        ("--style-layers relu1_1=-1", "style_layers: expected weights of at least 0"),
        ("--content-layers relu1_1=0", "content_layers: expected weights of at least 0"),
        ("--content-layers relu1_1=x", "expected a layer as NAME or NAME=WEIGHT"),
        ("--style-weights 0", "style_weights: expected weights of at least 0"),
        ("--style-weights 1,2", "style_weights: expected 1, one for each style picture, got 2"),
        ("--style-weights one", "expected a valid number, got 'one'"),
        ("--alpha 0 --beta 0", "alpha and beta: expected a weight above 0 in style_transfer mode"),
        ("--strength 1.5", "strength: expected a number less than or equal to 1, got '1.5'"),
        ("--strength 0.5 --beta 1", "expected strength, or alpha and beta, got strength 0.5"),
        ("--strength 0.5 --normalisation paper", "expected alpha and beta with the paper's"),
        ("--start content=0,noise=0", "start: expected a blend of each of matched, content"),
        ("--style-scale 0", "style_scale.0: expected a number greater than or equal to 0.1"),
        (
            "--style-scale 1,2",
            "style_scale: expected one number, or one for each style picture (1)",
        ),
        ("--colour keeps", "colour: expected 'free', 'keep' or 'match', got 'keeps'"),
        ("--aspect 16:9", "aspect: expected none in style_transfer mode"),
        ("--start nothing.png", "start: expected one of matched, content, style, noise, or a "),
        ("--sise 64", "No such option: --sise"),
        ("--size", "Option '--size' requires an argument."),
        ("--weights absent.pth", "no file 'absent.pth': expected a weights file"),
        ("--weights photograph.png", "'photograph.png' is not a readable weights file"),
        (
            "--size 16 --coarsest 16 --motifs 1",
            "expected a result of at least 16 pixels on its shorter side",
        ),
    ],
)
def test_unusable_options(refuse, quick_at_a_strength, words, message):
    assert message in refuse(*TRANSFER, *quick_at_a_strength, *words.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("content photograph.png --start style", "start: 'style' needs a picture that content"),
        ("content photograph.png --start matched", "start: 'matched' needs a picture that content"),
        ("content photograph.png --start noise=1,style=1", "start: 'style' needs a picture that"),
        ("content photograph.png --strength 0.5", "strength: expected none in content mode"),
        ("content photograph.png --colour keep", "colour: expected free in content mode"),
        ("style painting.png --colour match", "colour: expected free in style mode"),
        ("content photograph.png --alpha 0", "alpha: expected a weight above 0 in content mode"),
        ("content photograph.png --aspect 1:1", "aspect: expected none in content mode"),
        ("style painting.png --start content", "start: 'content' needs a picture that style mode"),
        ("style painting.png --beta 0", "beta: expected a weight above 0 in style mode, got 0"),
        ("style painting.png --aspect 0:1", "aspect: expected sides above 0, got '0:1'"),
        ("style painting.png --aspect 1:9", "expected a result of at least 16 pixels"),
        ("content photograph.png painting.png", "unexpected extra argument"),
        ("transfer photograph.png", "Missing argument 'STYLE'"),
        ("transfer", "Missing argument 'CONTENT'"),
        ("paint photograph.png", "No such command 'paint'"),
        ("weights fetch vgg11", "network 'vgg11': expected one of vgg16, vgg19, alexnet, dists"),
    ],
)
def test_words_that_contradict_the_command(refuse, quick_at_a_strength, words, message):
    mode, *rest = words.split()
    if mode not in ("weights", "paint"):
        rest += ["-o", "out.png", *quick_at_a_strength]
    assert message.lower() in refuse(mode, *rest).lower()


def test_an_output_is_asked_for(refuse):
    assert "Missing option '--output'" in refuse("style", "painting.png")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("absent/out.png", "expected one to write 'absent/out.png' into; create it first"),
        ("photograph.png/out.png", "no folder"),
        ("out.xyz", "expected a name that ends in .png, .jpg"),
        ("out", "expected a name that ends in .png, .jpg"),
        (".png", "expected a name that ends in .png, .jpg"),
        ("folder.png", "'folder.png' is a folder: expected a file's path"),
        ("/dev/null", "expected a name that ends in .png, .jpg"),
        ("/proc/out.png", "cannot be written"),
        (f"{'x' * 300}.png", "cannot be written"),
        ("loop.png", "cannot be written (Too many levels of symbolic links)"),
        ("around.png", "cannot be written (Too many levels of symbolic links)"),
        ("loop.png/out.png", "cannot be written (Too many levels of symbolic links)"),
        ("pipe.png", "is no regular file"),
        ("link to pipe.png", "is no regular file"),
        ("nowhere.png", "no folder"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_unusable_outputs(refuse, damaged, quick, folder, output, message):
    links = {
        "loop.png": "loop.png",
        "around.png": "there.png",
        "there.png": "around.png",
        "link to pipe.png": "pipe.png",
        "nowhere.png": "absent/out.png",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    assert message in refuse("style", "painting.png", "-o", output, *quick)
    assert all((folder / name).is_symlink() for name in links)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--timelapse run.mp4", "'run.mp4' is no animation: expected a path that ends in .gif"),
        ("--timelapse absent/run.gif", "no folder"),
        ("--timelapse folder.gif", "'folder.gif' is a folder"),
        ("--timelapse ./out.gif", "expected two files"),
        ("-o out.webp --size 20000", "expected at most 16383 pixels a side in WEBP, got 20000"),
    ],
)
def test_unusable_places_for_what_comes_beside(refuse, folder, quick, words, message):
    (folder / "folder.gif").mkdir()
    assert message in refuse("style", "painting.png", "-o", "out.gif", *quick, *words.split())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(refuse, folder, quick):
    (folder / "closed").mkdir(mode=0o500)
    assert "cannot be written" in refuse("style", "painting.png", "-o", "closed/out.png", *quick)


def test_a_weights_file_of_another_network(refuse, folder):
    few = {name: torch.zeros(4, 3, 3, 3) for name in formats.shapes("vgg16")}
    (folder / "few.safetensors").write_bytes(formats.encode(few))
    message = refuse(*TRANSFER, "--weights", "few.safetensors")
    assert "'few.safetensors' does not contain the weights of vgg16" in message


def test_without_weights_and_network_it_names_the_three_ways(impasto, folder):
    outcome = impasto(*TRANSFER, "--offline")
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    for source in ("impasto weights fetch vgg16", "--weights FILE", "IMPASTO_WEIGHTS_VGG16"):
        assert source in line
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize("mode", ["transfer", "content", "style"])
def test_bare_commands_are_usage_errors(impasto, mode):
    assert impasto(mode).code == 2


@pytest.mark.parametrize("words", [(), ("weights",)])
def test_without_any_words_it_shows_its_help(impasto, words):
    outcome = impasto(*words)
    assert outcome.code == 2
    assert "Usage" in outcome.out + outcome.err
    assert "impasto:" not in outcome.err


def test_a_picture_that_is_not_a_number_somewhere(folder, weights_file):
    from impasto import ImageError, ShapeError, style_transfer

    holed = np.full((40, 40, 3), 0.5, np.float32)
    holed[3, 4, 1] = np.nan
    with pytest.raises(ImageError, match=r"expected numbers in \[0, 1\], got NaN"):
        style_transfer(holed, "painting.png", weights=weights_file)
    with pytest.raises(ShapeError, match=r"expected .* got \(2, 40, 40\)"):
        style_transfer(torch.zeros(2, 40, 40), "painting.png", weights=weights_file)


def test_refusals_of_a_real_process(run_process):
    outcome = run_process("transfer", "absent.png", "painting.png", "-o", "out.png")
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("impasto: no file 'absent.png'")


@pytest.fixture
def masks(folder):
    """Masks for the photograph of 96 x 72 pixels."""
    Image.new("L", (96, 72), 255).save("white.png")
    Image.new("L", (96, 72), 0).save("black.png")
    Image.new("L", (72, 72), 255).save("square.png")


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("white.png", "region: expected MASK:STYLE or MASK:STYLE:STYLE_MASK, got 'white.png'"),
        ("black.png:other.png", "expected some white, got black everywhere"),
        ("square.png:other.png", "expected the aspect of its picture, 48 x 36, got 72 x 72"),
        ("white.png:other.png:white.png", "the style mask of region 1"),
        ("absent.png:other.png", "no file 'absent.png'"),
    ],
)
def test_a_region_that_cannot_be(refuse, masks, quick, region, message):
    assert message in refuse(*TRANSFER, *quick, "--region", region)


def test_a_region_where_there_is_no_style(refuse, masks, quick):
    words = ("content", "photograph.png", "-o", "out.png", *quick)
    assert "region: expected none in content mode" in refuse(
        *words, "--region", "white.png:other.png"
    )


def test_a_seamless_photograph(refuse, quick):
    assert "seamless: expected it only in style mode" in refuse(*TRANSFER, *quick, "--seamless")

"""Pictures as a stranger may send them: whole, cut, flipped, bombs, and what is no file at all."""

import io
import os
import random
import re
import socket
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 40, 48
CUTS, FLIPS = 9, 9


@pytest.fixture(scope="session")
def whole():
    """``whole[name]``: a good file of every kind that is read, by its name."""
    return whole_files()


@pytest.fixture(scope="session")
def hostile_files(whole):
    """``hostile_files[name]``: the bytes of files that a stranger may send."""
    return {
        **{f"{name}.whole": data for name, data in whole.items()},
        **cut(whole),
        **flipped(whole),
        **of_other_sizes(whole),
        **bombs(),
        **in_disguise(),
    }


@pytest.fixture(scope="session")
def hostile_folder(hostile_files, tmp_path_factory):
    """All of them in a folder, and beside them what is no file, under names as bad as they come."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, data in hostile_files.items():
        (folder / name).write_bytes(data)
    good = hostile_files["rgb.png.whole"]
    for name in (b"two\nlines.png", b"\xff\xfe.png", b"\x1b[31mred.png", b"x" * 251 + b".png"):
        (folder / os.fsdecode(name)).write_bytes(good)
    for name, target in (
        ("zero", "/dev/zero"),
        ("random", "/dev/urandom"),
        ("terminal", "/dev/tty"),
        ("loop", "link to loop"),
        ("nothing", "no such file"),
        ("good", "rgb.png.whole"),
    ):
        (folder / f"link to {name}").symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "empty.png").touch()
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(folder, os.O_RDONLY)
        # The path of a socket may have 107 bytes.
        server.bind(f"/proc/self/fd/{here}/socket.png")
        os.close(here)
    return folder


def whole_files():
    samples = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    colour = Image.fromarray(samples).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    rgb, grey = colour.convert("RGB"), colour.convert("L")
    turned = [rgb.transpose(Image.Transpose.ROTATE_180), rgb.transpose(0)]
    files = {}
    for name, image, format_name, options in (
        ("rgb.png", rgb, "PNG", {}),
        ("rgba.png", colour, "PNG", {}),
        ("palette.png", rgb.quantize(16), "PNG", {}),
        ("bits.png", grey.convert("1"), "PNG", {}),
        ("moving.png", rgb, "PNG", {"save_all": True}),
        ("rgb.jpg", rgb, "JPEG", {}),
        ("scans.jpg", rgb, "JPEG", {"progressive": True}),
        ("inks.jpg", rgb.convert("CMYK"), "JPEG", {}),
        ("two.mpo", rgb, "MPO", {"save_all": True}),
        ("still.gif", rgb, "GIF", {}),
        ("moving.gif", rgb, "GIF", {"save_all": True}),
        ("rgb.bmp", rgb, "BMP", {}),
        ("palette.bmp", rgb.quantize(16), "BMP", {}),
        ("rgb.tif", rgb, "TIFF", {}),
        ("lzw.tif", colour, "TIFF", {"compression": "tiff_lzw"}),
        ("inks.tif", rgb.convert("CMYK"), "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("pages.tif", rgb, "TIFF", {"save_all": True}),
        ("big.tif", rgb, "TIFF", {"big_tiff": True}),
        ("rgb.webp", rgb, "WEBP", {}),
        ("lossless.webp", colour, "WEBP", {"lossless": True}),
        ("moving.webp", rgb, "WEBP", {"save_all": True}),
        ("rgb.avif", rgb, "AVIF", {}),
        ("moving.avif", rgb, "AVIF", {"save_all": True}),
        ("rgb.ppm", rgb, "PPM", {}),
        ("grey.pgm", grey, "PPM", {}),
        ("rgba.tga", colour, "TGA", {}),
        ("runs.tga", rgb, "TGA", {"compression": "tga_rle"}),
        ("rgba.jp2", colour, "JPEG2000", {}),
        ("rgb.j2k", rgb, "JPEG2000", {"no_jp2": True, "irreversible": True}),
    ):
        if "save_all" in options:
            options["append_images"] = [frame.copy() for frame in turned]
        stream = io.BytesIO()
        # A copy, because Pillow keeps with an image how it was saved last.
        image.copy().save(stream, format_name, **options)
        files[name] = stream.getvalue()
    deep = np.asarray(rgb).astype(np.uint16) * 257
    unit = np.asarray(rgb).astype(np.float32) / 255
    return files | {
        "deep.png": deep_png(deep),
        "deep.tif": deep_tiff(deep),
        "floats.tif": float_tiff(unit),
        "big floats.tif": float_tiff(unit, bigtiff=True),
        "plain.ppm": plain_ppm(np.asarray(rgb)),
        "deep.pgm": b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + deep[..., 0].astype(">u2").tobytes(),
        **phone_pictures(rgb),
    }


def float_tiff(samples, **options):
    import pyvips

    image = pyvips.Image.new_from_array(samples).copy(interpretation="scrgb")
    return image.tiffsave_buffer(**options)


def plain_ppm(samples):
    numbers = " ".join(map(str, samples.flatten()))
    return f"P3\n{WIDTH} {HEIGHT}\n255\n{numbers}\n".encode()


def phone_pictures(rgb):
    """A HEIC picture, where there is the package that reads it."""
    try:
        import pillow_heif
    except ImportError:
        return {}
    stream = io.BytesIO()
    pillow_heif.from_pillow(rgb).save(stream)
    return {"phone.heic": stream.getvalue()}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size, depth, colour_type, rows, *extra):
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IEND", b"")])


def deep_png(samples):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png((WIDTH, HEIGHT), 16, 2, rows)


def deep_tiff(samples):
    import pyvips

    image = pyvips.Image.new_from_array(samples).copy(interpretation="rgb16")
    return image.tiffsave_buffer(compression="deflate", tile=True, tile_width=16, tile_height=16)


def cut(whole):
    """Each file ending too early, at places all over it."""
    return {
        f"{name}.cut{place}": data[: (len(data) * place) // (CUTS + 1)]
        for name, data in whole.items()
        for place in range(1, CUTS + 1)
    }


def flipped(whole):
    """Each file with one to eight bytes changed, half of them in its first hundred."""
    chance, files = random.Random(7), {}
    for name, data in whole.items():
        for index in range(FLIPS):
            changed = bytearray(data)
            for _ in range(chance.randint(1, 8)):
                reach = len(data) if index % 2 else min(100, len(data))
                changed[chance.randrange(reach)] = chance.choice((0, 255, chance.randrange(256)))
            files[f"{name}.flipped{index}"] = bytes(changed)
    return files


SIZES = ((0, 0), (1, 60_000), (WIDTH, HEIGHT + 1), (WIDTH - 1, HEIGHT), (65_535, 65_535))


def of_other_sizes(whole):
    """Headers that claim another size than the samples have."""
    files = {}
    for width, height in SIZES:
        body = whole["rgb.png"]
        header = struct.pack(">II", width, height) + body[24:29]
        files[f"{width}x{height}.png"] = body[:8] + chunk(b"IHDR", header) + body[33:]
        for name in ("rgb.jpg", "scans.jpg"):
            place = re.search(rb"\xff[\xc0\xc2]", whole[name]).end() + 3
            patch = struct.pack(">HH", height, width)
            files[f"{width}x{height}.{name}"] = patched(whole[name], place, patch)
        for place, kind in (
            (6, "screen"),
            (whole["still.gif"].rindex(b"\x2c\0\0\0\0") + 5, "frame"),
        ):
            patch = struct.pack("<HH", width, height)
            files[f"{width}x{height}.{kind}.gif"] = patched(whole["still.gif"], place, patch)
        patch = struct.pack("<ii", width, -height)
        files[f"{width}x{height}.bmp"] = patched(whole["rgb.bmp"], 18, patch)
        patch = (width - 1 & 0xFFFFFF).to_bytes(3, "little")
        files[f"{width}x{height}.webp"] = patched(whole["moving.webp"], 24, patch)
        place = whole["rgb.avif"].index(b"ispe") + 8
        patch = struct.pack(">II", width, height)
        files[f"{width}x{height}.avif"] = patched(whole["rgb.avif"], place, patch)
        files[f"{width}x{height}.ppm"] = b"P6 %d %d 255\n" % (width, height) + bytes(6000)
        patch = struct.pack("<HH", width, height)
        files[f"{width}x{height}.tga"] = patched(whole["runs.tga"], 12, patch)
        place = whole["rgb.j2k"].index(b"\xff\x51") + 6
        patch = struct.pack(">II", width, height)
        files[f"{width}x{height}.j2k"] = patched(whole["rgb.j2k"], place, patch)
        for tag, value in ((256, width), (257, height), (278, height)):
            data = set_tag(whole["floats.tif"], tag, value)
            files[f"{tag}is{value}.of{width}.floats.tif"] = data
            data = set_tag(whole["rgb.tif"], tag, value)
            files[f"{tag}is{value}.of{width}.tif"] = data
    return files


def patched(data, place, patch):
    return data[:place] + patch + data[place + len(patch) :]


def set_tag(data, tag, value):
    """Change a number in the directory of a little-endian TIFF."""
    start = struct.unpack_from("<I", data, 4)[0] + 2
    while struct.unpack_from("<H", data, start)[0] != tag:
        start += 12
    return patched(data, start + 2, struct.pack("<HII", 4, 1, value))


def directory(*tags, following=0):
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def plain_tags(data_at, **changes):
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: data_at, 277: 1, 278: 8, 279: 64}
    tags |= {int(tag[1:]): value for tag, value in changes.items()}
    short = (258, 259, 262, 277)
    return [(tag, 3 if tag in short else 4, 1, value) for tag, value in sorted(tags.items())]


def bombs():
    """Small files that ask for much."""
    row = b"\0" * 25
    plain = ((8, 8), 8, 2, row * 8)
    blank = b"\0" * 100_000_000
    many = 5000
    length = 1_000_000
    overlapping = [(tag, 1, length, 8) for tag in range(1000, 1000 + many)]
    shared = b"II*\0" + struct.pack("<I", 8 + length) + bytes(length)
    page = 2 + 12 * 9 + 4
    pages = [directory(*plain_tags(8), following=8 + page * (i + 1)) for i in range(many - 1)]
    pages.append(directory(*plain_tags(8)))
    endless = [directory(*plain_tags(8), following=8)]
    vast = plain_tags(8, t256=17_000, t257=17_000, t278=17_000, t279=100, t259=8)
    tiles = plain_tags(8, t256=17_000, t257=17_000, t322=2**20, t323=2**20, t324=8, t325=64)
    exif = b"Exif\0\0" + shared + directory(*overlapping)
    return {
        "vast.png": png((30_000, 30_000), 1, 0, bytes(1_000_000)),
        "vast16.png": png((2**31 - 1, 2**31 - 1), 16, 2, bytes(1_000_000)),
        "large.png": png((12_000, 12_000), 1, 0, bytes(1501 * 12_000)),
        "profile.png": png(*plain, chunk(b"iCCP", b"p\0\0" + zlib.compress(blank))),
        "profile16.png": png(
            (4, 8), 16, 2, row * 8, chunk(b"iCCP", b"p\0\0" + zlib.compress(blank))
        ),
        "texts.png": png(
            *plain,
            *(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000))) for _ in range(100)),
        ),
        "chunks.png": png(*plain, chunk(b"tEXt", b"a\0b") * 100_000),
        "exif.png": png(*plain, chunk(b"eXIf", exif[6:])),
        "long exif.png": png(*plain, chunk(b"eXIf", b"II*\0" + bytes(4_000_000))),
        "exif.webp": with_exif(exif),
        "scans.jpg": many_scans(100_000),
        "profile.jpg": long_profile(),
        "comment.gif": long_comment(),
        "runs.bmp": run_lengths(),
        "tags.tif": shared + directory(*plain_tags(8), *overlapping),
        "pages.tif": b"II*\0" + struct.pack("<I", 8) + b"".join(pages),
        "endless.tif": b"II*\0" + struct.pack("<I", 8) + b"".join(endless),
        "strip.tif": b"II*\0" + struct.pack("<I", 8) + directory(*vast) + bytes(100),
        "tile.tif": b"II*\0" + struct.pack("<I", 8) + directory(*tiles) + bytes(100),
        "samples.tif": b"II*\0" + struct.pack("<I", 8) + directory(*plain_tags(8, t277=65_535)),
    }


def with_exif(exif):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "WEBP", exif=exif)
    return stream.getvalue()


def many_scans(count):
    """A progressive JPEG of 4000 x 4000 pixels that goes over them ``count`` times."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    data = patched(data, data.index(b"\xff\xc2") + 5, struct.pack(">HH", 4000, 4000))
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + b"\xff\xd9"


def long_profile():
    stream = io.BytesIO()
    profile = struct.pack(">I", 16_000_000) + bytes(32) + b"acsp" + bytes(15_999_960)
    Image.new("RGB", (8, 8)).save(stream, "JPEG", icc_profile=profile)
    return stream.getvalue()


def long_comment():
    stream = io.BytesIO()
    Image.new("P", (8, 8)).save(stream, "GIF")
    data = stream.getvalue()
    place = data.index(b"\x2c")
    return data[:place] + b"\x21\xfe" + (b"\xff" + bytes(255)) * 40_000 + b"\0" + data[place:]


def run_lengths():
    """Two bytes of a packed BMP may skip 255 rows of 300 million pixels."""
    stream = io.BytesIO()
    Image.new("P", (8, 8)).save(stream, "BMP")
    data = patched(stream.getvalue()[: 54 + 1024], 18, struct.pack("<ii", 9_000_000, 1))
    return patched(data, 30, struct.pack("<I", 1)) + b"\0\2\xff\xff" * 100


def in_disguise():
    """Files of other kinds, named as pictures."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("../../picture.png", bytes(10_000_000))
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    entities = b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 9) for i in range(1, 30))
    return {
        "archive.png": archive.getvalue(),
        "drawing.png": drawing,
        "laughs.svg": b'<?xml version="1.0"?><!DOCTYPE svg [' + entities + b"]><svg>&a29;</svg>",
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "page.jpg": b"<!DOCTYPE html><script>alert(1)</script>",
        "program.png": b"\x7fELF" + bytes(200),
        "zeros.png": bytes(1_000_000),
        "noise.tif": b"II*\0" + random.Random(1).randbytes(5000),
        "noise.avif": b"\0\0\0\x20ftypavif" + random.Random(2).randbytes(5000),
        "noise.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 " + random.Random(3).randbytes(5000),
        "noise.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + random.Random(4).randbytes(5000),
        "noise.heic": b"\0\0\0\x20ftypheic" + random.Random(5).randbytes(5000),
        "noise.ppm": b"P6 " + random.Random(6).randbytes(5000),
        "words.ppm": b"P3 9 9 255 " + b"x" * 5000,
        "signature.png": b"\x89PNG\r\n\x1a\n",
    }

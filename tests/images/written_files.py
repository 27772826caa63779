"""Picture files and colour profiles written byte by byte, with values known beforehand."""

import io
import struct
import zlib

import numpy as np
import pyvips
from PIL import Image

SRGB_TO_XYZ_D50 = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)


ADOBE_TO_XYZ_D50 = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)


P3_TO_XYZ_D50 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)


def colours(seed=0, height=5, width=7, channels=3, dtype=np.uint8):
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def rgb(picture):
    """The pixels as an (H, W, 3) array."""
    return picture.pixels[0].permute(1, 2, 0).numpy()


def file_bytes(image, format_name="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def png(samples, colour_type, transparent=None, profile=None, size=None):
    """A PNG written by hand from (H, W, C) samples of 8 or 16 bits."""
    depth = samples.dtype.itemsize * 8
    height, width = samples.shape[:2]
    rows = samples.astype(samples.dtype.newbyteorder(">"))

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", *(size or (width, height)), depth, colour_type, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    if profile:
        parts.append(chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)))
    if transparent is not None:
        parts.append(chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    parts.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))
    return b"".join([*parts, chunk(b"IEND", b"")])


def tiff(samples, photometric, order="<", sample_format=1, extra=None, orientation=1):
    """An uncompressed TIFF of one strip, written by hand from (H, W, C) samples."""
    height, width, channels = samples.shape
    body = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    bits = samples.dtype.itemsize * 8
    # The arrays that do not fit into a tag stand behind the eight bytes of header.
    depths, formats = 8, 8 + 2 * channels
    start = formats + 2 * channels
    fits = channels == 1
    assert channels != 2, "two short numbers would have to stand in the tag itself"
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, bits if fits else depths),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, start),
        (274, 3, 1, orientation),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(body)),
        (284, 3, 1, 1),
        *([] if extra is None else [(338, 3, 1, extra)]),
        (339, 3, channels, sample_format if fits else formats),
    ]
    directory = start + len(body) + len(body) % 2

    def pack(code, *values):
        return struct.pack(order + code, *values)

    parts = [b"II*\0" if order == "<" else b"MM\0*", pack("I", directory)]
    parts += [pack("H", bits) * channels, pack("H", sample_format) * channels, body]
    parts += [b"\0" * (len(body) % 2), pack("H", len(tags))]
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        parts.append(pack("HHI", tag, kind, count))
        parts.append(pack("HH", value, 0) if short else pack("I", value))
    return b"".join([*parts, pack("I", 0)])


def icc(space, tags, kind=b"mntr", connection=b"XYZ "):
    """An ICC profile, version 2, from the bytes of its tags."""
    offset, table, bodies = 128 + 4 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        body += b"\0" * (-len(body) % 4)
        table += name + struct.pack(">II", offset + len(bodies), len(body))
        bodies += body
    header = struct.pack(
        ">I4sI4s4s4s", offset + len(bodies), b"", 0x02100000, kind, space, connection
    )
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    header += struct.pack(">3i", 63190, 65536, 54061)  # the white of D50
    header += b"\0" * (128 - len(header))
    return header + struct.pack(">I", len(tags)) + table + bodies


def described():
    return {
        b"desc": b"desc" + struct.pack(">II", 0, 5) + b"test\0" + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
    }


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def matrix_profile(to_xyz, gamma):
    tags = described()
    for index, name in enumerate("rgb"):
        column = [round(value * 65536) for value in to_xyz[:, index]]
        tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + struct.pack(">3i", *column)
        tags[f"{name}TRC".encode()] = curve(gamma)
    return icc(b"RGB ", tags)


def grey_profile(gamma):
    return icc(b"GRAY", {**described(), b"kTRC": curve(gamma)})


def ink_profile():
    """CMYK whose black ink is black and whose other inks each give the same mid grey."""
    identity = bytes(range(256))
    lightness = [0 if ink & 1 else 255 if not ink else round(50 * 2.55) for ink in range(16)]
    table = b"".join(bytes((level, 128, 128)) for level in lightness)
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + identity * 4 + table + identity * 3
    return icc(b"CMYK", {**described(), b"A2B0": lut, b"A2B1": lut}, b"prtr", b"Lab ")


def encode_srgb(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decode_srgb(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def convert(values, to_xyz, gamma):
    """What a matrix profile means, in float64."""
    xyz = values.astype(np.float64) ** gamma @ to_xyz.T
    return encode_srgb(xyz @ np.linalg.inv(SRGB_TO_XYZ_D50).T)


def display_p3():
    """The profile that libvips brings: Display P3 in version 4, dedicated to the public."""
    return bytes(pyvips.Image.profile_load("p3"))


def adobe_rgb():
    """Adobe RGB (1998) with the colorants and the exponent, 563/256, of Adobe's own profile."""
    return matrix_profile(ADOBE_TO_XYZ_D50, 563 / 256)


def photograph(format_name="PNG"):
    return file_bytes(Image.fromarray(colours(9, 64, 64)), format_name)

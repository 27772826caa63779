"""Films that are small, and whose motion is known."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from impasto import images


@pytest.fixture(scope="session")
def texture():
    """A large picture with detail at several sizes, (1, 3, 160, 200), whole levels."""
    generator = torch.Generator().manual_seed(5)
    parts = [
        F.interpolate(torch.rand(1, 3, side, side, generator=generator), (160, 200), mode="bicubic")
        for side in (4, 16, 50)
    ]
    mixed = (0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2]).clamp(0, 1)
    return (mixed * 255).round() / 255


@pytest.fixture
def pan(texture):
    """``pan(count, step)``: frames of 64 x 48 pixels; the camera moves to the right."""

    def make(count, step=2):
        return [texture[..., 40:88, 20 + step * index :][..., :64] for index in range(count)]

    return make


@pytest.fixture
def frames_folder(folder):
    """``frames_folder(frames, name)``: the frames as PNG files in a folder."""

    def write(frames, name="frames"):
        path = folder / name
        path.mkdir()
        for number, frame in enumerate(frames):
            images.save_image(images.to_image(frame), path / f"{number}.png")
        return path

    return write


def read_frames(path):
    """The frames of an animation, as arrays."""
    image = Image.open(path)
    frames = []
    for index in range(image.n_frames):
        image.seek(index)
        frames.append(np.asarray(image.convert("RGB")))
    return frames


@pytest.fixture
def film_file(folder):
    """``film_file(frames, name, **options)``: the frames as a film, perhaps with sound.

    ``times`` are in units of ``base`` seconds; ``turned`` is a rotation in degrees.
    """
    av = pytest.importorskip("av")

    def write(
        frames,
        name="film.mp4",
        *,
        codec="libx264",
        pix_fmt="yuv420p",
        times=None,
        base=Fraction(1, 25),
        sound=None,
        turned=0,
        matrix=1,
        full=False,
        options=None,
    ):
        path = folder / name
        with av.open(str(path), "w") as container:
            quality = {"crf": "4"} if codec == "libx264" else {}
            stream = container.add_stream(codec, rate=25, options={**quality, **(options or {})})
            stream.height, stream.width = frames[0].shape[-2:]
            stream.pix_fmt = pix_fmt
            stream.time_base = stream.codec_context.time_base = base
            context = stream.codec_context
            context.colorspace, context.color_range = matrix, 2 if full else 1
            if turned:
                stream.set_display_rotation(turned)
            voice = None
            if sound:
                voice = container.add_stream(sound, rate=48000, layout="mono")
            for index, frame in enumerate(frames):
                samples = (frame[0] * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
                image = av.VideoFrame.from_ndarray(np.ascontiguousarray(samples), "rgb48le")
                image = image.reformat(
                    format=pix_fmt,
                    src_color_range="JPEG",
                    dst_colorspace={1: "ITU709", 6: "ITU601", 9: "BT2020"}[matrix],
                    dst_color_range="JPEG" if full else "MPEG",
                )
                image.pts = times[index] if times else index
                image.time_base = base
                container.mux(stream.encode(image))
            container.mux(stream.encode(None))
            if voice is not None:
                count = len(frames) * 1920
                wave = np.sin(np.arange(count) * 0.05).astype(np.float32)[None]
                block = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                block.sample_rate, block.pts = 48000, 0
                resampler = av.AudioResampler(
                    format=voice.codec_context.format, layout="mono", rate=48000
                )
                for part in resampler.resample(block):
                    container.mux(voice.encode(part))
                container.mux(voice.encode(None))
        return path

    return write

"""Films in files: colours, times, sound and rotation come through; damage is reported."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from impasto.errors import ImageError, OutputError, SettingsError
from impasto.output.film_file import FilmFile, FilmWriter, check_film_output

av = pytest.importorskip("av")


def copied(path, target, **options):
    """Read a film, and write it again."""
    film = FilmFile(path)
    sound = path if film.format.has_sound else None
    return FilmWriter(target, film.format, sound=sound, **options).write(film.frames())


def times_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [float(frame.pts * frame.time_base) for frame in container.decode(stream)]


def packets_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


def duration_s(path):
    with av.open(str(path)) as container:
        return container.duration / 1e6


def test_frames_are_read(film_file, pan):
    frames = pan(5)
    film = FilmFile(film_file(frames))
    assert (film.format.width_px, film.format.height_px) == (64, 48)
    found = list(film.frames())
    assert [frame.index for frame in found] == [0, 1, 2, 3, 4]
    for frame, expected in zip(found, frames, strict=True):
        assert float((frame.pixels - expected).abs().mean()) < 0.03


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize(("pix_fmt", "bits"), [("yuv420p", 8), ("yuv420p10le", 10)])
def test_colours_keep_matrix_range_and_bits(film_file, folder, pix_fmt, bits, matrix, full):
    # Colours of every kind, in blocks that 4:2:0 does not mix.
    levels = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0])
    colours = torch.cartesian_prod(levels, levels, levels)[:96].T.reshape(1, 3, 8, 12)
    frame = colours.repeat_interleave(8, 2).repeat_interleave(8, 3)
    path = film_file([frame] * 2, pix_fmt=pix_fmt, matrix=matrix, full=full)
    film = FilmFile(path)
    found = film.format.colours
    assert (found.bits, found.matrix, found.is_full_range) == (bits, matrix, full)
    (first, _) = film.frames()
    middle = (..., slice(3, None, 8), slice(3, None, 8))
    assert float((first.pixels[middle] - colours).abs().max()) < 0.03
    again = FilmFile(copied(path, folder / "again.mp4"))
    assert again.format.colours == found
    (second, _) = again.frames()
    assert float((second.pixels[middle] - first.pixels[middle]).abs().mean()) < 0.012


def test_a_variable_rate_is_kept(film_file, folder, pan):
    times = [0, 100, 140, 400, 410, 1000]
    path = film_file(pan(6), times=times, base=Fraction(1, 1000))
    assert times_of(copied(path, folder / "again.mp4")) == pytest.approx(
        [time / 1000 for time in times], abs=1e-3
    )


@pytest.mark.parametrize("name", ["again.mp4", "again.mkv", "again.mov"])
def test_sound_is_copied_untouched(film_file, folder, pan, name):
    path = film_file(pan(25), sound="aac")
    again = copied(path, folder / name)
    before, after = packets_of(path), packets_of(again)
    assert [data for _, data in after] == [data for _, data in before]
    # Matroska has no times below 0: there, all of the film begins a little later.
    late_s = after[0][0] - before[0][0]
    assert late_s == pytest.approx(times_of(again)[0] - times_of(path)[0], abs=1e-3)
    assert [time - late_s for time, _ in after] == pytest.approx(
        [time for time, _ in before], abs=1.5e-3
    )
    assert duration_s(again) - max(0, late_s) == pytest.approx(duration_s(path), abs=1.5e-3)


def test_a_part_has_its_part_of_the_sound(film_file, folder, pan):
    path = film_file(pan(50), sound="aac")
    film = FilmFile(path)
    part = [
        replace(frame, time=frame.time - frames_of(film, 0.4))
        for frame in film.frames()
        if Fraction(2, 5) <= frame.time * film.format.time_base < Fraction(6, 5)
    ]
    writer = FilmWriter(
        folder / "part.mp4",
        film.format,
        sound=path,
        start_s=Fraction(2, 5),
        end_s=Fraction(6, 5),
    )
    again = writer.write(part)
    assert len(times_of(again)) == 20
    assert duration_s(again) == pytest.approx(0.8, abs=0.03)
    assert packets_of(again)[0][0] < 0.03


def frames_of(film, time_s):
    return round(time_s / film.format.time_base)


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_a_turned_film_is_upright(film_file, pan, turned):
    frame = pan(1)[0]
    film = FilmFile(film_file([frame] * 2, turned=turned))
    expected = torch.rot90(frame, turned // 90, (2, 3))
    found = next(film.frames()).pixels
    assert found.shape == expected.shape
    assert (film.format.height_px, film.format.width_px) == found.shape[-2:]
    assert float((found - expected).abs().mean()) < 0.03


def test_the_same_frames_give_the_same_bytes(film_file, folder, pan):
    path = film_file(pan(12), sound="aac")
    first = copied(path, folder / "first.mp4", metadata={"Recipe": "made so"}).read_bytes()
    assert copied(path, folder / "second.mp4", metadata={"Recipe": "made so"}).read_bytes() == first
    with av.open(str(folder / "first.mp4")) as container:
        assert container.metadata["Recipe"] == "made so"


def test_webm_is_written(film_file, folder, pan):
    again = FilmFile(copied(film_file(pan(3)), folder / "again.webm"))
    assert len(list(again.frames())) == 3


def test_sound_that_the_container_cannot_hold_is_refused(film_file, folder, pan):
    path = film_file(pan(5), sound="aac")
    with pytest.raises(SettingsError, match=r"\.webm cannot hold the film's sound, which is aac"):
        check_film_output(folder / "again.webm", path)
    with pytest.raises(OutputError, match="aac"):
        copied(path, folder / "again.webm")
    assert not (folder / "again.webm").exists()


def test_an_unknown_ending_is_refused(folder):
    with pytest.raises(SettingsError, match=r"expected a film that ends in \.mp4"):
        check_film_output(folder / "film.avi", None)


def test_a_damaged_film_is_reported_after_its_good_frames(film_file, pan):
    path = film_file(pan(60), name="film.mkv")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    film = FilmFile(path)
    assert 5 < len(list(film.frames())) < 60


def test_what_is_no_film_is_refused_in_one_line(folder):
    (folder / "film.mp4").write_bytes(b"no film at all" * 100)
    with pytest.raises(ImageError, match=r"cannot be read as a film \(Invalid data"):
        FilmFile(folder / "film.mp4")
    with pytest.raises(ImageError, match="no file"):
        FilmFile(folder / "absent.mp4")
    with pytest.raises(ImageError, match="a folder"):
        FilmFile(folder)


def test_sound_alone_is_no_film(folder):
    path = folder / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 48000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ImageError, match="no picture, only sound"):
        FilmFile(path)

"""``impasto video``: films in, films out, and nothing lost."""

import json
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image
from tests.films import read_frames

from impasto import images

av = pytest.importorskip("av")
pytestmark = pytest.mark.heavy


@pytest.fixture
def fast(weights_file):
    """Options of a film whose frames take a moment."""
    return [
        f"--weights={weights_file}",
        "--size=64",
        "--coarsest=64",
        "--iterations=4",
        "--alpha=1",
        "--beta=1e4",
        "--style-layers=relu1_1,relu2_1",
        "--content-layers=relu2_2",
        "--threads=1",
    ]


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_film_is_painted(impasto, film_file, pan, fast):
    film_file(pan(4), sound="aac")
    done = impasto("video", "film.mp4", "painting.png", "-o", "out.mp4", *fast, "--json")
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    frames = [event for event in events if event["event"] == "frame"]
    assert [event["frame"] for event in frames] == [1, 2, 3, 4]
    assert events[-1]["event"] == "film"
    assert (events[-1]["frames"], events[-1]["width_px"], events[-1]["height_px"]) == (4, 64, 48)
    with av.open("out.mp4") as container:
        assert len(container.streams.audio) == 1
        recipe = json.loads(container.metadata["Recipe"])
    assert recipe["settings"]["iterations"] == 4
    assert np.abs(np.float32(frames_of("out.mp4")[3]) - frames_of("film.mp4")[3]).mean() > 5


def test_its_frames_are_removed_unless_they_are_kept(impasto, frames_folder, pan, fast, folder):
    frames_folder(pan(3))
    words = ["video", "frames", "painting.png", *fast, "-q"]
    assert impasto(*words, "-o", "one.mp4").code == 0
    assert not (folder / "one.mp4.parts").exists()
    assert impasto(*words, "-o", "two.mp4", "--keep-frames").code == 0
    kept = sorted(path.name for path in (folder / "two.mp4.parts").glob("*.png"))
    assert kept == ["000000.png", "000001.png", "000002.png"]
    assert (folder / "one.mp4").read_bytes() == (folder / "two.mp4").read_bytes()


def test_animations_and_pictures_come_in_and_go_out(impasto, frames_folder, pan, fast, folder):
    frames_folder(pan(3))
    (folder / "painted").mkdir()
    words = [*fast, "-q"]
    assert impasto("video", "frames/%d.png", "painting.png", "-o", "a.gif", *words).code == 0
    assert len(read_frames("a.gif")) == 3
    assert impasto("video", "a.gif", "painting.png", "-o", "b.webp", *words).code == 0
    assert len(read_frames("b.webp")) == 3
    done = impasto("video", "b.webp", "painting.png", "-o", "painted/%03d.png", *words)
    assert done.code == 0, done.err
    assert sorted(path.name for path in (folder / "painted").glob("0*.png")) == [
        "001.png",
        "002.png",
        "003.png",
    ]
    assert Image.open("painted/001.png").size == (64, 48)


def test_durations_of_an_animation_are_kept(impasto, pan, fast):
    first, *rest = [images.to_image(frame) for frame in pan(3)]
    first.save("in.webp", save_all=True, append_images=rest, duration=[80, 200, 40], lossless=True)
    assert impasto("video", "in.webp", "painting.png", "-o", "out.mp4", *fast, "-q").code == 0
    with av.open("out.mp4") as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
        assert container.duration / 1e6 == pytest.approx(0.32, abs=2e-3)
    assert times == pytest.approx([0, 0.08, 0.28], abs=1e-3)


def test_a_part_of_a_film(impasto, film_file, pan, fast):
    film_file(pan(25))
    words = ["video", "film.mp4", "painting.png", "-o", "out.mp4", *fast, "-q"]
    assert impasto(*words, "--range=0.4s..0.52s").code == 0
    assert len(frames_of("out.mp4")) == 3
    done = impasto(*words, "--range=5s..6s")
    assert done.code == 2
    assert "has no frame in 5s..6s" in done.err
    assert impasto(*words, "--range=6s..5s").code == 2


def test_frames_between_are_interpolated(impasto, frames_folder, pan, fast):
    frames_folder(pan(6))
    done = impasto("video", "frames", "painting.png", "-o", "out.mp4", *fast, "--every=2", "--json")
    frames = [json.loads(line) for line in done.out.splitlines() if '"frame"' in line[:20]]
    assert [event["frame"] for event in frames] == [1, 3, 5, 6]
    assert len(frames_of("out.mp4")) == 6


def test_cuts_begin_anew(impasto, frames_folder, pan, fast, texture):
    other = [texture.flip(-1).flip(1)[..., 60:108, 30 + n : 94 + n] for n in range(2)]
    frames_folder([*pan(2), *other])
    done = impasto("video", "frames", "painting.png", "-o", "out.mp4", *fast, "--json")
    frames = [json.loads(line) for line in done.out.splitlines() if '"frame"' in line[:20]]
    assert [event["shot"] for event in frames] == [0, 0, 1, 1]


# The state is written after every frame, or never.
STATES = ("0.0", "1e9")


def killed(start_process, words, parts, frames, every_s):
    """Kill the command when there are so many frames."""
    first = f"import impasto.film.resume as resume; resume._STATE_EVERY_S = {every_s}"
    process = start_process(*words, first=first)
    deadline = time.monotonic() + 100
    while not (parts / f"{frames - 1:06d}.png").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("every_s", STATES)
def test_a_killed_film_goes_on_to_the_same_bytes(
    impasto,
    start_process,
    run_process,
    frames_folder,
    pan,
    fast,
    folder,
    every_s,
):
    frames_folder(pan(9))
    words = ["video", "frames", "painting.png", *fast]
    assert impasto(*words, "-o", "whole.mp4", "-q").code == 0
    words += ["-o", "film.mp4", "--resume"]
    parts = folder / "film.mp4.parts"
    killed(start_process, words, parts, 2, every_s)
    killed(start_process, words, parts, 5, every_s)
    done = run_process(*words)
    assert done.code == 0, done.err
    with av.open(str(folder / "film.mp4")) as one, av.open(str(folder / "whole.mp4")) as other:
        assert dict(one.metadata) == dict(other.metadata)
    for one, other in zip(frames_of("film.mp4"), frames_of("whole.mp4"), strict=True):
        assert np.array_equal(one, other)
    assert (folder / "film.mp4").read_bytes() == (folder / "whole.mp4").read_bytes()
    assert not parts.exists()


def test_ctrl_c_encodes_what_there_is(start_process, run_process, frames_folder, pan, fast, folder):
    frames_folder(pan(12))
    words = ["video", "frames", "painting.png", "-o", "film.mp4", *fast]
    process = start_process(*words)
    while not (folder / "film.mp4.parts" / "000002.png").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "stopped early: the film has the first" in err
    assert 3 <= len(frames_of(folder / "film.mp4")) < 12
    done = run_process(*words, "--resume", "-q")
    assert done.code == 0, done.err
    assert len(frames_of(folder / "film.mp4")) == 12


def test_frames_of_an_earlier_film_are_not_overwritten(impasto, frames_folder, pan, fast, folder):
    frames_folder(pan(2))
    words = ["video", "frames", "painting.png", "-o", "film.mp4", *fast, "-q"]
    assert impasto(*words, "--keep-frames").code == 0
    done = impasto(*words)
    assert done.code == 2
    assert "has frames of an earlier film" in done.err
    assert "--resume" in done.err
    other = impasto(*words, "--resume", "--temporal=0.7")
    assert other.code == 2
    assert "temporal: expected 0.5, got 0.7" in other.err
    (folder / "film.mp4.parts" / "000001.png").write_bytes(b"")
    damaged = impasto(*words, "--resume")
    assert damaged.code == 2
    assert "000001.png has changed" in damaged.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.mp4", "painting.png", "-o", "o.mp4"], "no file 'absent.mp4'"),
        (["painting.png", "painting.png", "-o", "o.avi"], "expected a film that ends in .mp4"),
        (["frames", "painting.png", "-o", "frames/0.png"], "is not an input"),
        (["frames", "painting.png", "-o", "o.mp4", "--temporal=2"], "temporal: expected"),
        (["frames", "painting.png", "-o", "o.mp4", "--precision=int8"], "for single pictures"),
        (["frames", "painting.png", "-o", "o.mp4", "--range=soon"], "such as 2s..5s"),
        (["empty", "painting.png", "-o", "o.mp4"], "has no pictures"),
        (["%03d.jpg", "painting.png", "-o", "o.mp4"], "no file matches"),
        (["frames", "painting.png", "-o", "absent/o.mp4"], "no folder"),
        (["frames", "painting.png", "-o", "-"], "a film needs a file's name"),
        (["frames", "absent.png", "-o", "o.mp4"], "no file 'absent.png'"),
        (["frames", "painting.png", "-o", "frames/%d.png"], "is not an input"),
    ],
)
def test_bad_input_is_refused_in_one_line(impasto, frames_folder, pan, folder, words, message):
    frames_folder(pan(2))
    (folder / "empty").mkdir()
    before = sorted(folder.rglob("*"))
    done = impasto("video", *words, "--size=64")
    assert done.code == 2, done.err
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


def test_frames_of_two_sizes_are_refused(impasto, frames_folder, pan, fast):
    frames_folder([pan(1)[0], torch.zeros(1, 3, 40, 64)])
    done = impasto("video", "frames", "painting.png", "-o", "o.mp4", *fast)
    assert done.code == 2
    assert "expected 64 x 48, as the first frame" in done.err


def test_a_preview_paints_some_frames_and_no_film(impasto, frames_folder, pan, fast, folder):
    frames_folder(pan(9))
    words = ["video", "frames", "painting.png", "-o", "film.mp4", *fast]
    done = impasto(*words, "--preview=3")
    assert done.code == 0, done.err
    names = sorted(path.name for path in folder.glob("film*"))
    assert names == [f"film_preview_{number:06d}.png" for number in (2, 5, 8)]
    assert impasto(*words, "--keep-frames", "-q").code == 0
    # The first frame of a shot is painted like a preview of it.
    assert impasto(*words[:-1], words[-1], "--range=..0.04s", "--preview=1").code == 0
    first = np.asarray(Image.open(folder / "film.mp4.parts" / "000000.png"))
    assert np.array_equal(np.asarray(Image.open(folder / "film_preview_000001.png")), first)


def test_the_plan_says_time_and_disk_beforehand(impasto, frames_folder, pan, fast):
    frames_folder(pan(2))
    done = impasto("video", "frames", "painting.png", "-o", "film.mp4", *fast, "--json")
    assert done.code == 0, done.err
    texts = [json.loads(line).get("text", "") for line in done.out.splitlines()[:3]]
    assert texts[0].startswith("2 frames of 64 x 48 pixels in 1 shot")
    assert texts[1].startswith("time: about ")
    assert "disk: about 64 MiB" in texts[1]


def test_a_mask_for_each_frame(impasto, frames_folder, pan, fast, folder):
    frames_folder(pan(3))
    (folder / "masks").mkdir()
    for number in range(1, 4):
        mask = Image.new("L", (64, 48), 0)
        mask.paste(255, (16 * number, 0, 16 * number + 16, 48))
        mask.save(folder / "masks" / f"{number}.png")
    grain = np.random.default_rng(0).integers(60, 250, (64, 64), dtype=np.uint8)
    none = np.zeros_like(grain)
    Image.fromarray(np.stack([grain, none, none], -1)).save(folder / "red.png")
    Image.fromarray(np.stack([none, none, grain], -1)).save(folder / "blue.png")
    words = ["video", "frames", "blue.png", *fast, "-q", "--region=masks/%d.png:red.png"]
    done = impasto(*words, "-o", "moving.mp4", "--keep-frames")
    assert done.code == 0, done.err
    apart = []
    for number in range(1, 4):
        painted = np.float32(Image.open(folder / "moving.mp4.parts" / f"{number - 1:06d}.png"))
        red = (painted[..., 0] - painted[..., 2]).mean(0)
        is_inside = np.arange(64) // 16 == number
        apart.append(red[is_inside].mean() - red[~is_inside].mean())
    assert min(apart) > 20, apart
    (folder / "masks" / "3.png").unlink()
    few = impasto(*words, "-o", "few.mp4")
    assert few.code == 2
    assert "expected a mask for each frame, got 2 in 'masks'" in few.err
    assert impasto(*words, "-o", "few.mp4", "--range=..0.08s").code == 0


@pytest.fixture
def again(weights_file):
    """``again(painted, output)``: the words that paint a film of the folder ``frames`` again."""

    def words(painted, output, *more):
        return ["replay", painted, "--content=frames", "--style=painting.png", "-o", output,
                f"--weights={weights_file}", *more]  # fmt: skip

    return words


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm", ".webp"])
def test_a_film_is_painted_again_from_its_recipe(
    impasto, frames_folder, pan, fast, texture, again, folder, ending
):
    other = [texture.flip(-1).flip(1)[..., 60:108, 30 + n : 94 + n] for n in range(2)]
    frames_folder([*pan(2), *other])
    # Strength comes to other weights in each shot.
    fast = [word for word in fast if not word.startswith(("--alpha", "--beta"))]
    out, same = f"out{ending}", f"same{ending}"
    words = ["video", "frames", "painting.png", "-o", out, *fast, "--strength=0.6", "-q"]
    assert impasto(*words, "--temporal=0.7", "--fps=20").code == 0
    done = impasto("recipe", out)
    assert done.code == 0, done.err
    recipe = json.loads(done.out)
    assert recipe["film"] == {"temporal": 0.7, "range": None, "every": 1, "fps": 20}
    assert recipe["inputs"]["content"]["name"] == "frames"
    assert str(folder) not in done.out
    done = impasto(*again(out, same))
    assert done.code == 0, done.err
    assert (folder / out).read_bytes() == (folder / same).read_bytes()


def test_a_film_of_pictures_with_moving_masks_is_painted_again(
    impasto, frames_folder, pan, fast, again, folder
):
    frames_folder(pan(3))
    masks = []
    for index in range(3):
        mask = torch.zeros(1, 3, 48, 64)
        mask[..., 10 + 8 * index :] = 1
        masks.append(mask)
    frames_folder(masks, "masks")
    for name in ("out", "same"):
        (folder / name).mkdir()
    region = "--region=masks:other.png"
    words = ["video", "frames", "painting.png", "-o", "out/%d.png", *fast, region, "-q"]
    done = impasto(*words)
    assert done.code == 0, done.err
    done = impasto(*again("out/2.png", "same/%d.png", region))
    assert done.code == 0, done.err
    for name in ("1.png", "2.png", "3.png"):
        assert (folder / "out" / name).read_bytes() == (folder / "same" / name).read_bytes()
    images.save_image(images.to_image(masks[0]), folder / "masks" / "2.png")
    done = impasto(*again("out/2.png", "other/%d.png", region))
    assert done.code == 2
    assert "region: 'masks' is another picture than the recipe's 'masks'" in done.err


def test_one_thing_of_a_film_can_be_changed(impasto, frames_folder, pan, fast, again):
    frames_folder(pan(3))
    assert impasto("video", "frames", "painting.png", "-o", "out.mp4", *fast, "-q").code == 0
    done = impasto(*again("out.mp4", "new.mp4", "--set=every=2", "--set=iterations=3"))
    assert done.code == 0, done.err
    recipe = json.loads(impasto("recipe", "new.mp4").out)
    assert (recipe["film"]["every"], recipe["settings"]["iterations"]) == (2, 3)


def test_a_film_that_cannot_be_painted_again_is_refused(
    impasto, frames_folder, pan, fast, again, folder
):
    frames_folder(pan(2))
    words = ["video", "frames", "painting.png", *fast, "-q"]
    assert impasto(*words, "-o", "out.mp4").code == 0
    assert impasto(*words, "-o", "bare.mp4", "--no-recipe").code == 0
    before = (folder / "out.mp4").read_bytes()
    for command, message in (
        (again("bare.mp4", "new.mp4"), "'bare.mp4' has no recipe"),
        (again("out.mp4", "out.mp4"), "is not an input"),
        (again("out.mp4", "new.mp4", "--bits=16"), "bits: expected none, because 'out.mp4' is a"),
        (again("out.mp4", "new.mp4", "--set=temporal=2"), "temporal: expected"),
        (again("out.mp4", "new.mp4", "--style=other.png"), "style: expected 1 of these"),
        (["replay", "out.mp4", "--style=painting.png", "-o", "new.mp4"], "content: expected the"),
    ):
        done = impasto(*command)
        assert (done.code, message in done.err) == (2, True), done.err
        assert len(done.err.splitlines()) == 1
    images.save_image(images.to_image(pan(1)[0]), folder / "frames" / "1.png")
    done = impasto(*again("out.mp4", "new.mp4"))
    assert "content: 'frames' is another picture than the recipe's 'frames'" in done.err
    assert not (folder / "new.mp4").exists()
    assert (folder / "out.mp4").read_bytes() == before
    assert impasto(*again("out.mp4", "new.mp4", "--other-inputs")).code == 0


# The disk is full when the fourth frame is written.
FULL_AT_A_FRAME = """
import errno, os
from impasto import files
write = files.replace
def replace(path, data):
    if path.name == "000003.png":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write(path, data)
files.replace = replace
"""
# No file may be longer than this, which a film is.
FULL_AT_THE_FILM = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
"""


def test_what_was_painted_before_the_disk_was_full_is_kept(
    impasto, run_process, frames_folder, pan, fast, folder
):
    frames_folder(pan(6))
    words = ["video", "frames", "painting.png", *fast, "-q"]
    assert impasto(*words, "-o", "whole.mp4").code == 0
    words += ["-o", "film.mp4"]
    done = run_process(*words, first=FULL_AT_A_FRAME)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert "No space left on device" in line
    assert "3 painted frames are kept there: make room, then go on with --resume" in line
    parts = folder / "film.mp4.parts"
    assert sorted(path.name for path in parts.glob("*.png")) == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    assert not (folder / "film.mp4").exists()
    assert impasto(*words, "--resume").code == 0
    assert (folder / "film.mp4").read_bytes() == (folder / "whole.mp4").read_bytes()


def test_a_film_that_cannot_be_encoded_keeps_its_frames(
    impasto, run_process, frames_folder, pan, fast, folder
):
    frames_folder(pan(6))
    words = ["video", "frames", "painting.png", "-o", "film.mp4", *fast, "-q"]
    assert impasto(*words, "--keep-frames").code == 0
    whole = (folder / "film.mp4").read_bytes()
    assert len(whole) > 5000
    before = sorted(folder.rglob("*"))
    done = run_process(*words, "--resume", first=FULL_AT_THE_FILM)
    assert done.code == 1, done.err
    (line,) = done.err.splitlines()
    assert "'film.mp4' cannot be written (File too large): the painted frames are kept" in line
    assert sorted(folder.rglob("*")) == before
    assert (folder / "film.mp4").read_bytes() == whole
    (folder / "film.mp4").unlink()
    assert impasto(*words, "--resume").code == 0
    assert (folder / "film.mp4").read_bytes() == whole

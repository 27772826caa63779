"""The notebook call: what it paints, writes, shows and refuses, in a kernel and without one."""

import dataclasses
import os
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import impasto
from impasto import images, main
from impasto.engine import inputs
from impasto.errors import ImageError, SettingsError
from impasto.images import samples

ROOT = Path(__file__).parents[2]
RESULTS = Path("img", "results")


@pytest.fixture
def quick(folder, weights_file, monkeypatch):
    """Words of a painting that takes a moment, and a matplotlib without a window."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("IMPASTO_WEIGHTS_VGG16", str(weights_file))
    return {"imsize": 32, "num_steps": 3}


def painted(result):
    return np.asarray(result.image)


def test_the_three_calls_of_the_readme(quick):
    transfer = main(
        content_path="img/content/dancing.jpg",
        style_path="img/style/picasso.jpg",
        mode="style_transfer",
        **quick,
    )
    content = main("noise", style_path="img/content/dancing.jpg", mode="content", **quick)
    style = main("noise", style_path="img/style/picasso.jpg", mode="style", **quick)
    assert [result.mode for result in (transfer, content, style)] == [
        "style_transfer",
        "content",
        "style",
    ]
    # Each has the shape of the picture that it repaints.
    assert [result.image.size for result in (transfer, content, style)] == [
        (32, 32),
        (32, 32),
        (26, 32),
    ]
    assert sorted(path.name for path in RESULTS.iterdir()) == [
        f"{name}.{ending}"
        for name in ("dancing_picasso", "noise_dancing", "noise_picasso")
        for ending in ("gif", "png")
    ]


def test_the_picture_itself_is_written_and_the_run(quick):
    result = main("photograph.png", "painting.png", **quick)
    with Image.open(RESULTS / "photograph_painting.png") as picture:
        assert np.array_equal(np.asarray(picture), painted(result))
    with Image.open(RESULTS / "photograph_painting.gif") as animation:
        assert animation.size == result.image.size
        assert animation.n_frames > 1


def test_its_words_are_the_settings_under_other_names(quick):
    result = main("photograph.png", "painting.png", style_weight=7, content_weight=3, **quick)
    settings = result.settings
    assert (settings.size, settings.iterations, settings.beta, settings.alpha) == (32, 3, 7, 3)
    assert len(result.history) == 3


def test_it_paints_what_the_mode_itself_would_paint(quick):
    ours = main("noise", "painting.png", "style", seed=4, **quick)
    theirs = impasto.style("painting.png", seed=4, size=32, iterations=3)
    assert ours.settings == theirs.settings
    assert np.array_equal(painted(ours), painted(theirs))


def test_a_picture_as_content_path_is_where_the_other_modes_start(quick):
    quick |= {"num_steps": 0, "palette": 0}
    for mode in ("content", "style"):
        result = main("other.png", "painting.png", mode, **quick)
        other = images.load("other.png").pixels
        expected = images.to_image(images.cover(other, *reversed(result.image.size)))
        assert np.array_equal(painted(result), np.asarray(expected))


def test_noise_is_taken_literally_in_style_transfer(quick):
    quick |= {"num_steps": 0, "palette": 0}
    noise = images.to_image(inputs.noise(32, 26, seed=0))
    result = main("noise", "painting.png", start="content", **quick)
    assert np.array_equal(painted(result), np.asarray(noise))
    assert (RESULTS / "noise_painting.png").exists()


def test_another_painting_of_the_same_pictures_gets_a_number(quick, capfd):
    calls = [
        {"mode": "style"},
        {"mode": "content"},
        {"mode": "content", "content_weight": 2},
        {"mode": "style", "seed": 5},
    ]
    results = [main("noise", "painting.png", **quick, **call) for call in calls]
    paths = [RESULTS / f"noise_painting{number}.png" for number in ("", "_2", "_3", "_4")]
    assert [result.path for result in results] == [Path.cwd() / path for path in paths]
    for result, path in zip(results, paths, strict=True):
        with Image.open(path) as picture:
            assert np.array_equal(np.asarray(picture), painted(result))
        assert path.with_suffix(".gif").exists()
    assert capfd.readouterr().out.split() == [str(path) for path in paths]


def test_the_same_painting_once_more_takes_the_place_of_the_first(quick):
    first = main("noise", "painting.png", "style", **quick)
    again = main("noise", "painting.png", "style", **quick)
    assert first.path == again.path
    assert [path.name for path in RESULTS.glob("*.png")] == ["noise_painting.png"]


@pytest.mark.parametrize("name", ["noise_painting.png", "noise_painting.gif"])
def test_a_file_that_is_no_painting_of_ours_is_left_alone(quick, name):
    RESULTS.mkdir(parents=True)
    (RESULTS / name).write_bytes(b"mine")
    result = main("noise", "painting.png", "style", **quick)
    assert result.path == Path.cwd() / RESULTS / "noise_painting_2.png"
    assert (RESULTS / name).read_bytes() == b"mine"


def test_a_picture_stopped_early_replaces_no_finished_one(quick, monkeypatch):
    from impasto.output.writer import Files

    finished = main("noise", "painting.png", "style", **quick)
    before = finished.path.read_bytes()

    def stop(files, step):
        raise KeyboardInterrupt

    monkeypatch.setattr(Files, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        main("noise", "painting.png", "style", **quick)
    assert finished.path.read_bytes() == before
    assert (RESULTS / "noise_painting_2.png").exists()


@pytest.mark.parametrize("size", ["original", (48, 32)])
def test_any_size_will_do(quick, size):
    quick["imsize"] = size
    expected = (96, 72) if size == "original" else size
    assert main("photograph.png", "painting.png", **quick).image.size == expected
    assert main("noise", "painting.png", start="content", **quick).image.size == (
        (64, 80) if size == "original" else size
    )


def test_several_paintings_share_the_name(quick):
    main("photograph.png", ["painting.png", "other.png"], **quick)
    assert (RESULTS / "photograph_painting+other.png").exists()


def test_a_file_of_the_users_goes_before_a_bundled_one(quick, folder):
    own = folder / "img" / "style" / "picasso.jpg"
    own.parent.mkdir(parents=True)
    Image.open("other.png").save(own)
    result = main("noise", "img/style/picasso.jpg", "style", **quick)
    assert result.image.size == (32, 32)


def test_inside_the_repository_results_go_to_its_own_folder(quick, monkeypatch):
    from impasto.notebook.main import _results_folder

    assert _results_folder() == Path.cwd() / RESULTS
    monkeypatch.chdir(ROOT / "tests" / "notebook")
    assert _results_folder() == ROOT / RESULTS


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"mode": "dream"}, SettingsError, "style_transfer, content, style, got 'dream'"),
        ({"content_path": "missing.png"}, ImageError, "no file 'missing.png'"),
        ({"style_path": "img/style/matisse.jpg"}, ImageError, "no file 'img/style/matisse.jpg'"),
        ({"imsize": 4}, SettingsError, "size: expected"),
        ({"size": 64}, SettingsError, "expected imsize or size"),
        ({"num_step": 64}, SettingsError, "no option 'num_step'"),
        ({"style_weight": -1}, SettingsError, "beta: expected"),
        ({"mode": "style", "start": "style"}, SettingsError, "content_path is the start picture"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_painted(quick, words, error, message):
    words = {"content_path": "photograph.png", "style_path": "painting.png", **quick, **words}
    with pytest.raises(error, match=message):
        main(**words)
    assert not list(Path().glob("img/results/*"))


def test_a_results_folder_that_cannot_be_made_is_refused(quick, folder):
    (folder / "img").write_text("in the way")
    with pytest.raises(ImageError, match="no folder"):
        main("photograph.png", "painting.png", **quick)


def test_stopping_keeps_the_picture_so_far(quick, monkeypatch):
    from impasto.output.writer import Files

    step_as_before = Files.step

    def stop_at_the_second(files, step):
        step_as_before(files, step)
        if step.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Files, "step", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        main("photograph.png", "painting.png", **quick)
    with Image.open(RESULTS / "photograph_painting.png") as picture:
        assert picture.size == (32, 24)


def test_outside_a_kernel_pyplot_holds_the_figure_and_nothing_blocks(quick):
    from matplotlib import pyplot

    main("photograph.png", "painting.png", **quick)
    main("noise", "painting.png", "style", **quick)
    titles = [axes.get_title() for axes in pyplot.gcf().axes]
    assert titles == ["start: noise", "style: painting", "result"]
    # One figure, drawn anew: a loop of calls does not pile them up.
    assert len(pyplot.get_fignums()) == 1
    pyplot.close("all")


def test_without_matplotlib_it_paints_and_says_what_to_install(quick, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    result = main("photograph.png", "painting.png", **quick)
    assert (RESULTS / "photograph_painting.png").exists()
    assert len(result.history) == 3
    assert "pip install '.[notebook]' in impasto's own folder" in " ".join(
        capfd.readouterr().err.split()
    )


def test_dataclass_tools_take_what_main_returns(quick):
    result = main("photograph.png", "painting.png", **quick)
    assert dataclasses.replace(result, time_s=0.0).time_s == 0.0


CELLS = """
import impasto; result = impasto.main('photograph.png', 'painting.png', imsize=32, num_steps=3)
---
impasto.main('noise', 'painting.png', 'style', imsize=32, num_steps=3)
---
result
---
axes = result.history.plot()
"""


@pytest.fixture(scope="module")
def outputs(weights_file, tmp_path_factory):
    """What each of CELLS shows in a real kernel."""
    here = tmp_path_factory.mktemp("notebook")
    for name, seed in (("photograph", 1), ("painting", 2)):
        pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(here / f"{name}.png")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.strip().split("\n---\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    before = dict(os.environ)
    os.environ |= {"IMPASTO_WEIGHTS_VGG16": str(weights_file), "OMP_NUM_THREADS": "1"}
    try:
        NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": here}}
        ).execute()
    finally:
        os.environ.clear()
        os.environ |= before
    return [cell.outputs for cell in notebook.cells]


def pictures(outputs):
    return [
        kind for output in outputs for kind in output.get("data", ()) if kind.startswith("image/")
    ]


def test_in_a_kernel_the_figure_takes_the_place_of_the_progress(outputs):
    assert pictures(outputs[0]) == ["image/jpeg"]
    assert not any("text/html" in output.get("data", ()) for output in outputs[0])
    (text,) = [output.text for output in outputs[0] if output.output_type == "stream"]
    assert str(RESULTS / "photograph_painting.png") in text


def test_in_a_kernel_the_cell_that_paints_shows_the_result_once(outputs):
    assert pictures(outputs[1]) == ["image/jpeg"]
    (value,) = [output for output in outputs[1] if output.output_type == "execute_result"]
    assert value.data["text/plain"].startswith("<Result of style: 32 x 24 pixels, 3 steps")


def test_in_a_kernel_a_later_cell_shows_the_result_as_a_picture(outputs):
    assert pictures(outputs[2]) == ["image/png"]


def test_in_a_kernel_the_history_draws_itself(outputs):
    assert pictures(outputs[3]) == ["image/png"]


def test_every_bundled_picture_is_found_from_every_folder(quick):
    from impasto.notebook.main import _load

    for kind in ("content", "style"):
        for name in samples.names(kind):
            assert _load(f"img/{kind}/{name}").name == Path(name).stem

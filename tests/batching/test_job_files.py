"""What a batch is asked for: jobs in files and folders, checked before anything is painted."""

import json
import os
import shutil
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hostile.job_texts import BOMB, LISTS, one

from impasto.batching import job_files
from impasto.batching.build import make_tasks, schedule
from impasto.config.words import vary
from impasto.errors import ImpastoError, SettingsError

JSONL = """
{"content": "photograph.png", "style": "painting.png", "output": "a.png", "size": 48}

{"content": "photograph.png", "style": ["painting.png", "other.png"], "output": "b.png",
 "style_weights": [2, 1], "style_layers": {"relu1_1": 2, "relu2_1": 1}, "offline": true}
{"mode": "style", "style": "other.png", "aspect": "16:9", "output": "c.tif", "bits": 16}
""".replace(",\n ", ", ")
CSV = """content,style,output,size,style_weights,style-layers,offline,mode,aspect,bits
photograph.png,painting.png,a.png,48,,,,,,
,,,,,,,,,
photograph.png,"painting.png;other.png",b.png,,"2,1","relu1_1=2,relu2_1",true,,,
,other.png,c.tif,,,,,style,16:9,16
"""
YAML = """
- content: photograph.png
  style: painting.png
  output: a.png
  size: 48
- {content: photograph.png, style: [painting.png, other.png], output: b.png,
   style_weights: [2, 1], style_layers: "relu1_1=2,relu2_1", offline: true}
- mode: style
  style: other.png
  aspect: 16:9
  output: c.tif
  bits: 16
  seed:
"""


@pytest.fixture
def tasks_of(folder):
    """``tasks_of(listed, **options)``: the tasks of entries, or of a file's text by its name."""

    def call(listed, *, text=None, into=None, mode="style_transfer", written=(), **options):
        if text is not None:
            (folder / listed).write_text(text)
            listed = job_files.read_file(folder / listed)
        return make_tasks(
            listed, options, mode=mode, into=into, ending=".png", home=folder, written=written
        )

    return call


def test_the_same_jobs_are_the_same_in_every_kind_of_file(tasks_of):
    by_kind = [
        tasks_of(f"jobs{kind}", text=text)
        for kind, text in ((".jsonl", JSONL), (".csv", CSV), (".yaml", YAML))
    ]
    labels = [[task.label for task in tasks] for tasks in by_kind]
    assert labels == [
        [f"jobs.jsonl line {line}" for line in (2, 4, 5)],
        [f"jobs.csv line {line}" for line in (2, 4, 5)],
        [f"jobs.yaml line {line}" for line in (2, 6, 8)],
    ]
    first, *others = ([replace(task, label="") for task in tasks] for tasks in by_kind)
    assert others == [first, first]
    assert [len(task.spec.references()) for task in first] == [2, 3, 1]
    assert first[1].spec.settings.style_layers == {"relu1_1": 2, "relu2_1": 1}
    assert first[2].spec.settings.aspect == "16:9"
    assert first[2].finish.bits == 16


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", f"{one()}\n{one(bata=3)}", "a.jsonl line 2: no option 'bata'"),
        ("a.csv", "content,bata\n,\nphotograph.png,3\n", "a.csv line 3: no option 'bata'"),
        ("a.yaml", "- {}\n- bata: 3\n", "a.yaml line 1: content: expected a picture"),
        ("a.yml", f"- {one()}\n- bata: 3\n", "a.yml line 2: no option 'bata'"),
        ("a.jsonl", one(timelapse="a.gif"), "line 1: no option 'timelapse'"),
        ("a.jsonl", one(size=5), "a.jsonl line 1: size: expected a number greater"),
        ("a.jsonl", one(seed=1.5), "line 1: seed: expected"),
        ("a.jsonl", one(alpha=float("nan")), "line 1: alpha: expected"),
        ("a.jsonl", one(preset="none"), "line 1: no preset 'none'"),
        ("a.jsonl", one(mode="transfer"), "line 1: mode: expected one of style_transfer"),
        ("a.jsonl", one(content="absent.png"), "line 1: content: no file"),
        ("a.jsonl", one(start="absent.png"), "line 1: start: no file"),
        ("a.jsonl", one(region="photograph.png:absent.png"), "line 1: region: no file"),
        ("a.jsonl", one(region="photograph.png"), "line 1: region: expected MASK:STYLE"),
        ("a.jsonl", one(weights="absent.pth"), "line 1: weights: no file"),
        ("a.jsonl", one(content=7), "line 1: content: expected a file's path, got 7"),
        ("a.jsonl", one(content=None), "line 1: content: expected a picture in style_transfer"),
        ("a.jsonl", one(style=[]), "line 1: style: expected a picture in style_transfer"),
        ("a.jsonl", one(mode="content"), "line 1: style: expected none in content mode"),
        ("a.jsonl", one(mode="style"), "line 1: content: expected none in style mode"),
        ("a.jsonl", one(output=None), "line 1: output: expected a file's path, got none"),
        ("a.jsonl", one(output="a.xyz"), "line 1: .*a name that ends in"),
        ("a.jsonl", one(output="absent/a.png"), "line 1: no folder"),
        ("a.jsonl", one(output="a.jpg", bits=16), "line 1: .*expected 8 bits"),
        ("a.jsonl", one(dpi=9, width="6cm"), "line 1: expected dpi or width, got both"),
        (
            "a.jsonl",
            one(output="other.png") + "\n" + one(content="other.png"),
            "line 2: .*not also an input",
        ),
        (
            "a.jsonl",
            one(content="other.png") + "\n" + one(output="other.png"),
            "line 1: .*by a.jsonl",
        ),
        ("a.jsonl", one(content="a.png"), "line 1: content: .*cannot wait for itself"),
        (
            "a.jsonl",
            one(content="b.png") + "\n" + one(content="a.png", output="b.png"),
            "line 1: content: .*b.png' is written by a.jsonl line 2: .*change the order",
        ),
        ("a.jsonl", one() + "\n" + one(seed=3), "line 2: .*as a.jsonl line 1 has"),
        ("a.jsonl", one() + "\n{", "a.jsonl line 2: expected a JSON object"),
        ("a.jsonl", "[" * 99999, "a.jsonl line 1: expected a JSON object"),
        ("a.jsonl", one() + "\n[3]", "a.jsonl line 2: expected options by name"),
        ("a.jsonl", '{"seed": 1, "seed": 2}', "line 1: .*a name appears twice"),
        ("a.csv", "seed,seed\n1,2", "a.csv line 1: expected each heading once"),
        ("a.csv", "seed,size\n\n1,2,3", "a.csv line 3: expected 2 cells"),
        ("a.csv", 'seed\n"1', "a.csv line 2: expected CSV"),
        ("a.yaml", "seed: 1", "a.yaml line 1: expected a list"),
        ("a.yaml", "- seed: 1\n- [", "a.yaml line 2: expected YAML"),
        ("a.yaml", '- seed: 1\n- {content: "\x01.png"}', r"a.yaml line 2: .*'\\x01'.* not allowed"),
        ("a.yaml", "- [" + 5000 * "[" + 5000 * "]" + "]", "a.yaml: .*too deep"),
        ("a.yaml", "- " + 5000 * "{a: " + "1" + 5000 * "}", "a.yaml: .*too deep"),
        ("a.jsonl", one(preset=[1]), r"line 1: preset: expected a name, got \[1\]"),
        ("a.jsonl", one(mode=[1]), r"line 1: mode: expected one of .*got \[1\]"),
        ("a.jsonl", one(content="~nosuchuser/x.png"), "content: no file .*~nosuchuser/x.png"),
        ("a.jsonl", one(output="~nosuchuser/x.png"), "line 1: no folder .*~nosuchuser"),
        ("a.jsonl", one(weights="~nosuchuser/x.pth"), "weights: no file .*~nosuchuser/x.pth"),
        ("a.jsonl", one(region="~nosuchuser/x:other.png"), "region: no file .*~nosuchuser/x"),
        ("a.jsonl", one(style_layers={"relu1_1": [[1]]}), "line 1: style_layers: expected a value"),
        ("a.jsonl", one(content="broken.png"), "line 1: content: .*broken.png.* is"),
        ("a.jsonl", one(style="broken.png"), "line 1: style: .*broken.png.* is"),
        ("a.jsonl", one(start="broken.png"), "line 1: start: .*broken.png.* is"),
        ("a.jsonl", one(content="a\0.png"), "line 1: content: .* cannot be read"),
        ("a.jsonl", one(content="\ud800.png"), "line 1: content: .* cannot be read"),
        (
            "a.csv",
            "content;style;output\nc.png;s.png;a.png\n",
            "a.csv line 1: .*by commas, not by ';'",
        ),
        ("a.csv", "content\tstyle\nc.png\ts.png\n", r"a.csv line 1: .*by commas, not by '\\t'"),
        ("a.yaml", "- 3", "a.yaml line 1: expected options by name"),
        ("a.yaml", "- seed: 1\n  seed: 2", "line 1: expected each option once, got 'seed' twice"),
        ("a.yaml", "- !!python/object/apply:os.system [ls]", "line 1: expected options by name"),
        ("a.jsonl", "\n", "has no jobs"),
        ("a.yaml", "", "has no jobs"),
        ("a.txt", "", "no job file"),
    ],
)
def test_what_is_wrong_is_refused_with_its_file_and_line(tasks_of, folder, name, text, message):
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImpastoError, match=message) as refusal:
        tasks_of(name, text=text)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 3000
    assert not (folder / "a.png").exists()


@pytest.mark.parametrize("text", [BOMB, LISTS, "- size: &a [*a]", "- &a [*a]"])
def test_a_file_that_unfolds_to_gigabytes_is_refused_without_unfolding_it(tasks_of, text):
    tracemalloc.start()
    try:
        with pytest.raises(SettingsError, match=r"line \d+: .*expected"):
            tasks_of("a.yaml", text=text)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_many_options_are_refused_at_once(tasks_of):
    words = {f"option{number}": number for number in range(20_000)}
    started_s = time.process_time()
    for name, text in (
        ("a.jsonl", one(**words)),
        ("a.csv", ",".join(words) + "\n" + ",".join(map(str, words.values()))),
    ):
        with pytest.raises(SettingsError, match="no option 'option0'"):
            tasks_of(name, text=text)
    assert time.process_time() - started_s < 2.0


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0c", "\x1c"])
def test_only_line_feeds_end_a_line_of_json(tasks_of, folder, mark):
    name = f"a{mark}b.png"
    shutil.copy(folder / "photograph.png", folder / name)
    text = json.dumps({**json.loads(one()), "content": name}, ensure_ascii=False)
    if mark < " ":
        text = one(content=name)
    (task,) = tasks_of("a.jsonl", text=f"{text}\r\n")
    assert task.spec.content.path.name == name


def test_a_job_may_be_painted_from_what_an_earlier_one_writes(tasks_of):
    text = "\n".join(
        [
            one(output="1.png"),
            one(start="1.png", output="2.png"),
            one(content="./2.png", style="1.png", output="3.png"),
            one(output="4.png", region="2.png:other.png"),
        ]
    )
    first, second, third, fourth = tasks_of("a.jsonl", text=text)
    assert second.writers == {first.identity}
    assert third.writers == {first.identity, second.identity}
    assert fourth.writers == {second.identity}
    (_, changed, *_) = tasks_of("a.jsonl", text=text.replace('"1.png"', '"1.png", "seed": 9', 1))
    assert changed.identity != second.identity


def test_a_picture_of_an_earlier_run_of_the_batch_may_be_replaced(tasks_of, folder):
    shutil.copy(folder / "other.png", folder / "1.png")
    text = one(output="1.png") + "\n" + one(content="1.png", output="2.png")
    with pytest.raises(SettingsError, match=r"line 2: .*exists already"):
        tasks_of("a.jsonl", text=text)
    _, second = tasks_of("a.jsonl", text=text, written={folder / "1.png"})
    assert second.writers


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_not_waited_for(tasks_of, folder):
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(SettingsError, match="no file"):
        tasks_of("a.jsonl", text=one(content="pipe.png"))
    os.mkfifo(folder / "pipe.jsonl")
    with pytest.raises(SettingsError, match="not a regular file"):
        job_files.read_file(folder / "pipe.jsonl")


def test_every_content_meets_every_style_in_every_variation(tasks_of, folder):
    contents, styles = folder / "contents", folder / "styles"
    for directory, names in ((contents, ("a.png", "b.PNG")), (styles, ("a.png", "a.jpg"))):
        directory.mkdir()
        for name in names:
            shutil.copy(folder / "photograph.png", directory / name)
    (contents / "notes.txt").write_text("no picture")
    (contents / ".hidden.png").write_text("no picture")
    (contents / "c.png").mkdir()
    listed = job_files.pair(
        [contents], [styles], vary(["beta=1e4,1e5", "style_layers=relu1_1;relu2_1"])
    )
    tasks = tasks_of(listed, into=folder)
    assert len({task.output.name for task in tasks}) == len(tasks) == 16
    assert tasks[0].output.name == "a_a-jpg_beta=1e4_style_layers=relu1_1.png"
    assert tasks[-1].output.name == "b_a-png_beta=1e5_style_layers=relu2_1.png"
    assert {task.spec.settings.beta for task in tasks} == {1e4, 1e5}
    assert tasks[0].spec.settings.style_layers == {"relu1_1": 1}


@pytest.mark.parametrize("word", ["beta", "beta=", "=3", "beta=,", "seed=1 seed=2"])
def test_a_variation_that_cannot_be_read_is_refused(word):
    with pytest.raises(SettingsError, match="vary: expected NAME=VALUE"):
        vary(word.split())


def test_a_folder_without_pictures_is_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(SettingsError, match="has no pictures"):
        job_files.pair([folder / "empty"], [], [{}])
    (folder / "empty" / "IMG_1.CR2").touch()
    with pytest.raises(SettingsError, match=r"has no pictures: .*not read: IMG_1.CR2"):
        job_files.pair([folder / "empty"], [], [{}])


def test_what_is_passed_over_in_a_folder_is_named(folder):
    contents = folder / "contents"
    contents.mkdir()
    shutil.copy(folder / "photograph.png", contents / "a.png")
    assert job_files.skipped_files(contents) is None
    for number in range(6):
        (contents / f"IMG_{number}.CR2").touch()
    (contents / "2024").mkdir()
    (contents / ".hidden").touch()
    message = job_files.skipped_files(contents)
    assert "2024/, IMG_0.CR2, IMG_1.CR2, IMG_2.CR2, IMG_3.CR2 and 2 more" in message
    assert ".hidden" not in message
    assert job_files.skipped_files(contents / "a.png") is None


def test_a_job_goes_before_flags_and_flags_before_defaults(tasks_of):
    (task,) = tasks_of("a.jsonl", text=one(seed=5), seed="3", size="64", threads="2")
    assert (task.spec.settings.seed, task.spec.settings.size, task.runtime.threads) == (5, 64, 2)
    assert task.spec.settings.beta is None


def test_a_start_picture_is_an_input_and_a_start_in_words_is_a_setting(tasks_of, folder):
    (picture,) = tasks_of("a.jsonl", text=one(start="other.png"))
    (word,) = tasks_of("a.jsonl", text=one(start="noise"))
    assert (picture.spec.start.path, picture.spec.settings.start) == (folder / "other.png", None)
    assert (word.spec.start, word.spec.settings.start) == (None, "noise")


def test_american_spelling_is_that_option_in_a_file_of_jobs(tasks_of):
    (american,) = tasks_of("a.jsonl", text=one(color="keep", optimizer="adam"))
    (british,) = tasks_of("a.jsonl", text=one(colour="keep", optimiser="adam"))
    assert american == british
    # A job's own word overrides the command line's, however it is spelled.
    (task,) = tasks_of("a.jsonl", text=one(color="keep"), colour="match")
    assert task.spec.settings.colour == "keep"
    with pytest.raises(SettingsError, match="line 1: colour: expected colour or color, got both"):
        tasks_of("a.jsonl", text=one(color="keep", colour="keep"))
    with pytest.raises(SettingsError, match="did you mean colour"):
        tasks_of("a.jsonl", text=one(colur="keep"))
    assert vary(["color=keep,free"]) == [{"colour": "keep"}, {"colour": "free"}]


def test_the_pictures_of_regions_are_inputs(tasks_of, folder):
    region = ["photograph.png:other.png", "photograph.png:painting.png:painting.png"]
    (task,) = tasks_of("a.jsonl", text=one(region=region))
    assert [len(region.references()) for region in task.spec.regions] == [2, 3]
    assert task.spec.regions[0].style.path == folder / "other.png"
    assert task.spec.settings.region is None


def test_a_label_picked_in_a_mask_is_a_part_of_what_decides(tasks_of):
    words = ("photograph.png", "photograph.png#ff0000", "photograph.png#00ff00")
    made = [tasks_of("a.jsonl", text=one(region=f"{word}:other.png"))[0] for word in words]
    regions = [task.spec.regions[0] for task in made]
    assert [region.mask_colour for region in regions] == [None, "#ff0000", "#00ff00"]
    assert len({region.mask.sha256 for region in regions}) == 1
    assert len({task.identity for task in made}) == 3


@pytest.mark.parametrize(
    "words",
    [
        {"seed": 1},
        {"style": "other.png"},
        {"style": ["painting.png", "painting.png"]},
        {"start": "other.png"},
        {"output": "b.png"},
        {"dpi": 300},
        {"weights": "other.png"},
        {"mode": "content", "style": None},
        {"region": "photograph.png:other.png"},
    ],
)
def test_what_changes_the_file_changes_the_identity(tasks_of, words):
    (plain,), (other,) = tasks_of("a.jsonl", text=one()), tasks_of("a.jsonl", text=one(**words))
    assert plain.identity != other.identity


def test_another_picture_under_the_same_name_changes_the_identity(tasks_of, folder):
    (before,) = tasks_of("a.jsonl", text=one())
    shutil.copy(folder / "other.png", folder / "painting.png")
    (after,) = tasks_of("a.jsonl", text=one())
    assert before.identity != after.identity


@pytest.mark.parametrize(
    "words", [{"threads": 3}, {"memory": "6GiB"}, {"content": "./photograph.png"}, {"size": "512"}]
)
def test_what_leaves_the_file_alone_leaves_the_identity(tasks_of, words):
    (plain,), (other,) = tasks_of("a.jsonl", text=one()), tasks_of("a.jsonl", text=one(**words))
    assert plain.identity == other.identity


def test_a_moved_folder_keeps_its_identities(tasks_of, folder):
    (before,) = tasks_of("a.jsonl", text=one())
    moved = shutil.copytree(folder, folder / "moved")
    listed = job_files.read_file(moved / "a.jsonl")
    (after,) = make_tasks(
        listed, {}, mode="style_transfer", into=None, ending=".png", home=Path(moved)
    )
    assert (before.identity, after.output) == (after.identity, moved / "a.png")


def test_large_pictures_come_first_and_equal_styles_side_by_side(tasks_of):
    jobs = [
        one(output=f"{number}.png", style=style, size=size)
        for number, (style, size) in enumerate(
            [("painting.png", 64), ("other.png", 64), ("painting.png", 96), ("painting.png", 64)]
        )
    ]
    ordered = [task.output.stem for task in schedule(tasks_of("a.jsonl", text="\n".join(jobs)))]
    assert ordered[0] == "2"
    assert abs(ordered.index("0") - ordered.index("3")) == 1


def test_a_folder_of_every_kind_of_picture(folder, monkeypatch):
    from importlib.util import find_spec

    import impasto.batching.job_files as module

    (folder / "all").mkdir()
    names = ["a.heic", "b.jp2", "c.ppm", "d.tga", "e.PNG"]
    for name in names:
        (folder / "all" / name).touch()
    for is_installed in (True, False):
        monkeypatch.setattr(
            module,
            "find_spec",
            lambda name, is_installed=is_installed: find_spec("json") if is_installed else None,
        )
        entries = job_files.pair([folder / "all"], [folder / "painting.png"], [{}])
        listed = [Path(entry.words["content"]).name for entry in entries]
        assert listed == (names if is_installed else names[1:])

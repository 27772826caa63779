"""A batch painted: each picture once, whatever fails, whoever is killed."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

import impasto as package
from impasto.batching import job_files
from impasto.batching.build import make_tasks
from impasto.batching.journal import Journal
from impasto.batching.journal import read as journal_records
from impasto.batching.process_pool import LocalProcesses
from impasto.batching.tasks import Advance, Outcome

DONE = ["begun", "saving", "done"]

if os.name != "posix":
    pytest.skip("signals are for POSIX systems", allow_module_level=True)


def events(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def tasks(folder, jobs_file):
    """``tasks(*jobs)``: the tasks of a file of jobs."""

    def make(*jobs, **options):
        listed = job_files.read_file(folder / jobs_file(*jobs, **options))
        return make_tasks(listed, {}, mode="style_transfer", into=None, ending=".png", home=folder)

    return make


def test_every_pair_is_painted_as_it_would_be_alone_and_then_never_again(
    impasto, folder, quick, weights_file, states
):
    words = ["--content=photograph.png", "--style=painting.png", "--style=other.png"]
    layers = {"style_layers": "relu1_1,relu3_1", "content_layers": "relu2_2"}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in layers.items()]
    words = ["batch", *words, *flags, "--vary=seed=0,1", "--threads=1", *quick, "--start=noise"]
    done = impasto(*words, "-o", "out", "--json", "--workers=2")
    assert (done.code, done.err) == (0, "")
    first, *middle, sheet, last = events(done.out)
    assert (first["event"], first["jobs"], first["done"]) == ("batch", 4, 0)
    assert (last["event"], last["done"], last["failed"]) == ("summary", 4, 0)
    assert [event["event"] for event in middle].count("done") == 4
    assert middle[-1]["progress"] == 1
    assert sheet == {"event": "sheet", "path": "out/contact-sheet.jpg"}
    with Image.open(folder / "out/contact-sheet.jpg") as image:
        assert min(image.size) > 96
    for style in ("painting", "other"):
        for seed in (0, 1):
            name = f"photograph_{style}_seed={seed}.png"
            assert states(name, "out/journal.jsonl") == DONE
            alone = package.style_transfer(
                "photograph.png",
                f"{style}.png",
                weights=str(weights_file),
                **{"size": 48, "coarsest": 32, "iterations": 4, "threads": 1, "seed": seed},
                **{"alpha": 1, "beta": 5e4, "start": "noise"},
                **layers,
            )
            assert (folder / "out" / name).read_bytes() == alone.encode(name)
    (folder / "out/photograph_other_seed=1.png").unlink()
    again = impasto(*words, "-o", "out", "--json")
    assert again.code == 0
    assert [event["done"] for event in events(again.out) if event["event"] == "batch"] == [3]
    assert states("photograph_other_seed=1.png", "out/journal.jsonl") == DONE * 2
    assert states("photograph_other_seed=0.png", "out/journal.jsonl") == DONE


def test_a_job_that_fails_is_recorded_and_the_others_go_on(impasto, folder, jobs_file, states):
    (folder / "broken.png").write_bytes((folder / "other.png").read_bytes()[:-60])
    (folder / "tiny.png").write_bytes((folder / "photograph.png").read_bytes()[:-50])
    file = jobs_file(
        {"content": "broken.png"}, {}, {"content": "tiny.png"}, {"style_weights": "1,2"}
    )
    done = impasto("batch", file, "--quiet")
    assert (done.code, done.out) == (1, "")
    assert sorted(line[:26] for line in done.err.splitlines()) == [
        f"impasto: jobs.jsonl line {number}" for number in (1, 3, 4)
    ]
    assert [states(f"{number}.png")[-1] for number in range(4)] == [
        "failed",
        "done",
        "failed",
        "failed",
    ]
    assert not (folder / "0.png").exists()
    (folder / "broken.png").write_bytes((folder / "photograph.png").read_bytes())
    again = impasto("batch", jobs_file({"content": "broken.png"}, {}), "--json")
    assert again.code == 0
    assert (events(again.out)[0]["done"], events(again.out)[-1]["done"]) == (1, 2)


def test_a_batch_that_is_done_starts_no_process(impasto, folder, jobs_file, tasks, monkeypatch):
    (task,) = tasks({})
    task.output.write_bytes((folder / "photograph.png").read_bytes())
    with Journal(folder / "jobs.journal.jsonl") as journal:
        journal.saving(task, task.output.read_bytes())
    monkeypatch.delattr(LocalProcesses, "submit")
    done = impasto("batch", "jobs.jsonl", "--no-sheet")
    assert (done.code, done.out) == (0, "")
    assert "1 of 1 jobs are done already" in done.err


def test_a_process_that_is_killed_is_replaced_and_its_job_done(tasks, folder):
    listed = tasks({}, {"seed": 1}, {"seed": 2})
    executor = LocalProcesses(1, 1)
    for task in listed:
        executor.submit(task)
    begun, outcomes, killed = [], [], False
    for event in executor.as_completed():
        if isinstance(event, Advance):
            begun += [event.task.output.stem] if not event.progress else []
        else:
            outcomes.append((event.task.output.stem, event.state))
        if len(begun) == 2 and not killed:
            killed = True
            (process,) = multiprocessing.active_children()
            process.kill()
    assert begun == ["0", "1", "1", "2"]
    assert outcomes == [("0", "done"), ("1", "done"), ("2", "done")]
    assert not multiprocessing.active_children()


def test_a_job_that_kills_every_process_fails_and_the_others_go_on(tasks):
    listed = tasks({}, {"seed": 1})
    executor = LocalProcesses(1, 1)
    for task in listed:
        executor.submit(task)
    outcomes = []
    for event in executor.as_completed():
        if isinstance(event, Advance):
            if event.task is listed[0]:
                (process,) = multiprocessing.active_children()
                process.kill()
        else:
            outcomes.append(event)
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert "3 ended, the last one by SIGKILL" in outcomes[0].message


def test_cancelling_ends_the_processes_at_once(tasks):
    executor = LocalProcesses(1, 1)
    (task,) = tasks({}, iterations=20000)
    executor.submit(task)
    happening = executor.as_completed()
    while not next(happening).progress:
        pass
    executor.cancel()
    assert not multiprocessing.active_children()
    assert list(happening) == []


def processes_of(folder):
    """The processes that work in ``folder``, but for this one."""
    process_ids = []
    for directory in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if directory.readlink() == folder and int(directory.parent.name) != os.getpid():
                process_ids.append(directory.parent.name)
    return process_ids


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are counted by /proc")
def test_killed_again_and_again_a_batch_does_each_job_once(
    start_process, run_process, folder, jobs_file, states
):
    file = jobs_file(*({"seed": seed} for seed in range(6)), iterations=12)
    chance = random.Random(9)
    kills = 0
    while kills < 3:
        process = start_process("batch", file, "--json", "--workers=1")
        for _ in range(chance.randrange(2, 12)):
            if not process.stdout.readline():
                break
        time.sleep(chance.random() / 5)
        kills += process.poll() is None
        process.kill()
        assert process.communicate()[1] == ""
        if all((folder / f"{number}.png").exists() for number in range(6)):
            break
    assert kills
    until = time.monotonic() + 10
    while processes_of(folder) and time.monotonic() < until:
        time.sleep(0.05)
    assert not processes_of(folder)
    assert run_process("batch", file, "--quiet", "--no-sheet").code == 0
    for number in range(6):
        assert states(f"{number}.png").count("done") == 1
    assert not list(folder.glob(".*.part"))


def test_a_signal_stops_a_batch_whose_pictures_so_far_are_kept(start_process, jobs_file, states):
    file = jobs_file({}, {"iterations": 20000})
    process = start_process("batch", file, "--json", "--no-sheet", "--workers=2")
    while json.loads(process.stdout.readline())["event"] != "done":
        pass
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "")
    assert "start the same batch again" in events(out)[-1]["text"]
    assert (states("0.png"), states("1.png")) == (DONE, ["begun"])


def test_a_job_waits_for_the_picture_that_it_is_painted_from(impasto, folder, jobs_file, states):
    file = jobs_file(
        {"output": "1.png", "iterations": 8},
        {"output": "2.png", "start": "1.png", "size": 64},
        {"output": "3.png", "content": "2.png", "seed": 3},
        {"output": "4.png", "seed": 4},
    )
    done = impasto("batch", file, "--json", "--workers=2")
    assert (done.code, done.err) == (0, "")
    ended = [Path(event["output"]).stem for event in events(done.out) if event["event"] == "done"]
    assert sorted(ended) == ["1", "2", "3", "4"]
    assert ended.index("1") < ended.index("2") < ended.index("3")
    recipe = package.job.recipe.read(folder / "3.png")
    assert recipe.inputs.content.sha256 == sha256((folder / "2.png").read_bytes()).hexdigest()
    pictures = [(folder / f"{number}.png").read_bytes() for number in (1, 2, 3)]
    for number in (1, 3):
        (folder / f"{number}.png").unlink()
    again = impasto("batch", file, "--json", "--no-sheet")
    assert (again.code, events(again.out)[0]["done"]) == (0, 2)
    assert [(folder / f"{number}.png").read_bytes() for number in (1, 2, 3)] == pictures
    assert states("2.png") == DONE


def test_what_waits_for_a_job_that_fails_fails_with_it(impasto, folder, jobs_file, states):
    (folder / "broken.png").write_bytes((folder / "other.png").read_bytes()[:-60])
    file = jobs_file(
        {"output": "1.png", "content": "broken.png"},
        {"output": "2.png", "start": "1.png"},
        {"output": "3.png", "content": "2.png", "style": "1.png"},
        {"output": "4.png"},
    )
    done = impasto("batch", file, "--quiet", "--no-sheet")
    assert (done.code, done.err.count("\n")) == (1, 3)
    assert "jobs.jsonl line 2: not painted: it needs" in done.err
    assert "which jobs.jsonl line 1 was to write" in done.err
    assert [states(f"{number}.png")[-1] for number in (1, 2, 3, 4)] == [
        *("failed", "failed", "failed"),
        "done",
    ]


def test_a_folder_is_painted_and_what_is_no_picture_is_named(impasto, folder, quick):
    (folder / "in").mkdir()
    (folder / "in" / "a.png").write_bytes((folder / "photograph.png").read_bytes())
    (folder / "in" / "b.CR2").touch()
    words = ["batch", "--content=in", "--style=other.png", "-o", "out", *quick, "--no-sheet"]
    done = impasto(*words, "--json", "--strength=1", "--alpha=1", "--beta=1e4")
    assert done.code == 2
    done = impasto(*words, "--json", "--alpha=1", "--beta=1e4")
    assert done.code == 0
    assert "not read: b.CR2" in next(e for e in events(done.out) if e["event"] == "message")["text"]
    assert "not read: b.CR2" in impasto(*words, "--alpha=1", "--beta=1e4").err


def test_two_batches_never_share_a_journal(impasto, folder, jobs_file):
    file = jobs_file({})
    with Journal(folder / "jobs.journal.jsonl"):
        done = impasto("batch", file)
    assert done.code == 2
    assert "one batch at a time" in done.err
    assert not (folder / "0.png").exists()


def test_a_line_cut_short_by_a_kill_is_passed_over(tasks, folder):
    one, other = tasks({}, {"seed": 1})
    path = folder / "journal.jsonl"
    data = (folder / "photograph.png").read_bytes()
    with Journal(path) as journal:
        for task in (one, other):
            journal.begun(task)
            journal.saving(task, data)
            task.output.write_bytes(data)
    path.write_bytes(path.read_bytes()[:-9])
    with Journal(path) as journal:
        assert (journal.is_done(one), journal.is_done(other)) == (True, False)
    with Journal(path) as journal:
        assert (journal.is_done(one), journal.is_done(other)) == (True, False)


def test_only_the_picture_that_was_about_to_be_written_counts_as_done(tasks, folder):
    (task,) = tasks({})
    data = (folder / "photograph.png").read_bytes()
    with Journal(folder / "journal.jsonl") as journal:
        journal.saving(task, data)
        assert not journal.is_done(task)
        task.output.write_bytes(b"an older picture")
        assert not journal.is_done(task)
        assert not journal.is_done(replace(task, identity="another"))
        task.output.write_bytes(data)
        assert journal.is_done(task)


def test_a_finished_picture_that_was_replaced_is_painted_again(tasks, folder):
    (task,) = tasks({})
    data = (folder / "photograph.png").read_bytes()
    task.output.write_bytes(data)
    path = folder / "journal.jsonl"
    with Journal(path) as journal:
        journal.begun(task)
        journal.saving(task, data)
        journal.ended(Outcome(task, "done", data))
    for text in (b"", b"rubbish", data[:-1], data + b"\0"):
        task.output.write_bytes(text)
        with Journal(path) as journal:
            assert not journal.is_done(task)
    task.output.write_bytes(data)
    with Journal(path) as journal:
        assert journal.is_done(task)


def test_journals_of_earlier_versions_are_read(tasks, folder):
    (task,) = tasks({})
    data = (folder / "photograph.png").read_bytes()
    task.output.write_bytes(data)
    path = folder / "journal.jsonl"
    head = {"event": "batch", "format": 1, "impasto": "0.1"}
    done = {"job": task.identity, "state": "done", "output": "0.png"}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (head, done)))
    with Journal(path) as journal:
        assert journal.is_done(task)
    saving = done | {"state": "saving", "sha256": sha256(data).hexdigest()}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (head, saving, done)))
    with Journal(path) as journal:
        assert journal.is_done(task)
    task.output.write_bytes(b"rubbish")
    with Journal(path) as journal:
        assert not journal.is_done(task)


def test_no_flipped_bit_in_the_first_line_loses_what_is_done(tasks, folder):
    (task,) = tasks({})
    data = (folder / "photograph.png").read_bytes()
    task.output.write_bytes(data)
    path = folder / "journal.jsonl"
    with Journal(path) as journal:
        journal.saving(task, data)
        journal.ended(Outcome(task, "done", data))
    whole = path.read_bytes()
    for bit in range(8 * whole.index(b"\n")):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert journal_records(path)[task.identity]["state"] == "done", bit


def test_a_very_deep_line_is_passed_over(tasks, folder):
    (task,) = tasks({})
    data = (folder / "photograph.png").read_bytes()
    task.output.write_bytes(data)
    path = folder / "journal.jsonl"
    with Journal(path) as journal:
        journal.saving(task, data)
    path.write_bytes(b"[" * 200_000 + b"\n" + path.read_bytes() + b'{"a":' * 200_000 + b"\n")
    with Journal(path) as journal:
        assert journal.is_done(task)


def test_a_pipe_as_journal_is_refused_and_not_waited_for(impasto, folder, jobs_file):
    os.mkfifo(folder / "pipe")
    done = impasto("batch", jobs_file({}), "--journal", "pipe")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "not a regular file" in done.err


@pytest.mark.parametrize("text", ["not ours\n", '{"event": "batch", "format": 99}\n', "[1]\n"])
def test_a_file_that_is_no_journal_is_left_alone(impasto, folder, jobs_file, text):
    (folder / "mine.txt").write_text(text)
    done = impasto("batch", jobs_file({}), "--journal", "mine.txt")
    assert done.code == 2
    assert "no journal" in done.err
    assert (folder / "mine.txt").read_text() == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jobs.jsonl", "--style=other.png"], "a job file or folders, got both"),
        ([], "got neither"),
        (["--content=photograph.png", "--style=other.png"], "name one with -o"),
        (["jobs.jsonl", "--sheet=sheet.txt"], "a name that ends in"),
        (["jobs.jsonl", "--sheet=0.png"], "is the batch's journal"),
        (["jobs.jsonl", "-o", "painting.png"], "cannot be created"),
        (["jobs.jsonl", "--journal=absent/j.jsonl"], "cannot be used as journal"),
        (["jobs.jsonl", "--bata=3"], "No such option"),
    ],
)
def test_what_the_command_cannot_do_is_refused_at_once(impasto, folder, jobs_file, words, message):
    jobs_file({})
    done = impasto("batch", *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert not (folder / "0.png").exists()

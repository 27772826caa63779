"""Hostile files of jobs, journals and recipes: read, or refused in one line, and soon."""

import json
import random
import shutil
import time
import tracemalloc

import pytest
from tests.hostile.job_texts import JOB_FILES, WRONG, journal

from impasto.batching import job_files
from impasto.batching import journal as journals
from impasto.batching.build import make_tasks
from impasto.cli.commands import replay
from impasto.config.settings import Settings
from impasto.errors import ImpastoError, SettingsError
from impasto.job import recipe
from impasto.job.hashes import InputHashes
from impasto.job.recipe import Budget, Change, Decisions, Recipe, Versions

LONGEST_S, LARGEST_BYTES, LONGEST_MESSAGE = 5.0, 128 * 2**20, 2000


def outcome_of(folder, ending, text):
    """The message that refuses a file of jobs; None if its jobs can be painted."""
    path = folder / f"jobs.{ending}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        make_tasks(
            job_files.read_file(path), {}, mode="style_transfer", into=None, ending=".png",
            home=folder,
        )  # fmt: skip
    except ImpastoError as error:
        return str(error)
    return None


def check_message(message):
    assert message.isprintable()
    assert len(message) < LONGEST_MESSAGE


@pytest.mark.parametrize("name", JOB_FILES)
def test_a_hostile_file_of_jobs_is_read_or_refused_in_one_line_and_soon(folder, name):
    before = sorted(folder.rglob("*"))
    began_s = time.process_time()
    message = outcome_of(folder, *JOB_FILES[name])
    assert time.process_time() - began_s < LONGEST_S
    assert message is not None
    check_message(message)
    left = [path for path in sorted(folder.rglob("*")) if path.stem != "jobs"]
    assert left == before


@pytest.mark.parametrize("name", ["bomb", "bomb of lists", "bomb of mappings", "many options"])
def test_a_small_file_does_not_grow_in_memory(folder, name):
    tracemalloc.start()
    try:
        outcome_of(folder, *JOB_FILES[name])
        assert tracemalloc.get_traced_memory()[1] < LARGEST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [name for name in JOB_FILES if name.startswith("wrong ")])
def test_each_wrong_value_alone_is_read_or_refused_in_one_line(folder, name):
    ending, text = JOB_FILES[name]
    lines = text.split("\n")
    assert len(lines) == len(WRONG)
    refused = 0
    for line in lines:
        message = outcome_of(folder, ending, line)
        if message is not None:
            check_message(message)
            refused += 1
    assert refused > len(WRONG) / 2


def test_a_flipped_bit_of_a_journal_costs_no_other_job_s_record(tmp_path):
    """Of the header every bit, and of the rest some: what is hit may be lost, the rest is read."""
    whole, path = journal(), tmp_path / "journal.jsonl"
    lines = whole.splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    path.write_bytes(whole)
    records = journals.read(path)
    assert [record["state"] for record in records.values()] == ["done"] * 3
    chance, changed = random.Random(3), 0
    header = range(8 * len(lines[0]))
    for place in (*header, *chance.sample(range(header.stop, 8 * len(whole)), 1000)):
        position, bit = divmod(place, 8)
        flipped = bytearray(whole)
        flipped[position] ^= 1 << bit
        path.write_bytes(flipped)
        read = journals.read(path)
        hit = max(number for number, start in enumerate(starts) if start <= position)
        # A line that has lost its end swallows the next.
        hits = {hit, hit + 1} if whole[position] == ord("\n") else {hit}
        for number, (job, record) in enumerate(records.items()):
            if not {3 * number + 1, 3 * number + 2, 3 * number + 3} & hits:
                assert read.get(job) == record, place
        changed += read != records
    assert changed > 200
    journals.outputs(path)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 99_999,
        b'{"job":' * 99_999,
        b'{"job": 1, "state": "done"}\n',
        b'{"job": "a", "state": ["done"]}\n',
        b'{"event": "batch", "format": [1]}\n',
        b'{"event": "batch", "format": 1e999}\n',
        b'{"event": "batch", "format": ' + b"9" * 9999 + b"}\n",
        b"\xff\xfe\x00" * 999,
        b"\x00" * 99_999,
    ],
    ids=range(9),
)
def test_what_is_no_journal_is_refused_and_what_follows_is_read(tmp_path, text):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(text)
    with pytest.raises(SettingsError, match="no journal of a batch") as refusal:
        journals.read(path)
    check_message(str(refusal.value))
    path.write_bytes(text + b"\n" + journal())
    assert len(journals.read(path)) == 3


def odd_records():
    job = {"job": "a" * 64, "state": "done"}
    yield from ({**job, "output": value} for value in (*WRONG, None))
    yield from ({**job, "sha256": value} for value in (*WRONG, None))
    yield from ({**job, "state": value} for value in WRONG)
    yield from ({**job, "job": value} for value in WRONG)


def test_records_of_odd_values_are_read_or_passed_over(tmp_path):
    path = tmp_path / "journal.jsonl"
    for record in odd_records():
        path.write_bytes(journal() + json.dumps(record).encode() + b"\n")
        assert len(journals.read(path)) in (3, 4)
        assert len(journals.outputs(path)) >= 2


# As many as fit into the characters that are read of a recipe.
MANY = {
    "budgets": {"budgets": tuple(Budget(after=n, memory=2**33 + n) for n in range(7000))},
    "changes": {"changes": tuple(Change(after=n, settings={"beta": 1e4 + n}) for n in range(3000))},
    "changes at once": {
        "changes": tuple(Change(after=0, settings={"beta": 1e4 + n}) for n in range(3000))
    },
}


def made(**decided):
    return Recipe(
        mode="style",
        settings=Settings(size=32),
        weights_sha256=None,
        versions=Versions(impasto="1.0", torch="2.13", python="3.12"),
        decisions=Decisions(precision="fp32", device="cpu", threads=1, **decided),
        inputs=InputHashes(),
    )


@pytest.mark.parametrize("name", MANY)
def test_thousands_of_decisions_are_read_and_replayed_soon(name):
    text = made(**MANY[name]).text()
    assert recipe.MOST_CHARACTERS / 2 < len(text) <= recipe.MOST_CHARACTERS
    began_s = time.process_time()
    read = recipe.parse(text, "'it'")
    job = replay.make_job(
        read, content=None, styles=[], start=None, changes=["size=48"], runtime={},
        other_inputs=True,
    )  # fmt: skip
    assert time.process_time() - began_s < LONGEST_S
    assert job.settings.size == 48
    if name != "budgets":
        assert job.settings.beta == 1e4 + 2999


def test_the_inputs_of_these_tests_are_there(folder):
    shutil.copy(folder / "photograph.png", folder / "a\u2028b.png")
    assert outcome_of(folder, *JOB_FILES["U+2028"]) is None

"""The HTTP interface: ordering, watching, steering and fetching a painting."""

import io
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from impasto.job import recipe

ENDLESS = {"iterations": 100_000}


def begun(work):
    return work["step"] >= 2


def test_a_painting_is_ordered_watched_and_fetched(studio, picture_bytes, tmp_path):
    content = studio.upload(picture_bytes(seed=1), "my photograph.png").json()
    style = studio.upload(picture_bytes(64, 64, seed=2), "my painting.png").json()
    assert (content["width_px"], content["height_px"]) == (96, 72)
    pictures = {"content": content["id"], "styles": [style["id"]]}
    settings = {"size": 64, "coarsest": 64, "iterations": 30}
    ordered = studio.order(pictures=pictures, settings=settings)
    assert ordered.status_code == 201
    work = ordered.json()
    previews, steps = {}, []
    for kind, data in studio.events(f"?work={work['id']}"):
        if kind == "preview" and not previews:
            previews[data["step"]] = studio.get(f"/{data['url']}").content
        if kind == "work":
            steps.append(data["step"])
            if data["state"] == "finished":
                break
    assert steps == sorted(steps)
    assert steps[-1] == 30
    (step, first), *_ = previews.items()
    assert step < 30
    path = f"/api/works/{work['id']}"
    last = studio.get(f"{path}/preview").content
    first, last = (np.asarray(Image.open(io.BytesIO(data)), float) for data in (first, last))
    assert first.shape == last.shape == (48, 64, 3)
    assert np.abs(first - last).mean() > 1
    text = studio.get(f"{path}/recipe")
    assert text.headers["content-disposition"].endswith('.json"')
    assert recipe.parse(text.text, "it").settings.iterations == 30
    for ending, kind in (("png", "PNG"), ("jpg", "JPEG"), ("tiff", "TIFF")):
        answer = studio.get(f"{path}/picture.{ending}")
        assert answer.headers["content-disposition"].endswith(f'{ending}"')
        file = tmp_path / f"picture.{ending}"
        file.write_bytes(answer.content)
        with Image.open(file) as image:
            assert (image.format, image.size) == (kind, (64, 48))
        made = recipe.read(file)
        assert made.inputs.content.name == "my photograph.png"
    losses = studio.get(f"{path}/losses").json()
    assert losses[0][0] == 1
    assert losses[-1][1] < losses[0][1] / 2


def test_a_picture_is_fetched_in_every_format_and_print_size(studio, tmp_path):
    path = f"/api/works/{studio.painted()['id']}/picture"

    def fetch(ending, **query):
        answer = studio.get(f"{path}.{ending}", params=query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"].endswith(f'{ending}"')
        file = tmp_path / f"picture.{ending}"
        file.write_bytes(answer.content)
        return file

    pixels = np.asarray(Image.open(fetch("png")))
    for ending in ("webp", "avif"):
        file = fetch(ending)
        assert recipe.read(file).settings.iterations == 4
        with Image.open(file) as image:
            assert image.format == ending.upper()
            assert np.abs(np.asarray(image.convert("RGB"), float) - pixels).mean() < 8
    assert np.array_equal(np.asarray(Image.open(fetch("tiff", bits=8))), pixels)
    deep = pyvips.Image.new_from_file(str(fetch("png", bits=16))).numpy()
    kept = pyvips.Image.new_from_file(str(fetch("tiff"))).numpy()
    assert deep.dtype == np.uint16
    assert np.array_equal(deep, kept)
    printed = fetch("png", width="24mm", no_recipe=True)
    with Image.open(printed) as image:
        assert image.info["dpi"][0] == pytest.approx(image.width / 24 * 25.4, rel=1e-3)
        assert "Recipe" not in image.text
        assert np.array_equal(np.asarray(image), pixels)
    with Image.open(fetch("jpg", dpi=300)) as image:
        assert image.info["dpi"] == (300, 300)
    for ending, query, message in (
        ("jpg", {"bits": 16}, "choose .png or .tiff"),
        ("png", {"bits": 12}, "bits"),
        ("png", {"width": "wide"}, "width"),
        ("png", {"dpi": 300, "width": "2cm"}, "both"),
    ):
        answer = studio.get(f"{path}.{ending}", params=query)
        assert (answer.status_code, set(answer.json())) == (422, {"error"})
        assert message in answer.json()["error"]
    assert not list((studio.folder / "incoming").iterdir())


def test_a_time_lapse_has_frames_and_ends_with_the_result(studio, tmp_path):
    work_id = studio.painted(settings={"iterations": 40})["id"]
    path = f"/api/works/{work_id}"
    steps = studio.get(f"{path}/frames").json()
    assert steps[0] == 1
    assert steps == sorted(set(steps))
    frame = Image.open(io.BytesIO(studio.get(f"{path}/frames/1").content))
    result = Image.open(io.BytesIO(studio.get(f"{path}/picture.png").content)).convert("RGB")
    assert frame.size == result.size
    for ending in ("gif", "webp"):
        answer = studio.get(f"{path}/timelapse.{ending}")
        assert answer.headers["content-type"] == f"image/{ending}"
        with Image.open(io.BytesIO(answer.content)) as animation:
            assert animation.n_frames == len(steps) + 1
            animation.seek(animation.n_frames - 1)
            last = np.asarray(animation.convert("RGB"), float)
        assert np.abs(last - np.asarray(result)).mean() < 8
    assert studio.get(f"{path}/frames/41").status_code == 404
    assert not list((studio.folder / "incoming").iterdir())


def test_the_replay_command_paints_the_same_picture(studio, weights_file, tmp_path):
    work = studio.painted()
    words = work["replay"].split()
    (tmp_path / words[2]).write_bytes(studio.get(f"/api/works/{work['id']}/picture.png").content)
    bundled = {"dancing.jpg": "content", "picasso.jpg": "style"}
    for name, kind in bundled.items():
        from impasto.images import samples

        (tmp_path / name).write_bytes(samples.path(kind, name).read_bytes())
    command = [sys.executable, "-m", *words, "--weights", str(weights_file)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    first, again = (np.asarray(Image.open(tmp_path / name)) for name in (words[2], words[-1]))
    assert np.array_equal(first, again)


def test_a_plan_tells_sizes_time_and_memory(studio):
    order = {"content": "content.dancing", "styles": ["style.picasso"], "settings": {"size": 256}}
    studio.wait_until_ready()
    plan = studio.post("/api/plan", json=order).json()
    assert [max(size["width_px"], size["height_px"]) for size in plan["sizes"]] == [128, 181, 256]
    assert plan["time_s"] > 0
    assert plan["peak_bytes"] > 2**28


def test_a_painting_is_cancelled_within_a_step_and_kept(studio):
    work_id = studio.order(settings=ENDLESS).json()["id"]
    before = studio.wait(work_id, until=begun)
    assert studio.post(f"/api/works/{work_id}/cancel").status_code == 200
    after = studio.wait(work_id, "cancelled")
    assert after["has_picture"]
    assert after["step"] < before["steps"]
    png = studio.get(f"/api/works/{work_id}/picture.png").content
    assert recipe.parse(Image.open(io.BytesIO(png)).text["Recipe"], "it").decisions.stopped_after
    assert studio.post(f"/api/works/{work_id}/cancel").status_code == 409


def test_a_paused_painting_goes_on_where_it_was_and_ends_the_same(studio):
    settings = {"iterations": 60, "seed": 5}
    straight = studio.painted(settings=settings)
    work_id = studio.order(settings=settings).json()["id"]
    studio.wait(work_id, until=begun)
    studio.post(f"/api/works/{work_id}/pause")
    paused = studio.wait(work_id, "paused", "finished")
    assert paused["state"] == "paused"
    assert 2 <= paused["step"] < 60
    resumed = studio.post(f"/api/works/{work_id}/resume").json()
    assert resumed["state"] in ("waiting", "painting")
    studio.wait(work_id, "finished")
    first, second = (
        np.asarray(Image.open(io.BytesIO(studio.get(f"/api/works/{i}/picture.png").content)))
        for i in (straight["id"], work_id)
    )
    assert np.array_equal(first, second)
    assert studio.post(f"/api/works/{work_id}/resume").status_code == 409


def test_a_painting_is_steered_while_it_is_painted(studio):
    work_id = studio.order(settings=ENDLESS).json()["id"]
    path = f"/api/works/{work_id}"
    studio.wait(work_id, until=begun)
    steered = studio.post(f"{path}/steer", json={"settings": {"strength": 0.9}})
    assert steered.status_code == 200
    change = steered.json()["changes"][0]
    assert change["settings"] == {"strength": 0.9}
    for settings in ({"size": 64}, {"strength": 2}, {"nothing": 1}):
        refused = studio.post(f"{path}/steer", json={"settings": settings})
        assert refused.status_code == 422
        assert next(iter(settings)) in refused.json()["error"]
    later = studio.work(work_id)["step"] + 1
    studio.wait(work_id, until=lambda work: work["step"] > later)
    studio.post(f"{path}/cancel")
    studio.wait(work_id, "cancelled")
    png = studio.get(f"{path}/picture.png").content
    made = recipe.parse(Image.open(io.BytesIO(png)).text["Recipe"], "it")
    assert made.decisions.changes[0].after == change["step"]
    assert studio.post(f"{path}/steer", json={"settings": {"strength": 0.5}}).status_code == 409


def test_a_work_that_waits_is_cancelled_at_once(studio):
    first, second = (studio.order(settings=ENDLESS).json()["id"] for _ in range(2))
    assert studio.work(second)["state"] == "waiting"
    assert studio.post(f"/api/works/{second}/cancel").json()["state"] == "cancelled"
    assert studio.get(f"/api/works/{second}/picture.png").status_code == 409
    studio.post(f"/api/works/{first}/cancel")
    studio.wait(first, "cancelled")


def test_more_detail_goes_on_at_twice_the_size(studio):
    work = studio.painted()
    detail = studio.post(f"/api/works/{work['id']}/detail").json()
    settings = detail["order"]["settings"]
    assert settings["size"] == 96
    assert settings["coarsest"] > 48
    assert detail["order"]["parent"] == work["id"]
    studio.wait(detail["id"], until=begun)
    studio.post(f"/api/works/{detail['id']}/cancel")
    stopped = studio.wait(detail["id"], "cancelled")
    assert max(stopped["width_px"], stopped["height_px"]) == 96
    assert f"--start {work['replay'].split()[2]}" in stopped["replay"]


def test_a_running_painting_is_branched_with_other_settings(studio):
    work_id = studio.order(settings=ENDLESS).json()["id"]
    studio.wait(work_id, until=begun)
    order = studio.post(f"/api/works/{work_id}/branch").json()
    assert order["start"]
    studio.post(f"/api/works/{work_id}/cancel")
    order["settings"] |= {"iterations": 2, "beta": 1.0}
    branched = studio.post("/api/works", json=order).json()
    finished = studio.wait(branched["id"], "finished")
    assert finished["order"]["settings"]["beta"] == 1.0
    studio.wait(work_id, "cancelled")


def test_a_dropped_result_brings_its_recipe(studio):
    work = studio.painted(settings={"seed": 7})
    png = studio.get(f"/api/works/{work['id']}/picture.png").content
    picture = studio.upload(png, "result.png").json()
    assert picture["recipe"]["settings"]["seed"] == 7
    assert picture["recipe"]["inputs"]["content"]["name"] == "dancing.jpg"


def ids(studio, query=""):
    return [work["id"] for work in studio.get(f"/api/works{query}").json()]


def test_what_is_removed_is_in_the_bin_and_what_is_removed_twice_is_gone(studio):
    path = f"/api/works/{(work_id := studio.painted()['id'])}"
    assert studio.ask("DELETE", path).status_code == 204
    assert work_id not in ids(studio)
    assert work_id in ids(studio, "?bin=true")
    assert studio.post(f"{path}/restore").json()["removed_s"] is None
    assert work_id in ids(studio)
    assert work_id not in ids(studio, "?bin=true")
    for _ in range(2):
        assert studio.ask("DELETE", path).status_code == 204
    assert studio.get(path).status_code == 404
    assert work_id not in ids(studio, "?bin=true")


def test_a_work_that_is_removed_while_it_is_painted_ends(studio):
    work_id = studio.order(settings=ENDLESS).json()["id"]
    studio.wait(work_id, until=begun)
    studio.ask("DELETE", f"/api/works/{work_id}")
    assert studio.wait(work_id, "cancelled")["removed_s"] is not None


def test_a_stream_of_a_work_begins_with_its_state(studio):
    work_id = studio.painted()["id"]
    kind, data = next(studio.events(f"?work={work_id}"))
    assert (kind, data["id"], data["state"]) == ("work", work_id, "finished")


def test_works_are_searched_marked_and_fetched_as_an_archive(studio):
    first, second = (studio.painted(settings={"seed": seed})["id"] for seed in (21, 22))
    assert studio.post(f"/api/works/{first}/star").json()["starred"]
    assert not studio.post(f"/api/works/{first}/star?starred=false").json()["starred"]
    assert second in ids(studio, "?search=PICASSO dancing")
    assert ids(studio, "?search=picasso nowhere") == []
    archive = studio.get(f"/api/works.zip?id={first}&id={second}&id={first}")
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        assert opened.testzip() is None
        for work_id, name in zip((first, second), opened.namelist(), strict=True):
            expected = studio.get(f"/api/works/{work_id}/picture.png").content
            assert opened.read(name) == expected
    assert studio.get("/api/works.zip?id=0123456789abcdef").status_code == 404
    sheet = studio.get(f"/api/works.jpg?id={first}&id={second}")
    assert "contact-sheet.jpg" in sheet.headers["content-disposition"]
    with Image.open(io.BytesIO(sheet.content)) as drawn:
        assert drawn.width > 1.9 * 384
        paper = np.asarray(drawn.convert("L"))
        assert all((half < 150).any() for half in np.array_split(paper, 2, axis=1))
    assert studio.get("/api/works.jpg?id=0123456789abcdef").status_code == 404
    assert not list((studio.folder / "incoming").iterdir())


def test_a_result_is_offered_as_a_picture_for_other_orders(studio):
    work = studio.painted()
    start = studio.post(f"/api/works/{work['id']}/upload?purpose=start").json()
    offered = [one["id"] for one in studio.get("/api/pictures?uploaded=true").json()]
    assert start["purpose"] == "start"
    assert start["id"] not in offered
    picture = studio.post(f"/api/works/{work['id']}/upload").json()
    assert picture["recipe"]["inputs"]["content"]["name"] == "dancing.jpg"
    uploaded = [one["id"] for one in studio.get("/api/pictures?uploaded=true").json()]
    assert picture["id"] in uploaded


def test_masks_and_starts_are_not_offered_again_and_the_last_name_counts(studio, picture_bytes):
    mask = picture_bytes(seed=51)
    form = {"file": ("mask.png", mask)}
    made = studio.post("/api/pictures?purpose=mask", files=form).json()

    def offered():
        return {one["id"]: one["name"] for one in studio.get("/api/pictures?uploaded=true").json()}

    assert made["id"] not in offered()
    studio.post("/api/pictures?purpose=style", files={"file": ("painting.png", mask)})
    assert offered()[made["id"]] == "painting.png"
    studio.post("/api/pictures?purpose=mask", files=form)
    assert studio.get(f"/api/pictures/{made['id']}").json()["purpose"] == "style"
    assert offered()[made["id"]] == "mask.png"


@pytest.mark.slow
def test_works_survive_the_servers_death_and_those_under_way_go_on(open_studio):
    studio = open_studio()
    done = studio.painted()
    studio.order(settings={"iterations": 900})
    running, waiting = (studio.order(settings={"iterations": 3}).json()["id"] for _ in range(2))
    studio.wait(running, until=lambda work: work["state"] in ("waiting", "painting"))
    painter = studio.painter_pid()
    studio.process.kill()
    studio.process.wait()
    again = open_studio()
    work = again.work(done["id"])
    assert (work["state"], work["replay"]) == ("finished", done["replay"])
    assert again.get(f"/api/works/{done['id']}/picture.tiff").status_code == 200
    first = next(w for w in again.get("/api/works").json() if w["steps"] == 900)
    again.post(f"/api/works/{first['id']}/cancel")
    again.wait(running, "finished")
    again.wait(waiting, "finished")
    with pytest.raises(ProcessLookupError):
        os.kill(painter, 0)


@pytest.mark.slow
def test_a_painter_that_is_killed_is_replaced_and_the_work_painted(open_studio):
    studio = open_studio()
    work_id = studio.order(settings={"iterations": 40}).json()["id"]
    studio.wait(work_id, until=begun)
    os.kill(studio.painter_pid(), signal.SIGKILL)
    assert studio.wait(work_id, "finished", "failed")["state"] == "finished"


def test_a_second_studio_on_the_same_folder_is_refused(open_studio, weights_file):
    studio = open_studio()
    words = ["studio", "--port=0", f"--folder={studio.folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "impasto", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "another studio uses the folder" in done.stderr


def test_the_program_of_the_page_about_the_studio_runs(
    studio, picture_bytes, tmp_path, monkeypatch
):
    page = (Path(__file__).parents[2] / "docs" / "studio.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    for original, tried in (
        ("http://127.0.0.1:8500", studio.address),
        ('{"size": 512}', '{"size": 48, "coarsest": 48, "iterations": 2}'),
    ):
        assert program.count(original) == 1
        program = program.replace(original, tried)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_STUDIO_TOKEN", studio.token)
    studio.wait_until_ready()
    (tmp_path / "photograph.jpg").write_bytes(picture_bytes(form="JPEG"))
    exec(compile(program, "docs/studio.md", "exec"), {})
    with Image.open(tmp_path / "repainted.png") as painted:
        assert painted.size == (48, 36)

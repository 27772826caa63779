"""What the studio takes on: uploads up to a quota, and long paintings only when confirmed."""

import time

import pytest
from playwright.sync_api import expect

SETTINGS = {"size": 48, "coarsest": 48}


def test_uploads_stop_at_the_quota_and_go_on_when_one_is_deleted(open_studio, picture_bytes):
    studio = open_studio("--upload-quota=40kB")
    status = studio.get("/api/status").json()
    assert (status["uploaded_bytes"], status["upload_quota_bytes"]) == (0, 40_000)
    picture_ids = []
    for seed in range(40):
        answer = studio.upload(picture_bytes(60, 60, seed=seed), f"{seed}.png")
        if answer.status_code == 507:
            break
        picture_ids.append(answer.json()["id"])
    assert picture_ids
    assert answer.status_code == 507
    assert "delete uploaded pictures first" in answer.json()["error"]
    status = studio.get("/api/status").json()
    assert 0 < status["uploaded_bytes"] <= 40_000
    again = studio.upload(picture_bytes(60, 60, seed=0), "again.png")
    assert (again.status_code, again.json()["id"]) == (201, picture_ids[0])
    for picture_id in picture_ids:
        assert studio.ask("DELETE", f"/api/pictures/{picture_id}").status_code == 204
    assert studio.get("/api/status").json()["uploaded_bytes"] == 0
    assert studio.upload(picture_bytes(60, 60, seed=seed)).status_code == 201
    assert not list((studio.folder / "incoming").iterdir())


def test_an_uploaded_picture_is_deleted_unless_it_is_needed(studio, picture_bytes):
    picture = studio.upload(picture_bytes(50, 50, seed=31), "cat.png").json()
    path = f"/api/pictures/{picture['id']}"
    assert picture in studio.get("/api/pictures?uploaded=true").json()
    assert picture not in studio.get("/api/pictures").json()
    pictures = {"content": picture["id"], "styles": ["style.picasso"]}
    work = studio.order(pictures=pictures, settings={"iterations": 100_000}).json()
    refused = studio.ask("DELETE", path)
    assert refused.status_code == 409
    assert "cancel that work first" in refused.json()["error"]
    studio.post(f"/api/works/{work['id']}/cancel")
    studio.wait(work["id"], "cancelled")
    assert studio.ask("DELETE", path).status_code == 204
    assert studio.get(path).status_code == 404
    assert not (studio.folder / "pictures" / picture["id"]).exists()
    assert studio.work(work["id"])["state"] == "cancelled"
    assert studio.ask("DELETE", path).status_code == 404
    assert studio.ask("DELETE", "/api/pictures/style.picasso").status_code == 409


def test_an_uploaded_picture_is_deleted_in_the_page(open_studio, open_page, picture_bytes):
    studio = open_studio()
    page = open_page(studio)
    photograph = {"name": "my cat.png", "mimeType": "image/png", "buffer": picture_bytes(60, 90)}
    page.locator("#content input[type=file]").set_input_files(photograph)
    tile = page.locator(".tiles").get_by_role("button", name="my cat", exact=True)
    expect(tile).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Delete pictures").click()
    expect(page.locator("#content")).to_contain_text("of 8.0 GiB")
    page.get_by_role("button", name="Delete my cat", exact=True).click()
    expect(tile).to_have_count(0)
    assert studio.get("/api/pictures?uploaded=true").json() == []


@pytest.mark.parametrize("iterations", [10**9, 2**31 - 1])
def test_orders_of_months_are_refused(studio, iterations):
    answer = studio.order(settings={"iterations": iterations})
    assert answer.status_code == 422
    assert "at most 30 days" in answer.json()["error"]


def test_a_long_painting_must_be_confirmed(open_studio, open_page):
    studio = open_studio("--confirm-hours=0.0001")
    studio.wait_until_ready()
    order = {"content": "content.dancing", "styles": ["style.picasso"]}
    settings = SETTINGS | {"iterations": 20_000}
    plan = studio.post("/api/plan", json=order | {"settings": settings}).json()
    assert plan["needs_confirmation"]
    refused = studio.order(settings=settings)
    assert refused.status_code == 428
    assert "is expected to take" in refused.json()["error"]
    assert studio.get("/api/works").json() == []
    work = studio.order(settings=settings, confirmed=True).json()
    assert not work["order"].get("confirmed")
    studio.wait(work["id"], until=lambda work: work["step"] > 1)
    studio.post(f"/api/works/{work['id']}/cancel")
    studio.wait(work["id"], "cancelled")
    assert studio.post(f"/api/works/{work['id']}/detail").status_code == 428

    page = open_page(studio)
    page.locator(".tiles").get_by_role("button", name="chelsea", exact=True).click()
    page.locator("#more").evaluate("more => (more.open = true)")
    for name, value in settings.items():
        page.locator(f"#option-{name}").fill(str(value))
    page.get_by_role("button", name="Start painting").click()
    expect(page.locator("#refusal")).to_contain_text("is expected to take")
    assert len(studio.get("/api/works").json()) == 1
    page.get_by_role("button", name="Paint it anyway").click()
    expect(page.locator("#sheet img.after")).to_be_visible()
    latest = studio.get("/api/works").json()[0]
    studio.post(f"/api/works/{latest['id']}/cancel")
    studio.wait(latest["id"], "cancelled")


@pytest.mark.slow
def test_plans_are_answered_while_the_speed_is_measured(open_studio, tmp_path):
    studio = open_studio(IMPASTO_CACHE=str(tmp_path / "cache"))
    seen = set()
    order = {"content": "content.dancing", "styles": ["style.picasso"], "settings": SETTINGS}
    while True:
        # The server answers whatever its worker does.
        (painter,) = studio.get("/api/status").json()["painters"]
        seen.add(painter["message"])
        if painter["state"] == "ready":
            break
        time.sleep(0.02)
    assert "measuring how fast this machine paints" in seen
    assert studio.post("/api/plan", json=order).json()["time_s"] > 0
    assert (tmp_path / "cache" / "throughput.json").exists()

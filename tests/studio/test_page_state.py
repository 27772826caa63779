"""The page's state: what is shown is what is acted on, and nothing is forgotten or done twice."""

import json
import secrets
import signal

import pytest
from playwright.sync_api import expect
from tests.studio.test_page import (
    ENDLESS,
    TINY,
    act,
    check_access,
    choose,
    fill,
    is_first_picture_here,
    leave_nothing_under_way,  # noqa: F401 - a fixture for every test here
    open_works,
    start,
    tile,
    wait_until,
)


def order_count(page):
    """Count the orders that the page sends from now on."""
    sent = []
    page.on(
        "request",
        lambda request: (
            sent.append(request.post_data_json)
            if request.method == "POST" and request.url.endswith("/api/works")
            else None
        ),
    )
    return sent


def upload(page, data, name, kind="content"):
    file = {"name": name, "mimeType": "image/png", "buffer": data}
    page.locator(f"#{kind} input[type=file]").set_input_files(file)


def test_buttons_act_on_the_work_that_is_shown_and_works_without_a_picture_stay(studio, open_page):
    first, second, third = (
        studio.order(settings={"iterations": 100_000}).json()["id"] for _ in range(3)
    )
    page = open_page(studio)
    open_works(page)
    for work_id in (second, third):
        page.locator(f"#queue [data-work='{work_id}']").click()
        wait_until(page, "Waiting for its turn")
    act(page, "Cancel").click()
    wait_until(page, "Cancelled")
    assert [studio.work(one)["state"] for one in (second, third)] == ["waiting", "cancelled"]
    expect(page.locator(f"#works .cards [data-work='{third}']")).to_contain_text("Cancelled")
    assert page.url.endswith(f"#/work/{third}")
    page.go_back()
    wait_until(page, "Waiting for its turn")
    assert page.url.endswith(f"#/work/{second}")
    assert studio.work(first)["state"] == "painting"


def test_a_texture_is_painted_after_strength_was_touched(studio, open_page):
    page = open_page(studio)
    sent = order_count(page)
    choose(page, TINY)
    page.locator("#option-strength").fill("0.8")
    page.get_by_role("radio", name="Texture").check(force=True)
    expect(page.locator("#option-strength")).to_have_count(0)
    start(page)
    wait_until(page, "Finished")
    assert (sent[0]["mode"], "strength" in sent[0]["settings"]) == ("style", False)
    page.get_by_role("radio", name="Repaint").check(force=True)
    assert page.locator("#option-strength").input_value() == "0.8"


def test_the_line_is_where_it_is_dragged_and_the_photograph_is_left_of_it(studio, open_page):
    page = open_page(studio)
    choose(page, TINY)
    start(page)
    wait_until(page, "Finished")
    expect(page.locator("#sheet img.after[src*='picture.jpg']")).to_be_visible()
    handle, sheet = page.locator(".handle"), page.locator("#sheet").bounding_box()
    middle = sheet["y"] + sheet["height"] / 2
    page.mouse.move(sheet["x"] + 2, middle)
    page.mouse.down()
    for share in (0.2, 0.75):
        page.mouse.move(sheet["x"] + share * sheet["width"], middle)
    page.mouse.up()
    expect(handle).to_have_attribute("aria-valuenow", "75")
    box = handle.bounding_box()
    assert abs(box["x"] + box["width"] / 2 - (sheet["x"] + 0.75 * sheet["width"])) < 2
    clipped = page.locator("#sheet img.before").evaluate("image => image.style.clipPath")
    assert clipped.replace("0px", "0") == "inset(0 25% 0 0)"
    handle.focus()
    page.keyboard.press("Home")
    expect(page.locator("#sheet img.before")).to_have_count(0)
    peek = page.get_by_role("button", name="Photograph", exact=True)
    peek.hover()
    page.mouse.down()
    expect(page.locator("#sheet img.peek")).to_have_attribute(
        "src", "api/pictures/content.chelsea/small"
    )
    page.mouse.up()
    expect(page.locator("#sheet img.peek")).to_have_count(0)


def test_the_wheel_zooms_about_the_pointer_and_a_drag_pans(studio, open_page):
    page = open_page(studio)
    tile(page, "chelsea").click()
    expect(page.locator("#sheet img.after")).to_be_visible()
    before = page.locator("#sheet").bounding_box()
    x, y = before["x"] + before["width"] / 4, before["y"] + before["height"] / 4
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    page.wait_for_function("() => document.querySelector('#viewport.zoomed')")
    after = page.locator("#sheet").bounding_box()
    assert after["width"] > 1.5 * before["width"]
    assert abs((x - after["x"]) / after["width"] - 0.25) < 0.02
    page.mouse.down()
    page.mouse.move(x + 30, y + 20)
    page.mouse.up()
    panned = page.locator("#sheet").bounding_box()
    assert abs(panned["x"] - after["x"] - 30) < 2
    page.locator("#viewport").focus()
    page.keyboard.press("0")
    assert page.locator("#sheet").bounding_box() == before


def test_a_refresh_forgets_neither_form_nor_uploads(studio, open_page, picture_bytes):
    page = open_page(studio)
    upload(page, picture_bytes(seed=31), "my dog.png")
    expect(tile(page, "my dog")).to_have_attribute("aria-pressed", "true")
    tile(page, "woodcut").click()
    fill(page, {"seed": "77"})
    page.locator("#option-strength").fill("0.7")
    page.reload()
    expect(tile(page, "my dog")).to_have_attribute("aria-pressed", "true")
    expect(tile(page, "woodcut")).to_have_attribute("aria-pressed", "true")
    assert page.locator("#option-seed").input_value() == "77"
    assert page.locator("#option-strength").input_value() == "0.7"
    page.locator("#content").get_by_role("button", name="Delete pictures").click()
    check_access(page)
    page.get_by_role("button", name="Delete my dog").first.click()
    expect(tile(page, "my dog")).to_have_count(0)


def test_the_same_file_under_another_name_gets_that_name(studio, open_page, picture_bytes):
    page = open_page(studio)
    for name in ("old name", "new name"):
        upload(page, picture_bytes(seed=32), f"{name}.png")
        expect(tile(page, name).first).to_be_visible()
    page.reload()
    expect(page.locator("#content .tiles").get_by_role("button", name="new name")).to_be_visible()
    expect(tile(page, "old name")).to_have_count(0)


def test_a_second_painting_replaces_the_first_unless_a_blend_is_asked_for(studio, open_page):
    page = open_page(studio)
    tile(page, "nocturne").click()
    tile(page, "woodcut").click()
    expect(page.locator("#styles [aria-pressed=true]")).to_have_count(1)
    expect(tile(page, "woodcut")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Blend several").check()
    tile(page, "nocturne").click()
    expect(page.locator("#styles")).to_contain_text("A blend of woodcut and nocturne")
    check_access(page)


def test_to_start_afresh_is_to_have_the_form_from_before_the_branch(studio, open_page):
    page = open_page(studio)
    sent = order_count(page)
    choose(page, TINY | {"seed": "5"})
    start(page)
    wait_until(page, "Finished")
    fill(page, {"seed": "6", "coarsest": ""})
    act(page, "Branch").click()
    expect(page.locator("#start-picture")).to_contain_text("Goes on from")
    assert page.locator("#option-coarsest").input_value() == "48"
    page.get_by_role("button", name="Start afresh").click()
    expect(page.locator("#start-picture")).to_have_count(0)
    assert page.locator("#option-seed").input_value() == "6"
    start(page)
    wait_until(page, "Finished")
    assert sent[-1]["settings"] == {"size": 48, "iterations": 5, "seed": 6}
    assert (sent[-1]["start"], sent[-1]["parent"]) == (None, None)


@pytest.mark.slow
def test_tiles_and_the_window_show_what_a_painting_does_to_the_photograph(studio, open_page):
    studio.wait_until_ready()
    page = open_page(studio)
    fill(page, {"size": "64", "coarsest": "32", "iterations": "12", "seed": "17"})
    tile(page, "coffee").click()
    expect(page.locator("#styles .inset")).to_have_count(5)
    look = page.locator("#sheet img.after[src^='api/looks/']")
    expect(look).to_be_visible()
    first = look.get_attribute("src")
    assert tile(page, "nocturne").locator("img").first.get_attribute("src") != first
    check_access(page)
    tile(page, "nocturne").click()
    page.wait_for_function(
        "first => { const image = document.querySelector('#sheet img.after');"
        " const src = image?.getAttribute('src') ?? '';"
        " return src.startsWith('api/looks/') && src !== first; }",
        arg=first,
    )
    page.get_by_role("button", name="At strength 0.8").click()
    assert page.locator("#option-strength").input_value() == "0.8"
    start(page)
    wait_until(page, "Finished")


def test_a_double_click_orders_once(studio, open_page):
    page = open_page(studio)
    sent = order_count(page)
    choose(page, TINY)
    page.get_by_role("button", name="Start painting").dblclick()
    wait_until(page, "Finished")
    assert len(sent) == 1


def test_nothing_covers_the_picture_while_a_mask_is_drawn(studio, open_page):
    page = open_page(studio, viewport={"width": 900, "height": 500})
    tile(page, "chelsea").click()
    page.get_by_role("button", name="Paint a part").click()
    canvas, go = page.locator("canvas.drawing").bounding_box(), page.locator(".go").bounding_box()
    assert go["x"] + go["width"] <= canvas["x"] or go["y"] >= canvas["y"] + canvas["height"]
    box = page.locator("#viewport").bounding_box()
    assert canvas["height"] <= box["height"]
    check_access(page)


def test_masks_are_undone_inverted_and_outlast_a_refresh(studio, open_page):
    page = open_page(studio)
    sent = order_count(page)
    choose(page, TINY)
    page.get_by_role("button", name="Paint a part").click()
    page.get_by_role("button", name="Fill").click()
    page.get_by_role("button", name="Invert").click()
    page.get_by_role("group", name="Paint a part").get_by_role("button", name="Undo").click()
    page.get_by_label("Painting for this part").select_option("woodcut")
    page.get_by_role("button", name="Another part").click()
    page.wait_for_function(
        "() => JSON.parse(localStorage.getItem('impasto.form')).form.regions[0]?.mask"
    )
    page.reload()
    start(page)
    wait_until(page, "Finished")
    (region,) = sent[-1]["regions"]
    assert region["style"] == "style.woodcut"


def test_a_recipe_whose_pictures_are_absent_leaves_the_chosen_ones(
    studio, open_page, picture_bytes, tmp_path
):
    content = studio.upload(picture_bytes(seed=41), "gone.png").json()
    work = studio.painted(
        pictures={"content": content["id"], "styles": ["style.woodcut"]}, settings={"seed": 9}
    )
    path = tmp_path / "painted.png"
    path.write_bytes(studio.get(f"/api/works/{work['id']}/picture.png").content)
    assert studio.ask("DELETE", f"/api/pictures/{content['id']}").status_code == 204
    page = open_page(studio)
    page.locator("#styles input[type=file]").set_input_files(path)
    expect(page.locator("#recipe")).to_contain_text("was painted by impasto")
    tile(page, "coffee").click()
    page.locator("#styles input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Load its recipe").click()
    expect(page.locator("#refusal")).to_contain_text("photograph gone.png is not here")
    expect(tile(page, "coffee")).to_have_attribute("aria-pressed", "true")
    expect(tile(page, "woodcut")).to_have_attribute("aria-pressed", "true")
    assert page.locator("#option-seed").input_value() == "9"


@pytest.mark.slow
def test_silence_is_said_while_it_lasts_and_no_longer(open_studio, open_page):
    studio = open_studio(IMPASTO_STUDIO_TOKEN="a-token-that-stays")
    page = open_page(studio)
    tile(page, "chelsea").click()
    studio.process.send_signal(signal.SIGKILL)
    studio.process.wait()
    expect(page.locator("#painters")).to_contain_text("does not answer")
    start(page)
    expect(page.locator("#refusal")).to_contain_text("does not answer")
    port = studio.address.rpartition(":")[2]
    open_studio(f"--port={port}", IMPASTO_STUDIO_TOKEN="a-token-that-stays")
    expect(page.locator("#painters")).not_to_contain_text("does not answer")
    expect(page.locator("#refusal")).to_be_empty()


@pytest.mark.slow
def test_the_gallery_has_no_end_and_is_searched(open_studio, open_page):
    studio = open_studio()
    work = studio.painted()
    record = studio.folder / "works" / work["id"] / "work.json"
    kept = json.loads(record.read_text())
    studio.close()
    for number in range(130):
        copy = kept | {
            "id": secrets.token_hex(8),
            "created_s": kept["created_s"] - number - 1,
            "has_picture": False,
            "state": "failed",
            "message": f"failed for test {number}",
            "title": f"work {number} of many",
        }
        folder = record.parent.parent / copy["id"]
        folder.mkdir()
        (folder / "work.json").write_text(json.dumps(copy))
    studio = open_studio()
    page = open_page(studio)
    open_works(page)
    cards = page.locator("#works .cards button")
    expect(cards).to_have_count(60)
    expect(cards.nth(1)).to_contain_text("failed for test 0")
    page.get_by_label("Search").fill("work 127")
    expect(cards).to_have_count(1)
    check_access(page)
    page.get_by_label("Search").fill("")
    for count in (120, 131):
        page.get_by_role("button", name="Show older works").click()
        expect(cards).to_have_count(count)
    page.get_by_role("button", name="Select", exact=True).click()
    for number in (1, 2):
        cards.nth(number).click()
    page.get_by_role("button", name="Remove").click()
    expect(cards).to_have_count(129)
    page.get_by_role("button", name="Bin").click()
    expect(cards).to_have_count(2)
    page.get_by_role("button", name="Select", exact=True).click()
    cards.first.click()
    page.get_by_role("button", name="Restore").click()
    expect(cards).to_have_count(1)


def test_missing_weights_are_explained_on_the_page(open_studio, open_page, tmp_path):
    studio = open_studio(f"--weights={tmp_path / 'absent.safetensors'}")
    page = open_page(studio)
    expect(page.locator("#painters")).to_contain_text("no file 'absent.safetensors'")
    assert str(tmp_path) not in page.content()
    check_access(page)


@pytest.mark.slow
def test_a_long_painting_looks_long_and_is_confirmed(open_studio, open_page):
    studio = open_studio("--confirm-hours=0")
    studio.wait_until_ready()
    page = open_page(studio)
    choose(page, TINY)
    expect(page.locator("#plan.long")).to_contain_text("This takes long.")
    start(page)
    page.get_by_role("button", name="Paint it anyway").click()
    wait_until(page, "Finished")


def test_the_title_of_the_tab_shows_the_progress(studio, open_page):
    page = open_page(studio)
    choose(page, ENDLESS)
    start(page)
    is_first_picture_here(page)
    page.wait_for_function("() => /^\\d+ % · chelsea · nocturne$/.test(document.title)")
    act(page, "Cancel").click()
    wait_until(page, "Cancelled")
    expect(page).to_have_title("Cancelled · chelsea · nocturne")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.2, "4.2 s"), (75, "1 min 15 s"), (7260, "2 h 1 min"), (190_800, "2 days 5 h")],
)
def test_times_are_words_of_their_length(studio, open_page, seconds, words):
    page = open_page(studio)
    clock = "async seconds => (await import('./web/format.js')).clock(seconds)"
    assert page.evaluate(clock, seconds) == words

"""The page in a real browser: what a visitor does, with and without a mouse."""

import io
import re
import signal

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

TINY = {"size": "48", "coarsest": "48", "iterations": "5"}
ENDLESS = TINY | {"iterations": "100000"}


@pytest.fixture(autouse=True)
def leave_nothing_under_way(studio):
    """A test that fails must not keep the painter from the others."""
    yield
    for work in studio.get("/api/works").json():
        if work["state"] in ("waiting", "painting", "paused"):
            studio.post(f"/api/works/{work['id']}/cancel")


def check_access(page):
    """No violation of axe-core's rules in this state, in either colour scheme."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        violations = Axe().run(page).response["violations"]
        assert not violations, [(fault["id"], fault["nodes"][0]["html"]) for fault in violations]


def choose(page, settings):
    """Choose a photograph and a painting, and fill in settings."""
    tile(page, "chelsea").click()
    tile(page, "nocturne").click()
    fill(page, settings)


def tile(page, name):
    return page.locator(".tiles").get_by_role("button", name=name, exact=True)


def open_works(page):
    page.get_by_role("button", name="Works").click()


def act(page, name):
    return page.locator("#acts").get_by_role("button", name=name, exact=True)


def fill(page, settings):
    page.locator("#more").evaluate("more => (more.open = true)")
    for name, value in settings.items():
        page.locator(f"#option-{name}").fill(value)


def start(page):
    page.get_by_role("button", name="Start painting").click()


def is_first_picture_here(page):
    expect(page.locator("#sheet img.after")).to_be_visible()


def wait_until(page, words):
    expect(page.locator("#facts")).to_contain_text(words)


def test_a_visitor_uploads_paints_watches_cancels_and_compares(studio, open_page, picture_bytes):
    page = open_page(studio)
    check_access(page)
    photograph = {"name": "my cat.png", "mimeType": "image/png", "buffer": picture_bytes(60, 90)}
    page.locator("#content input[type=file]").set_input_files(photograph)
    expect(tile(page, "my cat")).to_have_attribute("aria-pressed", "true")
    tile(page, "picasso").click()
    fill(page, ENDLESS | {"size": "64"})
    expect(page.locator("#plan")).to_contain_text("64 × 43 pixels")
    check_access(page)
    start(page)
    is_first_picture_here(page)
    expect(page.locator("#viewer-title")).to_have_text("my cat · picasso")
    shown = page.locator("#sheet img.after").get_attribute("src")
    page.wait_for_function(
        "old => document.querySelector('#sheet img.after').getAttribute('src') !== old", arg=shown
    )
    expect(page.locator("#curve")).to_be_visible()
    check_access(page)
    act(page, "Cancel").click()
    wait_until(page, "Cancelled")
    page.wait_for_function("() => document.querySelector('#sheet img.after').naturalWidth === 64")
    page.get_by_role("button", name="1 : 1").click()
    assert page.locator("#sheet img.after").evaluate("image => image.clientWidth") == 64
    page.get_by_role("button", name="Fit").click()
    assert page.locator("#sheet img.after").evaluate("image => image.clientWidth") > 64
    open_works(page)
    expect(page.locator("#works .cards button")).not_to_have_count(0)
    check_access(page)


def test_a_result_is_downloaded_removed_and_its_recipe_loaded(studio, open_page):
    page = open_page(studio)
    choose(page, TINY | {"seed": "11"})
    start(page)
    wait_until(page, "Finished")
    with page.expect_download() as download:
        page.locator(".menu summary").click()
        page.get_by_label("Format").select_option("16-bit TIFF")
        page.get_by_label("Print width").fill("4mm")
        expect(page.locator(".download")).to_contain_text("305 pixels per inch")
        check_access(page)
        page.get_by_role("link", name="Download", exact=True).click()
    assert download.value.suggested_filename.endswith(".tiff")
    with Image.open(download.value.path()) as tiff:
        assert round(float(tiff.info["dpi"][0])) == 305
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    page.reload()
    page.wait_for_selector("#styles .tiles button")
    page.locator("#content input[type=file]").set_input_files(download.value.path())
    facts = page.locator("#recipe")
    for words in ("was painted by impasto", "chelsea", "nocturne", "48 px", "11"):
        expect(facts).to_contain_text(words)
    check_access(page)
    page.get_by_role("button", name="Load its recipe").click()
    expect(facts).to_have_count(0)
    expect(page.locator("#option-seed")).to_have_value("11")
    expect(tile(page, "nocturne")).to_have_attribute("aria-pressed", "true")
    check_access(page)
    open_works(page)
    page.locator("#works .cards button").first.click()
    wait_until(page, "Finished")
    cards = page.locator("#works .cards button").count()
    act(page, "Remove").click()
    expect(page.locator("#works .cards button")).to_have_count(cards - 1)
    check_access(page)
    page.locator("#message").get_by_role("button", name="Undo").click()
    expect(page.locator("#works .cards button")).to_have_count(cards)


def test_a_time_lapse_is_looked_through_and_downloaded(studio, open_page):
    page = open_page(studio)
    choose(page, TINY)
    start(page)
    wait_until(page, "Finished")
    page.locator(".menu summary").click()
    act(page, "Time-lapse").click()
    picture = page.locator("#sheet img.after")
    expect(picture).to_have_attribute("src", re.compile("frames/1$"))
    slider = page.get_by_role("slider", name="Time-lapse")
    slider.focus()
    check_access(page)
    page.keyboard.press("End")
    expect(picture).to_have_attribute("src", re.compile("picture.jpg$"))
    with page.expect_download() as download:
        page.locator("#scrub").get_by_role("link", name="WebP").click()
    with Image.open(download.value.path()) as animation:
        assert (animation.format, animation.is_animated) == ("WEBP", True)


def test_a_result_is_sent_on_as_start_and_as_mask(studio, open_page):
    page = open_page(studio)
    choose(page, TINY)
    start(page)
    wait_until(page, "Finished")
    (first,) = studio.get("/api/works?limit=1").json()
    for name in ("Use as start", "Use as mask"):
        page.goto(f"{studio.address}/#/work/{first['id']}")
        wait_until(page, "Finished")
        page.locator(".menu summary").click()
        act(page, name).click()
        expect(page.locator("#acts")).to_have_count(0)
    expect(page.locator("#start-picture")).to_contain_text("Starts from chelsea · nocturne")
    expect(page.locator("canvas.drawing")).to_be_visible()
    check_access(page)
    start(page)
    wait_until(page, "Finished")
    (second,) = studio.get("/api/works?limit=1").json()
    assert second["order"]["parent"] == first["id"]
    (region,) = second["order"]["regions"]
    mask = studio.get(f"/api/pictures/{region['mask']}/original").content
    shown = studio.get(f"/api/works/{first['id']}/picture.jpg").content
    levels, brightness = (
        np.asarray(Image.open(io.BytesIO(data)).convert("L").resize((48, 32)), float)
        for data in (mask, shown)
    )
    assert np.abs(levels - brightness).mean() < 12, "the brightness of the result"


def test_a_running_painting_is_branched(studio, open_page):
    page = open_page(studio)
    choose(page, ENDLESS)
    start(page)
    is_first_picture_here(page)
    act(page, "Branch").click()
    expect(page.locator("#start-picture")).to_contain_text("Goes on from chelsea · nocturne")
    act(page, "Cancel").click()
    wait_until(page, "Cancelled")
    fill(page, {"iterations": "3"})
    check_access(page)
    start(page)
    wait_until(page, "Finished")


def test_a_painting_is_steered_paused_and_resumed(studio, open_page):
    page = open_page(studio)
    choose(page, ENDLESS)
    start(page)
    is_first_picture_here(page)
    slider = page.locator("#steer input")
    assert slider.input_value() == "0.5", "the usual strength, as none was asked for"
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("#message")).to_contain_text("Changed after step")
    check_access(page)
    (work,) = studio.get("/api/works?limit=1").json()
    assert work["changes"][-1]["settings"] == {"strength": 1}
    expect(page.locator("#steer output")).to_have_text("1.00")
    page.reload()
    expect(page.locator("#steer output")).to_have_text("1.00")
    act(page, "Pause").click()
    wait_until(page, "Paused")
    check_access(page)
    act(page, "Resume").click()
    wait_until(page, "Step")
    act(page, "Cancel").click()
    wait_until(page, "Cancelled")


def test_everything_is_done_with_the_keyboard_alone(studio, open_page):
    page = open_page(studio)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the picture")).to_be_focused()

    def tab_to(target):
        for _ in range(80):
            page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                shown = target.evaluate("element => getComputedStyle(element).outlineStyle")
                assert shown != "none"
                return
        raise AssertionError(f"the keyboard does not reach {target}")

    tab_to(tile(page, "coffee"))
    page.keyboard.press("Enter")
    tab_to(tile(page, "woodcut"))
    page.keyboard.press("Space")
    tab_to(page.locator("#option-size"))
    page.keyboard.type("48")
    tab_to(page.locator("#more summary"))
    page.keyboard.press("Enter")
    tab_to(page.locator("#option-iterations"))
    page.keyboard.type("100000")
    tab_to(page.locator("#option-coarsest"))
    page.keyboard.type("48")
    page.keyboard.press("Enter")
    is_first_picture_here(page)
    expect(page.locator("#viewer-title")).to_have_text("coffee · woodcut")
    tab_to(act(page, "Cancel"))
    page.keyboard.press("Enter")
    wait_until(page, "Cancelled")
    tab_to(page.locator("#viewport"))
    page.keyboard.press("1")
    assert page.locator("#sheet img.after").evaluate("image => image.clientWidth") == 48


def test_a_region_is_brushed_and_painted_after_another_painting(studio, open_page):
    page = open_page(studio)
    choose(page, TINY)
    page.get_by_role("button", name="Paint a part").click()
    canvas = page.locator("canvas.drawing")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 3 / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    canvas.focus()
    for key in ("ArrowRight", "ArrowDown", "Space"):
        page.keyboard.press(key)
    page.get_by_label("Painting for this part").select_option("woodcut")
    check_access(page)
    start(page)
    wait_until(page, "Finished")
    (work,) = studio.get("/api/works?limit=1").json()
    (region,) = work["order"]["regions"]
    assert region["style"] == "style.woodcut"
    mask = Image.open(io.BytesIO(studio.get(f"/api/pictures/{region['mask']}/original").content))
    darkest, lightest = mask.convert("L").getextrema()
    assert (darkest, lightest) == (0, 255)
    assert len(mask.convert("L").getcolors()) > 20, "a soft border has many greys"
    levels = np.asarray(mask.convert("L"))
    along = levels[levels.shape[0] // 2, levels.shape[1] // 4 : levels.shape[1] * 3 // 4]
    assert along.min() > 250, "a stroke has no beads"
    assert "--region chelsea_mask.png:woodcut.jpg" in work["replay"]


def test_pictures_are_dropped_and_pasted(studio, open_page, picture_bytes):
    page = open_page(studio)
    hand_over = """([kind, target, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, { type: "image/png" }));
        const event = kind === "drop"
            ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.querySelector(target).dispatchEvent(event);
    }"""
    page.evaluate(hand_over, ["drop", "#styles", list(picture_bytes(64, 64, seed=21))])
    page.evaluate(hand_over, ["paste", "body", list(picture_bytes(64, 64, seed=22))])
    for name in ("drop", "paste"):
        button = tile(page, name)
        expect(button).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024)], ids=["phone", "tablet"])
def test_the_page_fits_narrow_screens(studio, open_page, width, height):
    page = open_page(studio, viewport={"width": width, "height": height}, reduced_motion="reduce")
    page.locator("#more").evaluate("more => (more.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    check_access(page)


def test_refusals_are_shown_in_words(studio, open_page):
    page = open_page(studio)
    start(page)
    expect(page.locator("#refusal")).to_contain_text("Choose a photograph")
    choose(page, {"style_layers": "relu9_9"})
    start(page)
    expect(page.locator("#refusal")).to_contain_text("relu9_9")
    text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    page.locator("#content input[type=file]").set_input_files(text)
    expect(page.locator("#refusal")).to_contain_text("is a text")
    check_access(page)


@pytest.mark.slow
def test_the_gallery_is_there_after_a_restart(open_studio, open_page):
    studio = open_studio()
    done = studio.painted()
    studio.process.send_signal(signal.SIGKILL)
    studio.process.wait()
    page = open_page(open_studio())
    open_works(page)
    page.locator("#works .cards button").first.click()
    is_first_picture_here(page)
    wait_until(page, "Finished")
    expect(page.locator("#viewer-title")).to_have_text(done["title"])


def test_two_tabs_see_the_same_and_one_may_vanish(studio, open_page):
    one, two = open_page(studio), open_page(studio)
    choose(one, ENDLESS)
    start(one)
    is_first_picture_here(one)
    open_works(two)
    two.locator("#queue button").first.click()
    is_first_picture_here(two)
    one.context.close()
    act(two, "Cancel").click()
    wait_until(two, "Cancelled")


def test_the_description_of_the_interface_is_shown_offline(studio, open_page):
    page = open_page(studio)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{studio.address}/docs")
    expect(page.get_by_text("/api/works", exact=True).first).to_be_visible()
    assert all(url.startswith((studio.address, "data:", "blob:")) for url in asked)

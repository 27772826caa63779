"""Words that are no option, no command or no file here: the right word is named."""

import pytest

TRANSFER = ("transfer", "photograph.png", "painting.png", "-o", "out.png")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--sise 64", "No such option: --sise. Did you mean --size? ("),
        ("--style_layer relu1_1", "No such option: --style_layer. Did you mean --style-layers? ("),
        ("--original-colors", "No such option: --original-colors. Here it is --colour keep ("),
        ("--image-size 512", "No such option: --image-size. Here it is --size ("),
        ("--image_size=512", "Here it is --size ("),
        ("-image_size 512", "No such option: -image_size. Here it is --size ("),
        ("-style_weight 5", "Here it is --beta, or --strength for both weights ("),
        ("--gpu 0", "Here it is --device, such as cuda:0 ("),
        ("--zzz", "No such option: --zzz ("),
    ],
)
def test_an_unknown_option(impasto, words, hint):
    outcome = impasto(*TRANSFER, *words.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert hint in outcome.err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("transfr", "No such command 'transfr'. Did you mean transfer? ("),
        ("paint", "No such command 'paint'. Did you mean transfer? ("),
        ("zzz", "No such command 'zzz' ("),
        ("photograph.png", "To repaint a picture: impasto transfer photograph.png ("),
        ("absent.JPG", "To repaint a picture: impasto transfer absent.JPG ("),
    ],
)
def test_an_unknown_command(impasto, word, hint):
    outcome = impasto(word)
    assert (outcome.code, outcome.out) == (2, "")
    assert hint in outcome.err


@pytest.mark.parametrize("separator", [",", ", "])
def test_pictures_parted_by_commas(impasto, separator):
    outcome = impasto(*TRANSFER[:2], f"painting.png{separator}other.png", *TRANSFER[3:])
    assert outcome.code == 2
    assert "separate them by spaces instead of commas" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ("transfer", "https://example.com/a.jpg", "painting.png", "-o", "out.png"),
        ("transfer", "photograph.png", "https://example.com/a.jpg", "-o", "out.png"),
        (*TRANSFER[:4], "https://example.com/a.jpg"),
        (*TRANSFER, "--timelapse", "https://example.com/a.gif"),
        (*TRANSFER, "--start", "https://example.com/a.jpg"),
        (*TRANSFER, "--weights", "https://example.com/a.pth"),
        (*TRANSFER, "--region", "https://example.com/a.png:painting.png"),
        ("plan", "transfer", "https://example.com/a.jpg", "painting.png"),
        ("sheet", "https://example.com/a.jpg", "--style", "painting.png", "-o", "out.png"),
        ("batch", "https://example.com/jobs.csv"),
        ("recipe", "https://example.com/a.png"),
    ],
)
def test_web_addresses(impasto, words):
    outcome = impasto(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "got the web address 'https://example.com/" in outcome.err
    assert "download it first" in outcome.err


def test_a_home_folder_in_quotes(impasto, quick, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    outcome = impasto(
        "transfer", "~/photograph.png", "~/painting.png", "-o", "~/out.png", *quick,
        "--start", "~/other.png",
    )  # fmt: skip
    assert (outcome.code, outcome.out) == (0, f"{folder / 'out.png'}\n")

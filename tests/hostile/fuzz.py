"""Coverage-guided fuzzing of everything that reads what a stranger may have made.

    python tests/hostile/fuzz.py TARGET [CORPUS_FOLDER] [libFuzzer's options]

TARGET is one of checkpoints, images, jobs, journals, recipes, settings, weights. With
``-max_total_time=600`` it runs for ten minutes; without, until it finds something or is
interrupted. A corpus folder keeps what reached new code, for the next run. An input that a reader
answers otherwise than with data of its kind, or with one line of its error, ends the run and is
written as ``crash-HASH`` into the folder that it runs in; ``python tests/hostile/fuzz.py TARGET
crash-HASH`` shows it again. Hangs (20 s) and memory (3 GiB) end it too. tests/hostile/test_fuzz.py
runs each target for a few seconds.
"""

import io
import sys
import tempfile
from pathlib import Path

import atheris
import job_texts

with atheris.instrument_imports(include=["impasto", "PIL", "pickletools"]):
    import numpy as np
    from PIL import (  # noqa: F401
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
    )

    from impasto.batching import job_files, journal
    from impasto.batching.build import make_tasks
    from impasto.config import settings, validation
    from impasto.config.words import assignments
    from impasto.errors import CheckpointError, ImageError, SettingsError, WeightsError
    from impasto.images import decode, encode, icc, limits
    from impasto.job import recipe
    from impasto.job.hashes import InputHashes, PictureHash
    from impasto.weights import formats

# A small header may ask for a large picture, which takes seconds and teaches nothing.
limits.MAX_PIXELS = decode.MAX_PIXELS = 2**18
LONGEST_MESSAGE = 2000
LONGEST = 8192
SCRATCH = Path(tempfile.mkdtemp(prefix="impasto-fuzz-"))


def check_message(error):
    """A refusal is on one line, short, and has nothing that a terminal obeys."""
    message = str(error)
    assert message.isprintable(), message
    assert len(message) <= LONGEST_MESSAGE, message


def images(data):
    try:
        colour, alpha = decode.decode(data, "'it'")
    except ImageError as error:
        check_message(error)
    else:
        assert colour.dtype == np.float32
        assert colour.ndim == 3
        assert colour.shape[2] == 3
        assert 0 <= colour.min() <= colour.max() <= 1
        assert alpha is None or (alpha.shape == colour.shape[:2] and alpha.min() >= 0)
    try:
        texts = decode.decode_texts(data, "'it'")
    except ImageError as error:
        check_message(error)
    else:
        assert all(isinstance(words, str) for pair in texts.items() for words in pair)


def recipes(data):
    text = data.decode("utf-8", "surrogateescape")
    try:
        made = recipe.parse(text, "'it'")
    except ImageError as error:
        check_message(error)
    else:
        assert recipe.parse(made.text(), "'it'") == made


def options(data):
    """Lines of NAME=VALUE, as the command line takes them."""
    words = data.decode("utf-8", "surrogateescape").split("\n")
    for model in (settings.Settings, settings.Runtime):
        try:
            chosen = validation.check(model, assignments(words, model))
        except SettingsError as error:
            check_message(error)
        else:
            assert validation.check(model, chosen.model_dump()) == chosen


def weights(data):
    formats.is_sealed(data)
    path = SCRATCH / "weights"
    path.write_bytes(data)
    for act in (
        lambda: formats.read(path, "vgg16"),
        lambda: formats.parse(data, "vgg16", "'it'"),
        lambda: formats.from_jax(data, "vgg16"),
    ):
        try:
            act()
        except WeightsError as error:
            check_message(error)


def checkpoints(data):
    from impasto.engine import checkpoint

    path = SCRATCH / "checkpoint"
    path.write_bytes(data)
    try:
        kept = checkpoint.read(path)
    except CheckpointError as error:
        check_message(error)
    else:
        checkpoint.write(kept, SCRATCH / "again")
        assert checkpoint.read(SCRATCH / "again").recipe == kept.recipe


def jobs(data):
    """A file of jobs, whose first byte chooses its kind."""
    path = SCRATCH / f"jobs.{ENDINGS[data[0] % len(ENDINGS)] if data else ENDINGS[0]}"
    path.write_bytes(data[1:])
    try:
        entries = job_files.read_file(path)
        make_tasks(entries, {}, mode="style_transfer", into=None, ending=".png", home=SCRATCH)
    except (SettingsError, ImageError) as error:
        check_message(error)


def journals(data):
    path = SCRATCH / "journal.jsonl"
    path.write_bytes(data)
    try:
        records = journal.read(path)
        assert len(journal.outputs(path)) <= len(records)
    except SettingsError as error:
        check_message(error)


ENDINGS = ("jsonl", "csv", "yaml")
TARGETS = {
    "checkpoints": checkpoints,
    "images": images,
    "jobs": jobs,
    "journals": journals,
    "recipes": recipes,
    "settings": options,
    "weights": weights,
}


def a_recipe():
    return recipe.Recipe(
        mode="style_transfer",
        settings=settings.Settings(seed=7, style_weights=(1.0, 0.5)),
        weights_sha256="0" * 64,
        versions=recipe.Versions(impasto="1.0", torch="2.13", python="3.12"),
        decisions=recipe.Decisions(precision="bf16", device="cpu", threads=2, memory=2**30),
        inputs=InputHashes(content=PictureHash(name="Öl.png", sha256="1" * 64)),
    )


def seeds(target):
    """Small files of each kind to begin with."""
    if target == "images":
        samples = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
        exif = Image.Exif()
        exif[274] = 6
        for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"):
            for mode in ("RGB", "L", "P", "RGBA", "CMYK", "I;16"):
                stream = io.BytesIO()
                options = {} if name in ("BMP", "GIF") else {"exif": exif}
                if mode != "P" and name in ("PNG", "JPEG", "TIFF", "WEBP"):
                    options["icc_profile"] = icc.srgb_profile()
                try:
                    Image.fromarray(samples).convert(mode).save(stream, name, **options)
                except (OSError, ValueError):  # no such mode in this format
                    continue
                yield stream.getvalue()
        deep = np.arange(9 * 7 * 3, dtype=np.uint16).reshape(9, 7, 3)
        for ending in (".png", ".tiff"):
            made = {"Recipe": "{}"}
            yield encode.encode_image(deep, ending, metadata=made)
    elif target == "recipes":
        yield a_recipe().text().encode()
    elif target == "jobs":
        for ending, text in job_texts.JOB_FILES.values():
            yield bytes([ENDINGS.index(ending)]) + text.encode("utf-8", "surrogatepass")[:LONGEST]
    elif target == "journals":
        yield job_texts.journal()
    elif target == "settings":
        yield b"size=512\nstyle_layers=relu1_1=1,relu2_1=0.5\nstart=noise"
        yield b"memory=6GiB\ndevice=cuda:1\nweights=a.pth"
        yield b"aspect=16:9\nstyle_weights=1,2\nalpha=1e3\nnetwork=vgg19"
    elif target == "checkpoints":
        import torch

        with atheris.instrument_imports(include=["impasto"]):
            from impasto.engine import checkpoint
            from impasto.optim.minimizer import Iterate, State

        image = torch.zeros(1, 3, 4, 5)
        best = Iterate(image + 1, {"total": 1.0})
        remembered = {"0.s": torch.zeros(60), "0.rho": torch.tensor(1.0)}
        rows = ({"scale": 0, "size_px": 5, "step": 1, "time_s": 0.5, "total": 2.0},)
        for state in (
            State(image, best, 1, 1.0, 0, remembered),
            State(image, None, 0, 0.0, 0, {}),
        ):
            path = SCRATCH / "seed"
            checkpoint.write(checkpoint.Checkpoint(a_recipe(), 0, state, rows, 1.0), path)
            yield path.read_bytes()
    else:
        import torch
        from torch._weights_only_unpickler import Unpickler

        # Alone: the imports of torch as a whole would take a minute to instrument.
        Unpickler.load = atheris.instrument_func(Unpickler.load)
        few = {"conv1_1.weight": torch.zeros(2, 3, 3, 3), "conv1_1.bias": torch.zeros(2)}
        yield formats.encode(few)
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save({"state_dict": few}, stream, _use_new_zipfile_serialization=zipped)
            yield stream.getvalue()


def main():
    _, target, *words = sys.argv
    folder = SCRATCH / "seeds"
    folder.mkdir()
    for index, data in enumerate(seeds(target)):
        (folder / str(index)).write_bytes(data)
    inputs = [word for word in words if not word.startswith("-")]
    options = [word for word in words if word.startswith("-")]
    # libFuzzer runs a file alone; a folder gets what is new, and those after it are read only.
    folders = [] if inputs and Path(inputs[0]).is_file() else [str(folder)]
    bounds = ["-timeout=20", "-rss_limit_mb=3072", f"-max_len={LONGEST}"]
    atheris.Setup([sys.argv[0], *inputs, *folders, *bounds, *options], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Paint pairs of pictures with every preset, and show them side by side with their metrics.

    python -m benchmarks.look FOLDER --paintings DIR --size 256 --iterations 150

Each picture and its metrics are written into FOLDER. Existing pictures are not painted again, so
the book can be painted in several runs (--minutes). After each run FOLDER has index.html, a sheet
for each pair, and look.json with all figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import html
import json
import time
from pathlib import Path
from typing import Any

from impasto import api, images, metrics
from impasto.compute.host import keep_pages
from impasto.config.presets import PRESETS
from impasto.engine import inputs
from impasto.engine.warm import WarmEngine
from impasto.images import samples
from impasto.images.contact_sheet import contact_sheet
from impasto.job.job import Job

BUNDLED = (
    ("chelsea", "nocturne"),
    ("chelsea", "glass"),
    ("dancing", "picasso"),
    ("coffee", "pointillist"),
    ("rocket", "woodcut"),
    ("dancing", "nocturne"),
    ("rocket", "nocturne"),
    ("coffee", "woodcut"),
    ("chelsea", "pointillist"),
    ("dancing", "woodcut"),
)
KNOWN = (
    ("tubingen", "starry_night"),
    ("golden_gate", "the_scream"),
    ("tubingen", "shipwreck"),
    ("tubingen", "crackle"),
    ("golden_gate", "frida_kahlo"),
    ("golden_gate", "escher_sphere"),
    ("butterfly", "pencil_arches"),
    ("lion", "candy"),
)
NUMBERS = [number.name for number in dataclasses.fields(metrics.Metrics) if number.metadata]
# The default is also painted at these strengths.
STRENGTHS = (0.3, 0.8)


@dataclasses.dataclass(frozen=True)
class Page:
    """One pair of pictures."""

    content: Path
    style: Path

    @property
    def name(self) -> str:
        """The stem of the pair's file names."""
        return f"{self.content.stem}_{self.style.stem}"


def pages(paintings: Path | None) -> list[Page]:
    """Return the bundled pairs, and those of a folder with content/ and style/."""
    pairs = [Page(samples.path("content", c), samples.path("style", s)) for c, s in BUNDLED]
    if paintings is not None:
        pairs += [
            Page(paintings / "content" / f"{c}.jpg", paintings / "style" / f"{s}.jpg")
            for c, s in KNOWN
        ]
    return pairs


def variants() -> dict[str, dict[str, Any]]:
    """Return the options of each variant, by its name."""
    return {
        **{name: {"preset": name} for name in PRESETS},
        **{f"strength {strength:g}": {"strength": strength} for strength in STRENGTHS},
    }


def job_of(page: Page, options: dict[str, Any], size: int, most: int | None) -> Job:
    """Make a job with at most ``most`` iterations."""
    job = api.make_job("style_transfer", str(page.content), str(page.style), size=size, **options)
    planned = sum(scale.iterations for scale in inputs.read(job).scales)
    if most is None or planned <= most:
        return job
    settings = job.settings.model_copy(update={"iterations": most})
    return dataclasses.replace(job, settings=settings)


class Painter:
    """Paints and measures, with a cache that all pictures share."""

    def __init__(self) -> None:
        self._engine = WarmEngine()
        self._networks = metrics.load_networks()

    def paint(self, page: Page, job: Job, path: Path) -> dict[str, Any]:
        """Paint ``job``; write the picture to ``path`` and its figures beside it."""
        result = self._engine.paint(job)
        result.save(path)
        content, style = (images.load(str(file)).pixels for file in (page.content, page.style))
        measured = metrics.measure(result.pixels, content, style, self._networks)
        row = {
            "pair": page.name,
            "iterations": len(result.history),
            "time_s": round(result.time_s, 1),
            **{name: round(getattr(measured, name), 4) for name in NUMBERS},
        }
        path.with_suffix(".json").write_text(json.dumps(row))
        return row


def write_book(folder: Path, book: list[Page]) -> None:
    """Write the page, the sheets and the figures of all pictures so far."""
    rows, sections = [], []
    for page in book:
        cells = []
        for variant in variants():
            path = picture_path(folder, page, variant)
            if path.with_suffix(".json").exists():
                row = {"variant": variant, **json.loads(path.with_suffix(".json").read_text())}
                rows.append(row)
                cells.append((path, row))
        if cells:
            write_sheet(folder, page, cells)
            sections.append(section(page, cells))
    (folder / "look.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "index.html").write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Look-book</title><style>"
        "body{font:14px sans-serif;background:#fbfaf8;color:#2b2a29;margin:2em}"
        "section{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;width:256px}"
        "img{max-width:100%}</style><h1>Look-book</h1>" + "".join(sections)
    )


def write_sheet(folder: Path, page: Page, cells: list[tuple[Path, dict[str, Any]]]) -> None:
    """Write one pair's pictures as a sheet, the photograph and the painting first."""
    first = [(page.content, "photograph"), (page.style, "painting")]
    captioned = [
        (path, f"{row['variant']} {row['time_s']:g} s\n{short(row)}") for path, row in cells
    ]
    shown = first + captioned
    sheet = contact_sheet(
        [label for _, label in shown],
        (images.to_image(images.load(str(path)).pixels) for path, _ in shown),
        columns=3 if len(shown) <= 6 else 4,
    )
    images.save_image(sheet, folder / f"{page.name}.jpg")


def section(page: Page, cells: list[tuple[Path, dict[str, Any]]]) -> str:
    """Return the HTML of one pair."""
    figures = "".join(
        f'<figure><img src="{html.escape(path.name)}" alt="{html.escape(row["variant"])}">'
        f"<figcaption><b>{html.escape(row['variant'])}</b>, {row['iterations']} iterations, "
        f"{row['time_s']:g} s<br>{html.escape(short(row))}</figcaption></figure>"
        for path, row in cells
    )
    return f"<h2>{html.escape(page.name)}</h2><section>{figures}</section>"


def short(row: dict[str, Any]) -> str:
    """Return the main metrics in one line."""
    return (
        f"content {row['content_lpips']:.2f} style {row['style_layers']:.2f} "
        f"random {row['style_random']:.2f}"
    )


def picture_path(folder: Path, page: Page, variant: str) -> Path:
    """Return the path of a painting."""
    return folder / f"{page.name}_{variant.replace(' ', '_')}.png"


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the means over the pairs as a Markdown table, and where a variant beats the default."""
    by_variant: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_variant.setdefault(row["variant"], []).append(row)
    ours = {row["pair"]: row for row in by_variant.get("default", [])}
    print(f"| variant | pairs | time | {' | '.join(NUMBERS)} | beats the default on both |")
    print("|---" * (len(NUMBERS) + 4) + "|")
    for variant, own in by_variant.items():
        means = [sum(row[name] for row in own) / len(own) for name in ("time_s", *NUMBERS)]
        beaten = [row["pair"] for row in own if row["pair"] in ours and beats(row, ours)]
        cells = [f"{means[0]:.1f} s", *(f"{mean:.3f}" for mean in means[1:])]
        print(f"| {variant} | {len(own)} | {' | '.join(cells)} | {', '.join(beaten) or '-'} |")


def beats(row: dict[str, Any], ours: dict[str, dict[str, Any]]) -> bool:
    """Return whether a picture beats the default in content and style, in no more time."""
    default = ours[row["pair"]]
    nearer = all(row[name] < default[name] for name in ("content_lpips", "style_layers"))
    return nearer and row["time_s"] <= default["time_s"]


def main() -> None:
    """Read the command line, paint the missing pictures, and write the book."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paintings", type=Path, help="a folder with content/ and style/")
    parser.add_argument("--size", type=int, default=256, help="longest side, in pixels")
    parser.add_argument("--iterations", type=int, help="maximum for a picture")
    parser.add_argument("--minutes", type=float, help="start no picture after this time")
    parser.add_argument("--only", action="append", help="a variant's name; may be repeated")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    book, ends_s = pages(args.paintings), time.monotonic() + 60 * (args.minutes or 1e6)
    chosen = {name: variants()[name] for name in args.only or variants()}
    keep_pages()
    painter = Painter()
    for variant, options in chosen.items():
        for page in book:
            path = picture_path(args.folder, page, variant)
            if path.with_suffix(".json").exists() or time.monotonic() > ends_s:
                continue
            job = job_of(page, options, args.size, args.iterations)
            row = painter.paint(page, job, path)
            print(f"{page.name:28} {variant:14} {row['time_s']:6.1f} s  {short(row)}", flush=True)
    write_book(args.folder, book)
    print_table(json.loads((args.folder / "look.json").read_text()))


if __name__ == "__main__":
    main()

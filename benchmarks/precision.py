"""Paint pairs in float32 and in a narrow type, and judge both finished pictures in float32.

    python -m benchmarks.precision CONTENT STYLE [CONTENT STYLE ...] --size 256 --json FILE

The guard behind ``--precision auto``: under one schedule the narrow type's finished picture
must have a float32 loss within 5 % of the one painted in float32.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.schedules import Candidate, Painting, arguments, pairs, write

from impasto import images
from impasto.compute.host import keep_pages


def main() -> None:
    """Read the command line, paint, and write."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--precisions", default="fp32,bf16", help="the first is the measure")
    given = parser.parse_args()
    painted = pairs(parser, given.pictures)
    keep_pages()
    rows = []
    for content, style in painted:
        measure = None
        for precision in given.precisions.split(","):
            painting = Painting(content, style, given.size, precision=precision)
            found = painting.paint(Candidate())
            picture = found.pop("picture")
            measure = measure or (found["loss"], picture)
            pair = f"{Path(content).stem} x {Path(style).stem}"
            row = {
                "pair": pair,
                "size_px": given.size,
                "candidate": precision,
                "loss_ratio": found["loss"] / measure[0],
                "pixel_difference": (picture - measure[1])
                .clamp(-1, 1)
                .square()
                .mean()
                .sqrt()
                .item(),
                **found,
            }
            rows.append(row)
            print(
                f"{pair:30} {precision}  {found['time_s']:7.1f} s  loss {found['loss']:.1f}, "
                f"{row['loss_ratio']:.3f} times the first; pixels differ by "
                f"{255 * row['pixel_difference']:.1f} of 255, root mean square",
                flush=True,
            )
            if given.pictures_to:
                given.pictures_to.mkdir(parents=True, exist_ok=True)
                path = given.pictures_to / f"{pair} {precision}.png".replace(" ", "_")
                images.save_image(images.to_image(picture), path)
            if given.json:
                write(given.json, rows, painting.plan.device)


if __name__ == "__main__":
    main()

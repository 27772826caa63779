"""Paint pairs in float32 and in a narrow type, and compare both results in float32.

    python -m benchmarks.precision CONTENT STYLE [CONTENT STYLE ...] --size 256 --json FILE

This is the condition for ``--precision auto``: with the same schedule, the float32 loss of the
narrow type's result must be within 5 % of that of the float32 result.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.schedules import Candidate, Painting, arguments, pairs, write

from impasto import images
from impasto.compute.host import keep_pages


def main() -> None:
    """Read the command line, paint, and write."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--precisions", default="fp32,bf16", help="the first is the reference")
    args = parser.parse_args()
    painted = pairs(parser, args.pictures)
    keep_pages()
    rows = []
    for content, style in painted:
        reference = None
        for precision in args.precisions.split(","):
            painting = Painting(content, style, args.size, precision=precision)
            run = painting.paint(Candidate())
            picture = run.pop("picture")
            reference = reference or (run["loss"], picture)
            pair = f"{Path(content).stem} x {Path(style).stem}"
            row = {
                "pair": pair,
                "size_px": args.size,
                "candidate": precision,
                "loss_ratio": run["loss"] / reference[0],
                "pixel_difference": (picture - reference[1])
                .clamp(-1, 1)
                .square()
                .mean()
                .sqrt()
                .item(),
                **run,
            }
            rows.append(row)
            print(
                f"{pair:30} {precision}  {run['time_s']:7.1f} s  loss {run['loss']:.1f}, "
                f"{row['loss_ratio']:.3f} times the first; pixels differ by "
                f"{255 * row['pixel_difference']:.1f} of 255, root mean square",
                flush=True,
            )
            if args.pictures_to:
                args.pictures_to.mkdir(parents=True, exist_ok=True)
                path = args.pictures_to / f"{pair} {precision}.png".replace(" ", "_")
                images.save_image(images.to_image(picture), path)
            if args.json:
                write(args.json, rows, painting.plan.device)


if __name__ == "__main__":
    main()

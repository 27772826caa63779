"""``impasto measure``: how near a result is to its photograph and to its painting."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

_TOLD = {
    "content_lpips": "perceptual distance to the photograph (0: the same)",
    "content_ssim": "structural similarity to the photograph (1: the same)",
    "style_layers": "distance to the painting's style on other layers (0: the same)",
    "style_random": "distance to the painting's style on random filters (0: the same)",
    "colour": "distance to the painting's colours, in OKLab (0: the same)",
    "border": "contrast at the border, beside the photograph's (1: no frame)",
}


def register(app: typer.Typer) -> None:
    """Give ``app`` the command."""
    app.command("measure")(measure_picture)


def measure_picture(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="The picture to measure.")],
    content: Annotated[
        str, typer.Option("--content", metavar="FILE", help="The photograph it shows.")
    ],
    style: Annotated[str, typer.Option("--style", metavar="FILE", help="The painting it follows.")],
    weights_file: Annotated[
        str | None,
        typer.Option("--weights", metavar="FILE", help="VGG-16's weights file."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Measure RESULT beside its photograph and its painting: aids for the eye, not truth."""
    from impasto import images, metrics, models, weights
    from impasto.output.progress import make_display

    painted, photograph, painting = (images.load(path).pixels for path in (result, content, style))
    with make_display(quiet=json_lines) as display:
        heads = weights.load_heads(offline=offline, progress=display.progress)
        vgg = models.load("vgg16", weights=weights_file, offline=offline, progress=display.progress)
    found = metrics.measure(painted, photograph, painting, vgg, heads)
    values = dataclasses.asdict(found)
    if json_lines:
        typer.echo(json.dumps({"event": "measures", **values}))
        return
    for name, value in values.items():
        typer.echo(f"{value:8.4f}  {name:14} {_TOLD[name]}")

"""Flicker of painted films whose motion is known, beside painting frame by frame.

    python -m benchmarks.films PHOTO STYLE -o FOLDER [--frames 12] [--size 384] [--temporal 0.5]

Each film is made from one photograph: a pan, a zoom, a rotation, a still camera with sensor noise,
and an object that crosses. For each, the RMS difference between neighbours after moving along the
known flow is printed, in levels of 255, over the pixels that both show: of the input, of frames
painted each for itself, and of the film. Strips of frames are written to FOLDER.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import api, images
from impasto.engine.cache import Cache
from impasto.film.flow import warp
from impasto.film.shot import FinishedFrame, ShotPainter
from impasto.job.result import Step

FILMS = ("pan", "zoom", "rotation", "noise", "object", "still")
_NOISE = 1.5 / 255


@dataclass(frozen=True)
class Moved:
    """A frame, where it was in the frame before, and where that is known."""

    pixels: Tensor
    vectors: Tensor
    known: Tensor


def frames(name: str, photo: Tensor, height: int, width: int, count: int) -> Iterator[Moved]:
    """Yield the frames of a film.

    Args:
        name: one of FILMS.
        photo: (1, 3, H, W).
        height: of the frames, in pixels.
        width: of the frames.
        count: how many.
    """
    big = images.cover(photo, height * 3 // 2, width * 3 // 2)
    generator = torch.Generator().manual_seed(0)
    disc = images.cover(photo.flip(-1), 64, 64)
    before: tuple[Tensor, Tensor, Tensor] | None = None
    for index in range(count):
        matrix = _matrix(name, index, big.shape[-1])
        places = _places(matrix, height, width)
        pixels = _sampled(big, places)
        layer = torch.zeros(1, 1, height, width)
        if name == "object":
            left, top = 20 + 5 * index, height // 3
            stop = min(width, left + 64)
            layer[..., top : top + 64, left:stop] = 1
            pixels[..., top : top + 64, left:stop] = disc[..., : stop - left]
        if name in ("noise",):
            pixels = pixels + _NOISE * torch.randn(pixels.shape, generator=generator)
        pixels = (pixels.clamp(0, 1) * 255).round() / 255
        vectors = torch.zeros(1, 2, height, width)
        known = torch.zeros(1, 1, height, width)
        if before is not None:
            vectors = _vectors(before[0], matrix, height, width)
            vectors = torch.where(layer.bool(), torch.tensor([-5.0, 0.0]).view(1, 2, 1, 1), vectors)
            was = warp(before[1], vectors)
            known = ((was - layer).abs() < 0.01).float() * _inside(vectors)
        before = (matrix, layer, pixels)
        yield Moved(pixels, vectors, known)


def flicker(painted: list[Tensor], film: list[Moved]) -> float:
    """Return the RMS difference of neighbours along the known flow, in levels."""
    squares = mass = 0.0
    for index in range(1, len(painted)):
        frame = film[index]
        difference = painted[index] - warp(painted[index - 1], frame.vectors)
        squares += float((difference.square() * frame.known).sum())
        mass += 3 * float(frame.known.sum())
    return 255 * math.sqrt(squares / mass)


def _matrix(name: str, index: int, width: int) -> Tensor:
    """Return the affine map from pixels of a frame, from its centre, to those of the photograph."""
    scale, angle, shift = 1.0, 0.0, 0.0
    if name == "pan":
        shift = 4.0 * index - width / 12
    elif name == "zoom":
        scale = 1.15 * 0.99**index
    elif name == "rotation":
        angle = math.radians(0.8 * index)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[cos, -sin, shift], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def _grid(height: int, width: int) -> Tensor:
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    return torch.stack([columns, rows, torch.ones_like(rows)])


def _places(matrix: Tensor, height: int, width: int) -> Tensor:
    return torch.einsum("ij,jhw->ihw", matrix, _grid(height, width))[:2]


def _sampled(big: Tensor, places: Tensor) -> Tensor:
    height, width = big.shape[-2:]
    grid = torch.stack([places[0] * 2 / (width - 1), places[1] * 2 / (height - 1)], -1)
    return F.grid_sample(
        big, grid[None].float(), mode="bicubic", padding_mode="reflection", align_corners=True
    )


def _vectors(before: Tensor, now: Tensor, height: int, width: int) -> Tensor:
    there = torch.linalg.inv(before) @ now
    return (_places(there, height, width) - _grid(height, width)[:2])[None].float()


def _inside(vectors: Tensor) -> Tensor:
    height, width = vectors.shape[-2:]
    columns = torch.arange(width).view(1, 1, width) + vectors[:, 0]
    rows = torch.arange(height).view(1, height, 1) + vectors[:, 1]
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return inside[:, None].float()


def _to_the_end(steps: Generator[Step, None, FinishedFrame]) -> FinishedFrame:
    """Return what a generator returns."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        finished: FinishedFrame = end.value
        return finished


def main() -> None:
    """Paint the films, and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo")
    parser.add_argument("style")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--temporal", type=float, default=0.5)
    parser.add_argument("--films", default=",".join(FILMS))
    parser.add_argument("--alone", type=int, default=2, help="frames painted each for itself")
    parser.add_argument("--threads", type=int)
    words = parser.parse_args()
    words.output.mkdir(parents=True, exist_ok=True)
    photo = images.load(words.photo).pixels
    width, height = words.size, words.size * 3 // 4
    cache = Cache()
    for name in words.films.split(","):
        film = list(frames(name, photo, height, width, words.frames))
        job = api.make_job("style_transfer", None, images.load(words.style), threads=words.threads)
        painter = ShotPainter(job, words.temporal, cache)
        begun_s, times_s, steps, painted = time.perf_counter(), [], [], []
        for index, frame in enumerate(film):
            if index:
                done = painter.next(index, frame.pixels)
            else:
                done = _to_the_end(painter.first(0, frame.pixels))
            painted.append(done.pixels)
            times_s.append(time.perf_counter() - begun_s)
            begun_s = time.perf_counter()
            steps.append(done.steps)
        alone = [painted[0]]
        for index in range(1, words.alone):
            one = api.make_job(
                "style_transfer",
                film[index].pixels,
                images.load(words.style),
                size=(width, height),
                threads=words.threads,
            )
            alone.append(api.paint(one).pixels)
        print(
            json.dumps(
                {
                    "film": name,
                    "temporal": words.temporal,
                    "input": round(flicker([frame.pixels for frame in film], film), 2),
                    "alone": round(flicker(alone, film), 2) if words.alone > 1 else None,
                    "painted": round(flicker(painted, film), 2),
                    "first_s": round(times_s[0], 1),
                    "frame_s": round(sum(times_s[1:]) / max(1, len(times_s) - 1), 2),
                    "steps": steps,
                }
            ),
            flush=True,
        )
        for index, pixels in enumerate(painted):
            images.save_image(images.to_image(pixels), words.output / f"{name}_{index:03d}.png")
            images.save_image(
                images.to_image(film[index].pixels), words.output / f"{name}_in_{index:03d}.png"
            )
        for index, pixels in enumerate(alone):
            images.save_image(
                images.to_image(pixels), words.output / f"{name}_alone_{index:03d}.png"
            )


if __name__ == "__main__":
    main()

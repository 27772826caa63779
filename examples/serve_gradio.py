"""Gradio: a page with two pictures and a slider; the picture is shown while it is painted.

pip install gradio
python examples/serve_gradio.py
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr

import impasto


def paint(photograph: Any, painting: Any, strength: float) -> Iterator[Any]:
    """Yield the picture at every fifth step, and the result at the end."""
    running = impasto.iterate(photograph, painting, size=384, strength=strength)
    for step in running:
        if step.step % 5 == 0:
            yield step.image()
    if running.result is not None:
        yield running.result.image


inputs = [gr.Image(type="pil"), gr.Image(type="pil"), gr.Slider(0, 1, value=0.5)]
if __name__ == "__main__":
    gr.Interface(paint, inputs, gr.Image()).queue().launch()

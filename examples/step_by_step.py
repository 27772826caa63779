"""Paint step by step: steer, look at the picture so far, and stop when it is good enough.

python examples/step_by_step.py photograph.jpg painting.jpg out.png
"""

import sys
from typing import Any

import impasto


def main(content: Any, style: Any, output: str, **options: Any) -> impasto.Result:
    """Stop when a step changes fewer than one pixel value in a thousand, on average."""
    painting, before = impasto.iterate(content, style, **options), None
    for step in painting:
        now = step.pixels
        if before is not None and before.shape == now.shape and step.scale == step.scales - 1:
            change = float((now - before).abs().mean())
            print(f"step {step.step} of {step.steps}: {change:.4f}")
            if change < 0.001:
                painting.cancel()
        before = now
    assert painting.result is not None
    painting.result.save(output)
    return painting.result


if __name__ == "__main__":
    main(*sys.argv[1:4])

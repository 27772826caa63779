"""asyncio: the loop stays free while a thread paints.

python examples/serve_asyncio.py photograph.jpg painting.jpg out.png
"""

import asyncio
import sys
from typing import Any

import impasto


async def paint(content: Any, style: Any, **options: Any) -> impasto.Result | None:
    """Paint in a thread; if the task is cancelled, painting ends after the step under way."""
    painting = impasto.iterate(content, style, **options)
    try:
        await asyncio.to_thread(lambda: [None for _ in painting])
    except asyncio.CancelledError:
        painting.cancel()
        raise
    return painting.result


if __name__ == "__main__":
    result = asyncio.run(paint(*sys.argv[1:3], size=256))
    assert result is not None
    result.save(sys.argv[3])

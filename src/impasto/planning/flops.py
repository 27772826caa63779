"""The arithmetic cost of a step: multiplications and additions, counted from sizes only."""

from __future__ import annotations

from impasto.compute.distributed import ALONE, Ranks
from impasto.config.networks import network_spec
from impasto.planning.memory_model import ScaleWorkload


def step_flop(
    workload: ScaleWorkload,
    tile_px: int | None,
    cache_content: bool,
    *,
    tiles_kept: int = 1,
    ranks: Ranks = ALONE,
) -> tuple[float, float]:
    """Count the operations of the convolutions in one step: forward, and back to the pixels.

    A tile that does not stay in memory goes through the network twice, for its sums and for its
    gradient. If the content's features are not cached, so does the photograph.

    Args:
        workload: the workload of one size.
        tile_px: largest side of a tile; None for no tiling.
        cache_content: whether the content's features are cached.
        tiles_kept: how many tiles of a rank stay in memory between the passes.
        ranks: the processes that share the tiles; the operations of the busiest are counted.
    """
    windows = workload.windows(tile_px)
    count = ranks.count if are_enough(workload, tile_px, ranks) else 1
    seen, passes = max(
        (sum(share), 2 * sum(share) - sum(share[-tiles_kept:]))
        for share in (windows[rank::count] for rank in range(count))
    )
    spec = network_spec(workload.network)
    each = spec.flops_per_pixel(workload.layers)
    forward = passes * each
    if workload.content_layers and not cache_content:
        forward += passes * spec.flops_per_pixel(workload.content_layers)
    return forward, seen * each


def are_enough(workload: ScaleWorkload, tile_px: int | None, ranks: Ranks) -> bool:
    """Return whether each of ``ranks`` gets a tile; if not, each paints the whole image."""
    return ranks.count == 1 or len(workload.windows(tile_px)) >= ranks.count

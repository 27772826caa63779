"""What a step costs the processor: counted from sizes alone, as multiplications and additions."""

from __future__ import annotations

from impasto.compute.distributed import ALONE, Ranks
from impasto.config.networks import network_spec
from impasto.planning.memory_model import ScaleWorkload


def step_flop(
    demand: ScaleWorkload,
    tile_px: int | None,
    cache_content: bool,
    *,
    tiles_kept: int = 1,
    ranks: Ranks = ALONE,
) -> tuple[float, float]:
    """Count the operations of the convolutions in one step: forward, and back to the pixels.

    Each tile that is not kept is looked at twice, first for its sums and then for its
    gradient; where the content's features are not kept, the photograph is looked at as often.

    Args:
        demand: what is painted.
        tile_px: largest side of a tile; None for the image held whole.
        cache_content: whether the content's features are kept.
        tiles_kept: how many tiles of a rank stay in memory between the passes.
        ranks: the processes that share the tiles; what the busiest has to do is counted.
    """
    windows = demand.windows(tile_px)
    count = ranks.count if are_enough(demand, tile_px, ranks) else 1
    seen, looks = max(
        (sum(share), 2 * sum(share) - sum(share[-tiles_kept:]))
        for share in (windows[rank::count] for rank in range(count))
    )
    spec = network_spec(demand.network)
    each = spec.flops_per_pixel(demand.layers)
    forward = looks * each
    if demand.content_layers and not cache_content:
        forward += looks * spec.flops_per_pixel(demand.content_layers)
    return forward, seen * each


def are_enough(demand: ScaleWorkload, tile_px: int | None, ranks: Ranks) -> bool:
    """Tell whether each of ``ranks`` gets a tile; if not, all paint the same by themselves."""
    return ranks.count == 1 or len(demand.windows(tile_px)) >= ranks.count

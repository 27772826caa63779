"""One image on several processes: each computes its share of the tiles; sums are all-reduced.

torchrun starts the processes, or another launcher that sets its variables. Each process has the
whole image and takes the same steps; the work of the network is divided among them. So between two
passes only the sums are exchanged, some megabytes, and after the second pass the gradient.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from impasto.errors import LostRankError

Item = TypeVar("Item")

# Environment variables that torchrun sets.
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# A dead process is noticed at once. A silent one, on a machine that has gone, is waited for this
# long: the others may still compute their share of a step or write a picture.
_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Ranks:
    """The rank of this process among those that paint one image.

    Attributes:
        rank: from 0; only rank 0 reads and writes files that are not inputs.
        count: the number of ranks.
        local: the rank among those on this machine.
        local_count: the number of ranks on this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this rank's part of ``items``; each item belongs to one rank."""
        return list(items[self.rank :: self.count])

    def add(self, sums: dict[str, Tensor]) -> None:
        """Add the sums of all other ranks to ``sums``, in place; all have one dtype."""
        if self.count == 1 or not sums:
            return
        joint = torch.cat([value.flatten() for value in sums.values()])
        self.add_in_place(joint)
        parts = torch.split(joint, [value.numel() for value in sums.values()])
        for (name, value), part in zip(list(sums.items()), parts, strict=True):
            sums[name] = part.view_as(value)

    def add_in_place(self, values: Tensor) -> None:
        """Add the values of all other ranks to contiguous ``values``, in place."""
        if self.count > 1:
            with _lost_rank_error():
                dist.all_reduce(values)

    def agree(self, values: Tensor) -> Tensor:
        """Replace contiguous ``values`` by those of rank 0, in place, and return them."""
        if self.count > 1:
            with _lost_rank_error():
                dist.broadcast(values, src=0)
        return values

    def most(self, values: Tensor) -> Tensor:
        """Replace contiguous ``values`` by the largest of all ranks, in place, and return them."""
        if self.count > 1:
            with _lost_rank_error():
                dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def least(self, number: int) -> int:
        """Return the smallest of all ranks' numbers."""
        if self.count == 1:
            return number
        numbers = torch.tensor([number])
        with _lost_rank_error():
            dist.all_reduce(numbers, dist.ReduceOp.MIN)
        return int(numbers.item())


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started; yield ALONE if there are none.

    Raises:
        LostRankError: they cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or any(
        name not in os.environ for name in _VARIABLES
    ):
        yield ALONE
        return
    with _lost_rank_error():
        dist.init_process_group(_backend(), timeout=_TIMEOUT)
    try:
        yield current()
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


def current() -> Ranks:
    """Return the rank of this process in torch's process group; ALONE if there is none."""
    if not dist.is_available() or not dist.is_initialized():
        return ALONE
    return Ranks(
        rank=dist.get_rank(),
        count=dist.get_world_size(),
        local=int(os.environ.get("LOCAL_RANK", "0")),
        local_count=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )


def _backend() -> str:
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if has_nccl else "gloo"


@contextmanager
def _lost_rank_error() -> Iterator[None]:
    """Turn torch's errors about a lost process into a LostRankError."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise LostRankError(
            "expected every process of the group to take part, and one has ended or is out of "
            f"reach ({reason}); look at its own message, and start them all again"
        ) from error

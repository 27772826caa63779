"""One image over several processes: each looks at its share of the tiles, and sums are added.

The processes are started by torchrun, or by whatever sets its variables. All hold the whole
image and take the same steps; what the network computes is divided among them. So between
two passes only the sums travel, some megabytes, and after the second the gradient.
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

# What torchrun tells each process.
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# A process that has died is noticed at once. One that is silent, because its machine has
# gone, is waited for so long: the others' share of a step, or a picture being written.
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that paint one image.

    Attributes:
        rank: from 0; 0 alone reads and writes files that are not inputs.
        count: how many there are.
        local: the place among those on this machine.
        local_count: how many there are on this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this rank's part of ``items``; together the ranks have each once."""
        return list(items[self.rank :: self.count])

    def add(self, sums: dict[str, Tensor]) -> None:
        """Add to each of ``sums`` those of all other ranks, in place; they are of one type."""
        if self.count == 1 or not sums:
            return
        together = torch.cat([value.flatten() for value in sums.values()])
        self.add_in_place(together)
        parts = torch.split(together, [value.numel() for value in sums.values()])
        for (name, value), part in zip(list(sums.items()), parts, strict=True):
            sums[name] = part.view_as(value)

    def add_in_place(self, values: Tensor) -> None:
        """Add to contiguous ``values`` those of all other ranks."""
        if self.count > 1:
            with _noticing():
                dist.all_reduce(values)

    def agree(self, values: Tensor) -> Tensor:
        """Return what rank 0 has in place of contiguous ``values``."""
        if self.count > 1:
            with _noticing():
                dist.broadcast(values, src=0)
        return values

    def least(self, number: int) -> int:
        """Return the smallest of all ranks' numbers."""
        if self.count == 1:
            return number
        numbers = torch.tensor([number])
        with _noticing():
            dist.all_reduce(numbers, dist.ReduceOp.MIN)
        return int(numbers.item())


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Meet the other processes that torchrun has started; ALONE if it has started none.

    Raises:
        LostRankError: they cannot be met.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or any(
        name not in os.environ for name in _VARIABLES
    ):
        yield ALONE
        return
    with _noticing():
        dist.init_process_group(_backend(), timeout=_PATIENCE)
    try:
        yield current()
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


def current() -> Ranks:
    """Return this process's place in the group that torch has joined; ALONE if in none."""
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
def _noticing() -> Iterator[None]:
    """Turn what torch says of a lost process into one error."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise LostRankError(
            "expected every process of the group to take part, and one has ended or is out of "
            f"reach ({reason}); look at its own message, and start them all again"
        ) from error

"""The loss terms of a run, as rows, columns and curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from impasto.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The columns that are no loss terms: where the run was.
_POSITION = ("scale", "size_px", "step", "time_s")


class LossHistory(Sequence[dict[str, float]]):
    """One row for each step, with the terms as they were before that step moved the image.

    A row holds ``scale`` (index of the size, from 0), ``size_px`` (longest side), ``step``,
    ``time_s``, each weighted loss term by name, such as ``style:relu1_1``, and their sum as
    ``total``. ``pandas.DataFrame(history)`` has a line for each step.
    """

    def __init__(self, rows: Iterable[dict[str, float]] = ()) -> None:
        self._rows = list(rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, float]: ...
    @overload
    def __getitem__(self, index: slice) -> LossHistory: ...
    def __getitem__(self, index: int | slice) -> dict[str, float] | LossHistory:
        return LossHistory(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LossHistory) and self._rows == other._rows

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<LossHistory of {len(self)} steps: {', '.join(self.terms) or 'no terms'}>"

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the loss terms, ``total`` last."""
        names = {name: None for row in self._rows for name in row if name not in _POSITION}
        return (*(name for name in names if name != "total"), *({"total"} & names.keys()))

    def losses(self, index: int = -1) -> dict[str, float]:
        """Return the loss terms of one step, by default the last; empty if there was none."""
        row = self._rows[index] if self._rows else {}
        return {name: value for name, value in row.items() if name not in _POSITION}

    def columns(self) -> dict[str, list[float]]:
        """Return the same numbers by name: one list, as long as the run, for each column.

        Where a step had not that term, because layers changed while painting, it is nan.
        """
        names = (*_POSITION, *self.terms) if self._rows else ()
        return {name: [row.get(name, math.nan) for row in self._rows] for name in names}

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the terms over the steps, on a logarithmic scale, with the sizes marked.

        Args:
            axes: where to draw; a new figure of pyplot's if absent.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        if axes is None:
            axes = load_matplotlib("pyplot").subplots(figsize=(9, 4), layout="constrained")[1]
        columns = self.columns()
        for name in self.terms:
            look = {"color": "black", "linewidth": 2} if name == "total" else {"linewidth": 1}
            axes.plot(columns["step"], columns[name], label=name.replace("_v", " v"), **look)
        for row in self._firsts():
            axes.axvline(row["step"], color="0.8", linewidth=1, zorder=0)
            axes.annotate(
                f"{row['size_px']} px",
                (row["step"], 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -3),
                textcoords="offset points",
                verticalalignment="top",
                fontsize="small",
            )
        axes.set(xlabel="step", ylabel="weighted loss", yscale="log")
        if self._rows:
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
        return axes

    def _firsts(self) -> list[dict[str, float]]:
        """Return the first row of each size."""
        before = [-1.0, *(row["scale"] for row in self._rows)]
        return [row for row, last in zip(self._rows, before, strict=False) if row["scale"] != last]


def load_matplotlib(module: str) -> Any:
    """Import one of matplotlib's modules, which only figures need.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        return import_module(f"matplotlib.{module}")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"expected matplotlib for the figure, and there is no {error.name}; "
            "pip install '.[notebook]' in impasto's own folder"
        ) from None

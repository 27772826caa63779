"""A loss of the user's own, beside content, style and smoothness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from impasto.errors import SettingsError, short_repr

if TYPE_CHECKING:
    from torch import Tensor

LossFunction: TypeAlias = "Callable[[Tensor, Mapping[str, Tensor]], Tensor]"


@dataclass(frozen=True)
class LossTerm:
    """A loss of one's own: a function of the painting's pixels and features.

    Attributes:
        function: called with the pixels, float32 (1, 3, H, W), sRGB near [0, 1], and the features,
            (1, C, H', W') by layer; returns a scalar that is differentiable by autograd. The
            pixels include the margin around the picture.
        weight: factor of the value.
        layers: whose features it needs.
        additive: whether the value of a picture is the sum of the values of its tiles. It is then
            divided by the number of pixels, and works in tiles. If not, the function gets the whole
            picture, and a picture that does not fit into memory whole is refused.

    Raises:
        SettingsError: the function cannot be called, or the weight is no number.
    """

    function: LossFunction
    weight: float = 1.0
    layers: tuple[str, ...] = ()
    additive: bool = False

    def __post_init__(self) -> None:
        """Check what a type checker would."""
        if not callable(self.function):
            raise SettingsError(
                "function: expected a function of pixels and features, got "
                f"{short_repr(self.function)}; pass the function itself"
            )
        if not isinstance(self.weight, (int, float)) or not abs(self.weight) < float("inf"):
            raise SettingsError(
                f"weight: expected a finite number, got {short_repr(self.weight)}; write 1.0"
            )
        if isinstance(self.layers, str):
            raise SettingsError(
                f"layers: expected a sequence of names, got {self.layers!r}; write "
                f"({self.layers!r},)"
            )
        object.__setattr__(self, "layers", tuple(self.layers))


def read_terms(terms: object) -> dict[str, LossTerm]:
    """Read loss terms by name; a function alone is a LossTerm with the defaults.

    Raises:
        SettingsError: no mapping, a name that is no word, or a value that is neither.
    """
    if not isinstance(terms, Mapping):
        raise SettingsError(
            f"terms: expected a mapping from names to functions, got {short_repr(terms)}; write "
            'terms={"name": function}'
        )
    for name in terms:
        if not isinstance(name, str) or not name.isidentifier():
            raise SettingsError(
                f"terms: expected names of letters, digits and _, got {short_repr(name)}; choose "
                "another"
            )
    return {
        name: term if isinstance(term, LossTerm) else LossTerm(term) for name, term in terms.items()
    }

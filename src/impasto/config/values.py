"""Types of options whose values come in several forms: sizes, layers with weights, bytes, names."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WrapValidator,
)
from pydantic_core import PydanticKnownError

from impasto.config.networks import check_layer, parse_layer_weights
from impasto.config.registry import NETWORKS, OPTIMISERS, STATISTICS, NameIn
from impasto.errors import SettingsError

if TYPE_CHECKING:
    # The built-in names; other packages may add to each of these.
    NetworkName = Literal["vgg16", "vgg19"]
    StatisticName = Literal["gram", "mean+covariance", "moments", "gram+mean+std", "neighbours"]
    OptimiserName = Literal["lbfgs", "adam"]
else:
    NetworkName = Annotated[str, NameIn(NETWORKS)]
    StatisticName = Annotated[str, NameIn(STATISTICS)]
    OptimiserName = Annotated[str, NameIn(OPTIMISERS)]


def _read_layers(value: object, info: ValidationInfo) -> dict[str, float]:
    # The layers of a range depend on the network, a field before these.
    return parse_layer_weights(value, info.data.get("network", "vgg16"))


LayerWeights = Annotated[dict[str, float], BeforeValidator(_read_layers)]

LEAST_SIDE_PX, MOST_SIDE_PX = 16, 65536
_Side = Annotated[int, Field(ge=LEAST_SIDE_PX, le=MOST_SIDE_PX)]
_SIDE: TypeAdapter[int] = TypeAdapter(_Side)
_SIDES = re.compile(r"\s*(\d+)\s*[x\u00d7]\s*(\d+)\s*", re.I)


def _read_size(value: Any, _: object) -> Any:
    """Parse the longest side, ``original``, or width and height as a pair or ``96x64``."""
    if isinstance(value, str):
        if value.strip().lower() == "original":
            return "original"
        if both := _SIDES.fullmatch(value):
            value = both.groups()
    sides = value if isinstance(value, (tuple, list)) else [value]
    if isinstance(value, (tuple, list)) and len(value) != 2:
        raise ValueError(f"expected a width and a height, got {value!r}; such as 96x64")
    try:
        read = [_SIDE.validate_python(side) for side in sides]
    except ValidationError as error:
        (fault,) = error.errors()
        if not isinstance(value, int) and fault["type"].startswith("int_"):
            raise ValueError(
                "expected a whole number of pixels, both sides such as 96x64, or original, got "
                f"{value!r}"
            ) from None
        raise PydanticKnownError(fault["type"], fault.get("ctx")) from None  # type: ignore[arg-type]
    return (read[0], read[1]) if len(read) == 2 else read[0]


Size = Annotated[
    _Side | Literal["original"] | tuple[_Side, _Side],
    WrapValidator(_read_size),
]


def parse_bytes(value: object) -> int:
    """Parse a number of bytes, or one with a unit such as MB or GiB.

    Raises:
        ValueError: it is neither, or 0.
    """
    words = re.fullmatch(
        r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*(?:([kmgt])(i?)b?|b)?\s*", str(value), re.I
    )
    size_bytes = 0
    if words and not isinstance(value, bool):
        number, prefix, binary = words.groups()
        base = 1024 if binary else 1000
        size_bytes = int(float(number) * base ** (" kmgt".index(prefix.lower()) if prefix else 0))
    if not size_bytes:
        raise ValueError(f"expected a size such as 6GiB or 800MB, got {value!r}; write 6GiB")
    return size_bytes


def check_relative(weights: list[float]) -> None:
    """Check that ``weights`` can be divided by their sum.

    Raises:
        ValueError: one is negative, or all are 0.
    """
    if any(not weight >= 0 for weight in weights) or sum(weights) == 0:
        raise ValueError(
            f"expected weights of at least 0 that are not all 0, got {weights}; "
            "leave out what should not count"
        )


def check_known(option: str, layers: dict[str, float], network: str) -> None:
    """Check that the network has all ``layers``.

    Raises:
        SettingsError: it lacks one; the message begins with ``option``.
    """
    try:
        for name in layers:
            check_layer(name, network)
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}") from None

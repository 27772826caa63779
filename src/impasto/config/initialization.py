"""The initial image of a painting: the path of a picture, a name, or a blend of names."""

from impasto.errors import SettingsError

# matched: the content picture in the style's colours.
STARTS = ("matched", "content", "style", "noise")


def parse_start(text: str) -> dict[str, float] | None:
    """Parse the option ``start`` into names and their shares, which sum to 1.

    Args:
        text: one of STARTS, or several with weights such as ``content=0.7,noise=0.3``.

    Returns:
        Shares by name, without those of 0; None if the text is the path of a picture.

    Raises:
        SettingsError: a blend with a name twice, or with weights that no blend can have.

    Example:
        >>> parse_start("content=3,noise=1")
        {'content': 0.75, 'noise': 0.25}
        >>> parse_start("noise")
        {'noise': 1.0}
    """
    words = [tuple(part.strip() for part in word.partition("=")) for word in text.split(",")]
    if any(name not in STARTS for name, _, _ in words):
        return None
    names = [name for name, _, _ in words]
    try:
        weights = [float(weight) if equals else 1.0 for _, equals, weight in words]
    except ValueError:
        weights = []
    total = sum(weights)
    is_blend = len(set(names)) == len(names) == len(weights) and min(weights) >= 0
    if not (is_blend and 0 < total < float("inf")):
        raise SettingsError(
            f"expected a blend of each of {', '.join(STARTS)} at most once, with weights of at "
            f"least 0 that are not all 0, got {text!r}; such as content=0.7,noise=0.3"
        )
    return {n: weight / total for n, weight in zip(names, weights, strict=True) if weight}

"""How much of a painting's objects comes along, as weights of style layers.

Shallow layers know strokes and shapes, deep ones whole objects: with them, faces and eyes of the
painting appear in the photograph's flat parts. Painting from coarse to fine makes large strokes
without them, for at 128 px a feature of relu3_1 sees a fifth of the picture.
"""

# Measured on four pairs of photograph and painting (docs/look.md): weights that fall with depth
# give strokes without grit; equal ones give larger motifs and rougher flats.
_STROKES = {"relu1_1": 16.0, "relu2_1": 8.0, "relu3_1": 4.0}
_OBJECTS = {"relu4_1": 2.0, "relu5_1": 1.0}
# Statistics without motifs, and their layers; chosen by looking (docs/control.md).
_OWN_LAYERS = {"neighbours": {"relu2_1": 4.0, "relu3_1": 2.0, "relu4_1": 1.0}}
# From here on relu4_1 counts fully.
_ALL_OF_RELU4 = 0.6


def motif_layers(motifs: float) -> dict[str, float]:
    """Return the style layers and their weights for ``motifs`` in [0, 1].

    At 0 no layer is deeper than relu3_1, and none is computed. Up to 0.6 relu4_1 comes in, and
    beyond it relu5_1, so that the ghosts of ``impasto measure`` grow evenly (docs/look.md).
    """
    shares = {
        "relu4_1": min(1.0, motifs / _ALL_OF_RELU4) ** 2,
        "relu5_1": (max(0.0, motifs - _ALL_OF_RELU4) / (1 - _ALL_OF_RELU4)) ** 2,
    }
    objects = {name: _OBJECTS[name] * share for name, share in shares.items() if share}
    return _STROKES | objects


def has_motifs(statistic: str) -> bool:
    """Tell whether motifs choose the style layers of a statistic."""
    return statistic not in _OWN_LAYERS


def default_layers(statistic: str, motifs: float) -> dict[str, float]:
    """Return the style layers of a statistic and their weights, where none are named."""
    return motif_layers(motifs) if has_motifs(statistic) else dict(_OWN_LAYERS[statistic])

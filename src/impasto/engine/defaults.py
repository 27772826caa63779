"""What each mode minimises, and the defaults that depend on the mode."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.config.initialization import parse_start
from impasto.config.motifs import default_layers, has_motifs
from impasto.config.networks import network_spec
from impasto.config.settings import Mode, Settings
from impasto.config.values import check_known
from impasto.errors import SettingsError
from impasto.job.job import Job


@dataclass(frozen=True)
class Terms:
    """The terms that a mode minimises, and its default start."""

    content: bool
    style: bool
    start: str

    @property
    def both(self) -> bool:
        """Whether the mode has both a photograph and a painting."""
        return self.content and self.style


MODE_TERMS: dict[Mode, Terms] = {
    "style_transfer": Terms(content=True, style=True, start="matched"),
    "content": Terms(content=True, style=False, start="noise"),
    "style": Terms(content=False, style=True, start="noise"),
}


# The style term keeps pixels smooth by itself. Content from shallow layers does so too; content
# from deeper layers leaves noise, and the weight that removes it would blur the shallow ones.
_SMOOTHNESS_WITH_STYLE = 8500.0


_DEFAULT_STRENGTH = 0.5


# Chosen by looking and by the judge (docs/look.md). A texture is made of motifs.
_DEFAULT_MOTIFS, _MOTIFS_OF_TEXTURES = 0.25, 1.0


# From this strength upwards, the painting has only the style's colours.
_WHOLLY_MATCHED = 0.5


# The least strength that is optimised: at a lower one, the content term is so dominant that the
# optimiser diverges. There, the painting of this strength is blended with the photograph.
WEAKEST_PAINTED = 0.05


_SMOOTHNESS_BY_BLOCK = {1: 20.0, 2: 200.0, 3: 1000.0, 4: 2000.0, 5: 6000.0}


def complete(job: Job, settings: Settings) -> Settings:
    """Fill in the defaults that depend on the mode of ``job``, and check the settings against it.

    Raises:
        SettingsError: options that contradict each other, the mode or the number of pictures.
    """
    terms = MODE_TERMS[job.mode]
    defaults: dict[str, str | float | dict[str, float]] = {}
    strength = settings.strength
    if strength is None:
        by_strength = terms.both and settings.normalisation == "position"
        if by_strength and settings.alpha is None and settings.beta is None:
            strength = defaults["strength"] = _DEFAULT_STRENGTH
        else:
            defaults["alpha"], defaults["beta"] = settings.weights
    if settings.start is None:
        defaults["start"] = _default_start(terms, 1.0 if strength is None else strength)
    if settings.total_variation is None:
        block = network_spec(settings.network).deepest(settings.content_layers).block
        smoothness = _SMOOTHNESS_WITH_STYLE if terms.style else _SMOOTHNESS_BY_BLOCK[block]
        defaults["total_variation"] = smoothness
    if terms.style and settings.style_layers is None:
        layers = defaults["style_layers"] = style_layers(job.mode, settings)
        check_known("motifs", layers, settings.network)
        if has_motifs(settings.statistic):
            defaults["motifs"] = _motifs_of(job.mode, settings)
    if settings.palette is None:
        defaults["palette"] = float(terms.style and settings.colour != "keep")
    settings = settings.model_copy(update=defaults)
    _check_terms(job.mode, settings)
    _check_counts(job, settings)
    return settings


def style_layers(mode: Mode, settings: Settings) -> dict[str, float]:
    """Return the style layers and their weights: those that are named, or the mode's defaults."""
    if settings.style_layers is not None:
        return settings.style_layers
    return default_layers(settings.statistic, _motifs_of(mode, settings))


def _motifs_of(mode: Mode, settings: Settings) -> float:
    if settings.motifs is not None:
        return settings.motifs
    return _DEFAULT_MOTIFS if MODE_TERMS[mode].both else _MOTIFS_OF_TEXTURES


def _check_terms(mode: Mode, settings: Settings) -> None:
    """Refuse options that leave nothing to minimise, or that do not fit the mode."""
    terms = MODE_TERMS[mode]
    weights = {
        name: getattr(settings, name)
        for name, minimised in (("alpha", terms.content), ("beta", terms.style))
        if minimised
    }
    if settings.strength is not None and not terms.both:
        raise SettingsError(
            f"strength: expected none in {mode} mode, which has only one of the two terms, "
            f"got {settings.strength:g}; leave it out"
        )
    if settings.colour != "free" and not terms.both:
        raise SettingsError(
            f"colour: expected free in {mode} mode, which does not combine a photograph "
            f"with a painting, got {settings.colour!r}; leave it out"
        )
    if settings.palette and not terms.style:
        raise SettingsError(
            f"palette: expected none in {mode} mode, which has no style picture, got "
            f"{settings.palette:g}; leave it out"
        )
    if settings.motifs is not None and not terms.style:
        raise SettingsError(
            f"motifs: expected none in {mode} mode, which has no style picture, got "
            f"{settings.motifs:g}; leave it out"
        )
    if settings.strength is None and not any(weights.values()):
        raise SettingsError(
            f"{' and '.join(weights)}: expected a weight above 0 in {mode} mode, got 0; raise it"
        )
    if settings.seamless and mode != "style":
        raise SettingsError(
            f"seamless: expected it only in style mode, got it in {mode} mode; leave it out"
        )
    if terms.content and settings.aspect is not None:
        raise SettingsError(
            f"aspect: expected none in {mode} mode, where the result has the photograph's aspect, "
            f"got {settings.aspect!r}; leave it out, or crop the photograph first"
        )


def _check_counts(job: Job, settings: Settings) -> None:
    """Check that options with a value for each style picture have as many as there are pictures."""
    count = len(job.style_images)
    if not count or not MODE_TERMS[job.mode].style:
        return
    weights, scales = settings.style_weights, settings.style_scale
    if weights is not None and len(weights) != count:
        raise SettingsError(
            f"style_weights: expected {count}, one for each style picture, got {len(weights)}; "
            "give as many as there are pictures"
        )
    if scales is not None and len(scales) not in (1, count):
        raise SettingsError(
            f"style_scale: expected one number, or one for each style picture ({count}), got "
            f"{len(scales)}; give one for all, or as many as there are pictures"
        )


def matched_share(strength: float) -> float:
    """Return the share of the style's colours at a strength above 0; the rest is the content's."""
    return min(1.0, max(strength, WEAKEST_PAINTED) / _WHOLLY_MATCHED)


def with_noise(job: Job, share: float) -> str:
    """Return the start of ``job`` with noise in it, so that seeds give different paintings.

    Args:
        job: in any mode.
        share: of noise in a start without any, in (0, 1).

    Raises:
        SettingsError: it starts from the user's own picture.
    """
    start = str(complete(job, job.settings).start)
    shares = None if job.start_image is not None else parse_start(start)
    if shares is None:
        raise SettingsError(
            "seeds: expected a start that noise can be mixed into, got a picture; leave out start"
        )
    if "noise" in shares:
        return start
    parts = {name: part * (1 - share) for name, part in shares.items()} | {"noise": share}
    return ",".join(f"{name}={part:.6g}" for name, part in parts.items())


def _default_start(terms: Terms, strength: float) -> str:
    """Return the default start; at low strength it keeps some of the photograph's colours."""
    matched = matched_share(strength)
    if not terms.both or matched == 1:
        return terms.start
    return f"matched={matched:.6g},content={1 - matched:.6g}"

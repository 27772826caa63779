"""How a picture was made, as data: written into its file, read back, and painted again.

A recipe that is read may come from a stranger. It is data and no more: bounded in size, of
known fields with known bounds, and it names no file that would be opened.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, field_validator

import impasto
from impasto.config.affects import as_before
from impasto.config.film_settings import FilmSettings
from impasto.config.initialization import STARTS, parse_start
from impasto.config.registry import REGISTRIES, package_of, qualified_name
from impasto.config.settings import Mode, Settings
from impasto.errors import ImageError, one_line
from impasto.job.hashes import LONGEST_NAME, InputHashes, Name, Sha256, StrictOptions
from impasto.job.job import JobSpec
from impasto.job.loss_term import LossTerm

FORMAT: Literal[1] = 1
MOST_CHARACTERS = 2**18

Precision = Literal["fp32", "bf16", "fp16", "int8"]


class Versions(StrictOptions):
    """What painted the picture."""

    impasto: Name
    torch: Name
    python: Name


class InstalledPart(StrictOptions):
    """A statistic, an optimiser or a network that a package brought, and that package.

    ``option`` is the option that names it.
    """

    option: Name
    name: Name
    package: Name
    version: Name


class RecordedTerm(StrictOptions):
    """A loss of the user's own: its name and weight, its function, and the package of that.

    ``version`` is ``unknown`` if the function comes from no installed package.
    """

    name: Name
    weight: float
    function: Name
    package: Name
    version: Name

    @classmethod
    def of(cls, name: str, term: LossTerm) -> RecordedTerm:
        """Describe a term."""
        package, version = package_of(term.function)
        return cls(
            name=name[:LONGEST_NAME],
            weight=float(term.weight),
            function=qualified_name(term.function)[:LONGEST_NAME],
            package=package[:LONGEST_NAME],
            version=version,
        )


class Change(StrictOptions):
    """A change of settings while the painting was under way, after so many steps.

    ``alpha`` and ``beta`` are what the strength came to then, if one is in force, and
    ``opacity`` how far the painting covers the photograph, if not wholly.
    """

    after: int = Field(ge=0)
    settings: dict[Name, JsonValue]
    alpha: float | None = Field(default=None, ge=0)
    beta: float | None = Field(default=None, gt=0)
    opacity: float | None = Field(default=None, ge=0, lt=1)


class Budget(StrictOptions):
    """Another budget of memory, in bytes, after so many steps: because it had run out."""

    after: int = Field(ge=0)
    memory: int = Field(ge=1)


class Decisions(StrictOptions):
    """What was decided while painting: by the machine, or by who steered it.

    ``memory`` is the budget in bytes, if the painting had to be made to fit: tiles round
    otherwise and a shorter history descends otherwise. ``budgets`` are its changes under
    way, and ``changes`` those of settings. ``ranks`` is the number of processes, if several
    painted together: their sums round otherwise. ``alpha`` and ``beta`` are what the strength
    asked for came to, and ``opacity`` how far the painting covers the photograph, if not wholly:
    a small strength is a thin layer of paint. ``stopped_after`` is the last step of a painting
    that ended early.
    """

    precision: Precision
    device: str = Field(pattern=r"^(cpu|cuda|mps)$")
    threads: int = Field(ge=1, le=1024)
    memory: int | None = Field(default=None, ge=1)
    ranks: int | None = Field(default=None, ge=2, le=2**20)
    alpha: float | None = Field(default=None, ge=0)
    beta: float | None = Field(default=None, gt=0)
    opacity: float | None = Field(default=None, ge=0, lt=1)
    budgets: tuple[Budget, ...] = ()
    changes: tuple[Change, ...] = ()
    stopped_after: int | None = Field(default=None, ge=0)

    def anew(self, *, keep_weights: bool) -> Decisions:
        """Return what was decided before the first step alone, perhaps without the weights."""
        later: dict[str, Any] = {"budgets": (), "changes": (), "stopped_after": None}
        weights = {} if keep_weights else {"alpha": None, "beta": None, "opacity": None}
        return self.model_copy(update=later | weights)


class Recipe(StrictOptions):
    """Everything that decides a picture.

    Attributes:
        format: of the recipe itself.
        mode: ``style_transfer``, ``content`` or ``style``.
        settings: with what they left to the mode filled in, among them seed and network.
        weights_sha256: of the network's weights file.
        versions: what painted it.
        decisions: what was decided at run time.
        inputs: what it was painted from.
        parts: what was used that does not come with impasto.
        terms: losses of the user's own; only a Python program can repeat them.
    """

    format: Literal[1] = FORMAT
    mode: Mode
    settings: Settings
    weights_sha256: Sha256 | None
    versions: Versions
    decisions: Decisions
    inputs: InputHashes
    parts: tuple[InstalledPart, ...] = Field(default=(), max_length=len(REGISTRIES))
    terms: tuple[RecordedTerm, ...] = Field(default=(), max_length=100)

    @field_validator("settings", mode="before")
    @classmethod
    def _read_former(cls, settings: Any) -> Any:
        """Read an option that the recipe lacks with the value that it had before it existed."""
        return {**as_before(Settings), **settings} if isinstance(settings, dict) else settings

    @field_validator("settings")
    @classmethod
    def _name_no_file(cls, settings: Settings) -> Settings:
        if settings.start is not None and parse_start(settings.start) is None:
            raise ValueError(f"expected start to be one of {', '.join(STARTS)}, a blend, or none")
        if settings.region is not None:
            raise ValueError("expected no region: those painted stand among the inputs")
        return settings

    @property
    def spec(self) -> JobSpec:
        """The job; its pictures have names and hashes, and no paths."""
        return JobSpec.from_hashes(self.mode, self.inputs, self.settings)

    def text(self, *, indent: int | None = None) -> str:
        """Write as JSON, in ASCII."""
        return self.model_dump_json(indent=indent, ensure_ascii=True)


class FilmRecipe(Recipe):
    """Everything that decides a film.

    The content is the film that was painted, and its hash is that of all its files together; so is
    the hash of a mask that moves. The decisions are those of the last shot.

    Attributes:
        film: the options of a film.
    """

    film: FilmSettings


def parse(text: str, label: str) -> Recipe:
    """Read a recipe from JSON; that of a film is a FilmRecipe.

    Args:
        text: what :meth:`Recipe.text` wrote, or anything.
        label: the picture's name in messages.

    Raises:
        ImageError: too long, no JSON, of another format, or with a field that is absent,
            unknown, of another type or out of bounds.
    """
    if len(text) > MOST_CHARACTERS:
        raise _damaged(label, f"it has {len(text)} characters, at most {MOST_CHARACTERS} are read")
    try:
        return _validated(text)
    except ValidationError as error:
        fault = error.errors(include_context=False)[0]
    if fault["loc"] == ("format",) and isinstance(fault["input"], int):
        raise ImageError(
            f"{label} has a recipe of format {one_line(fault['input'])}: expected {FORMAT}; a "
            "newer impasto reads it"
        )
    if missing := missing_part(fault, text):
        raise ImageError(f"{label} cannot be painted again: {missing}")
    field = ".".join(str(part) for part in fault["loc"])
    raise _damaged(label, f"{field}: {fault['msg']}" if field else str(fault["msg"]))


def _validated(text: str) -> Recipe:
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        # A picture's recipe has no such field.
        if all(fault["loc"] != ("film",) for fault in error.errors(include_context=False)):
            raise
    return FilmRecipe.model_validate_json(text)


def missing_part(fault: Any, text: str) -> str | None:
    """Say which part a recipe needs that is not installed; None for any other fault.

    Args:
        fault: the first of pydantic's errors, for a document that holds a recipe.
        text: that document, JSON of bounded size.
    """
    location = tuple(fault["loc"])
    if len(location) < 2:
        return None
    *outer, section, option = location
    name = fault["input"]
    options = {registry.option for registry in REGISTRIES}
    if section != "settings" or option not in options or not isinstance(name, str):
        return None
    document: Any = json.loads(text)
    for key in outer:
        document = document[key]
    package = "a package that it does not name"
    needed = "which is not installed here; install that package"
    parts = document.get("parts")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and (part.get("option"), part.get("name")) == (option, name):
            package = f"{part.get('package')} {part.get('version')}"
            if part.get("version") == "unknown":
                package = f"the module {part.get('package')}"
                needed = "which is not registered here; repeat it in the program that painted it"
    return one_line(f"it needs the {option} {name!r} of {package}, {needed}")


def read(source: str | os.PathLike[str] | bytes, *, file_name: str | None = None) -> Recipe:
    """Read the recipe that a picture file carries.

    Args:
        source: the file's path, or its bytes.
        file_name: of the file that bytes come from, if it is known.

    Raises:
        ImageError: no picture, one without a recipe, or one whose recipe is damaged.
    """
    from impasto.images.picture import label_of_bytes, read_metadata

    is_bytes = isinstance(source, bytes)
    label = label_of_bytes(file_name) if is_bytes else repr(os.fspath(source))
    return read_texts(read_metadata(source, file_name=file_name), label)


def read_texts(texts: Mapping[str, str], label: str) -> Recipe:
    """Read the recipe among the texts that a file carries.

    Args:
        texts: by name.
        label: the file's name in messages.

    Raises:
        ImageError: there is none, or it is damaged.
    """
    if "Recipe" not in texts:
        raise ImageError(
            f"{label} has no recipe: expected one as impasto wrote it; editing or sending may "
            "strip what is beside the pixels"
        )
    return parse(texts["Recipe"], label)


def versions() -> Versions:
    """Return the versions of what is running."""
    import torch

    return Versions(
        impasto=impasto.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
    )


def parts(settings: Settings) -> tuple[InstalledPart, ...]:
    """List the parts that ``settings`` name and that do not come with impasto."""
    named = [registry.part(getattr(settings, registry.option)) for registry in REGISTRIES]
    return tuple(
        InstalledPart(
            option=registry.option,
            name=part.name,
            package=part.package,
            version=part.version or "",
        )
        for registry, part in zip(REGISTRIES, named, strict=True)
        if not part.is_builtin
    )


def _damaged(label: str, reason: str) -> ImageError:
    return ImageError(
        f"{label} has a recipe that cannot be read ({one_line(reason)}): expected one as impasto "
        "wrote it; take the picture from where it was painted"
    )

"""The parts that an option names: style statistics, optimisers and networks.

A registry maps a name to ``module:attribute``. It lists the built-in parts and those that
installed packages declare as entry points, and imports a part only when it is used: no torch is
needed to list the names, to check one, or to print a help text.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from impasto.errors import MissingPackageError, one_line

PACKAGE = "impasto"


@dataclass(frozen=True)
class Part:
    """One registered part.

    Attributes:
        name: the option's value.
        target: ``module:attribute``.
        package: the distribution that contains it.
        version: version of that distribution; None for a built-in part.
    """

    name: str
    target: str
    package: str = PACKAGE
    version: str | None = None

    @property
    def is_builtin(self) -> bool:
        """Whether it is a part of impasto itself."""
        return self.version is None


@dataclass(frozen=True)
class Registry:
    """The parts that one option can name.

    Attributes:
        option: the option's name, which also names the kind of part in messages.
        group: the group of entry points for the parts of other packages.
        builtin: targets of the built-in parts, by name. Other packages cannot replace them.
        aliases: other names of built-in parts; they are accepted, but never written.
    """

    option: str
    group: str
    builtin: dict[str, str]
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def names(self) -> tuple[str, ...]:
        """Return all names: the built-in ones first, then those of installed packages."""
        return tuple(dict.fromkeys([*self.builtin, *sorted(_declared(self.group))]))

    def resolve(self, name: str) -> str:
        """Return the registered name for ``name``, which may be an alias.

        Raises:
            ValueError: there is no such part.
        """
        name = self.aliases.get(name, name)
        if name not in self.builtin and name not in _declared(self.group):
            *others, last = [repr(known) for known in self.names()]
            known = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(
                f"expected {known}, got {one_line(repr(name))}; choose one of them, or install "
                "the package that brings it"
            )
        return name

    def part(self, name: str) -> Part:
        """Return the part called ``name``, without importing it.

        Raises:
            ValueError: there is no such part.
        """
        name = self.resolve(name)
        if name in self.builtin:
            return Part(name, self.builtin[name])
        point = _declared(self.group)[name]
        distribution = point.dist
        if distribution is None:
            return Part(name, point.value, "an unknown package", "unknown")
        return Part(name, point.value, distribution.name, distribution.version)

    def load(self, name: str) -> Any:
        """Import the part called ``name`` and return it.

        Raises:
            ValueError: there is no such part.
            MissingPackageError: it is declared, and its module cannot be imported.
        """
        part = self.part(name)
        module, _, attribute = part.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if part.is_builtin:
                raise
            raise MissingPackageError(
                f"{self.option} {name!r}: expected {part.target} in {part.package} "
                f"{part.version}, got {one_line(error)}; reinstall that package"
            ) from error


@cache
def _declared_on(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _declared(group: str) -> Mapping[str, EntryPoint]:
    """Return the parts of a group of entry points; the cache depends on ``sys.path``."""
    return _declared_on(group, tuple(sys.path))


NETWORKS = Registry(
    "network",
    "impasto.networks",
    {"vgg16": "impasto.config.networks:VGG16", "vgg19": "impasto.config.networks:VGG19"},
)
STATISTICS = Registry(
    "statistic",
    "impasto.statistics",
    {
        "gram": "impasto.losses.style:Gram",
        "mean+covariance": "impasto.losses.style:MeanCovariance",
        "gram+mean+std": "impasto.losses.style:GramMeanStd",
        "neighbours": "impasto.losses.neighbours:Neighbours",
    },
    aliases=MappingProxyType({"moments": "mean+covariance"}),
)
OPTIMISERS = Registry(
    "optimiser",
    "impasto.optimisers",
    {"lbfgs": "impasto.optim.lbfgs:Lbfgs", "adam": "impasto.optim.adam:Adam"},
)
REGISTRIES = (NETWORKS, STATISTICS, OPTIMISERS)


class NameIn:
    """Annotation of a string that names a part: it is checked against a registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check that the string names a part, and replace an alias by the name."""
        return core_schema.no_info_after_validator_function(self.registry.resolve, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the names to the schema as choices."""
        return {**handler(schema), "enum": list(self.registry.names())}


def choices_of(option: FieldInfo) -> tuple[str, ...] | None:
    """Return the choices of a field; None if it also takes other values."""
    for annotation in option.metadata:
        if isinstance(annotation, NameIn):
            return annotation.registry.names()
    kind = option.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind, *_ = [part for part in get_args(kind) if part is not type(None)]
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else None

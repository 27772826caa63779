"""The parts that an option names: style statistics, optimisers and networks.

A registry maps a name to ``module:attribute``. It lists the built-in parts and those that
installed packages declare as entry points, and imports a part only when it is used: no torch is
needed to list the names, to check one, or to print a help text. A running program can register
parts of its own too.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import (
    EntryPoint,
    distribution,
    entry_points,
    packages_distributions,
)
from types import MappingProxyType
from typing import Any, Literal, Union, get_args, get_origin
from weakref import WeakValueDictionary

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from impasto.errors import MissingPackageError, SettingsError, one_line, short_repr

PACKAGE = "impasto"
# Such as gram+mean+std: a name is a word on the command line.
_NAME = re.compile(r"[A-Za-z][\w.+@-]{0,99}")


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
    _own: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lent: WeakValueDictionary[str, Any] = field(
        default_factory=WeakValueDictionary, init=False, repr=False, compare=False
    )

    def names(self) -> tuple[str, ...]:
        """Return all names: the built-in ones, then those of packages and of this program."""
        declared = sorted(_declared(self.group))
        return tuple(dict.fromkeys([*self.builtin, *declared, *self._own, *self._lent]))

    def register(self, name: str, part: Any) -> str:
        """Add a part of this program, or replace one; return its name.

        Raises:
            SettingsError: the name is not a word, or a part of impasto has it.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SettingsError(
                f"expected the name of a {self.option} as one word of letters and digits, got "
                f"{short_repr(name)}; choose another"
            )
        if name in self.builtin or name in self.aliases:
            raise SettingsError(
                f"expected a new name of a {self.option}, got {name!r}, which impasto has itself; "
                "choose another"
            )
        self._own[name] = part
        return name

    def lend(self, name: str, part: Any) -> str:
        """Add a part as long as anything else refers to it; return its name.

        Recipes name the package of its attribute ``origin``.
        """
        self._lent[name] = part
        return name

    def resolve(self, name: str) -> str:
        """Return the registered name for ``name``, which may be an alias.

        Raises:
            ValueError: there is no such part.
        """
        name = self.aliases.get(name, name)
        known_parts = (self.builtin, self._own, self._lent, _declared(self.group))
        if not any(name in parts for parts in known_parts):
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
        if name in self._own or name in self._lent:
            part = self.load(name)
            origin = getattr(part, "origin", part)
            return Part(name, qualified_name(origin), *package_of(origin))
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
        name = self.resolve(name)
        if name in self._own:
            return self._own[name]
        if name in self._lent:
            return self._lent[name]
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


def qualified_name(part: Any) -> str:
    """Return ``module:attribute`` of a class or a function, or of the class of an object."""
    named = part if hasattr(part, "__qualname__") else type(part)
    return f"{named.__module__}:{named.__qualname__}"


def package_of(part: Any) -> tuple[str, str]:
    """Return the distribution that a class or function comes from, and its version.

    If it comes from no installed package, the name is that of its module, and the version
    ``unknown``.
    """
    module = qualified_name(part).partition(":")[0]
    names = _distributions(tuple(sys.path)).get(module.partition(".")[0])
    return (names[0], distribution(names[0]).version) if names else (module, "unknown")


@cache
def _distributions(path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Return the distributions by the top-level modules that they contain, from ``sys.path``."""
    return packages_distributions()


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

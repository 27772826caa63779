"""How options are checked, and what the error says about a wrong one."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from impasto.errors import SettingsError, one_line, short_repr

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # which has no public name


class _OptionsClass(ModelMetaclass):
    """Lets the constructor raise SettingsError, with the same message as every front end."""

    if not TYPE_CHECKING:  # the constructor has the types of the fields

        def __call__(self, *arguments, **options):
            """Construct; pydantic's own error when a file is read does not pass here."""
            try:
                return super().__call__(*arguments, **options)
            except ValidationError as error:
                raise _refusal(self, error) from None


class Options(BaseModel, metaclass=_OptionsClass):
    """A group of options: frozen, strict about names, and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


SomeOptions = TypeVar("SomeOptions", bound=Options)


# American spellings are accepted, but never written.
AMERICAN = {"color": "colour", "optimizer": "optimiser"}


def british(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` with American names replaced by the British ones.

    Raises:
        SettingsError: an option is there in both spellings.

    Example:
        >>> british({"color": "keep"})
        {'colour': 'keep'}
    """
    for american, name in AMERICAN.items():
        if american in options and name in options:
            raise SettingsError(f"{name}: expected {name} or {american}, got both; leave one out")
    return {AMERICAN.get(name, name): value for name, value in options.items()}


def unknown_option(name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown option ``name``, with similar ``known`` ones.

    Example:
        >>> unknown_option("siz", ["size", "seed"])
        "no option 'siz': did you mean size?"
    """
    alike = difflib.get_close_matches(name[:100].lower().replace("-", "_"), list(known), cutoff=0.7)
    if alike:
        return f"no option {short_repr(name)}: did you mean {' or '.join(alike)}?"
    return (
        f"no option {short_repr(name)}: expected one that impasto transfer --help-all lists; check "
        "its name"
    )


def check(model: type[SomeOptions], options: dict[str, Any]) -> SomeOptions:
    """Check ``options`` as fields of ``model``.

    Raises:
        SettingsError: an unknown option, or a value out of its bounds.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        raise _refusal(model, error) from None


def _refusal(model: type[BaseModel], error: ValidationError) -> SettingsError:
    faults = "; ".join(_explain(model, fault) for fault in error.errors())
    return SettingsError(one_line(faults, longest=1000))


def _explain(model: type[BaseModel], fault: Any) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return unknown_option(name, model.model_fields)
    if fault["type"] == "value_error":
        # A message of this project says already which value it got.
        message = str(fault["ctx"]["error"])
        return f"{name}: {message}" if name else message
    return f"{name}: expected {_expected(model, fault)}, got {short_repr(fault['input'])}"


def _expected(model: type[BaseModel], fault: Any) -> str:
    if fault["type"] == "string_pattern_mismatch":
        examples = model.model_fields[fault["loc"][0]].examples or ()
        return f"something like {' or '.join(examples)}"
    wording: str = fault["msg"].partition(", unable")[0].partition(", got")[0]
    wording = wording.removeprefix("Input should be ").removeprefix("String should have ")
    return f"a number {wording}" if wording.startswith(("greater", "less")) else wording

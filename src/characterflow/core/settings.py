"""Settings on their way from a rule to its script: frozen dataclasses, written and read here as JSON."""

import dataclasses
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from characterflow.core.errors import UserError
from characterflow.core.files import canonical_json

Settings = TypeVar("Settings")
_adapter: Any = cache(TypeAdapter)


def read_settings(kind: type[Settings], value: Any) -> Settings:
    """The settings in a parsed JSON object; absent keys have the defaults of the dataclass.

    Raises UserError for a key that is unknown or missing, and for a value of another type.
    """
    if not isinstance(value, dict):
        raise UserError(f"settings: expected a JSON object, found {type(value).__name__}")
    try:
        settings = _adapter(kind).validate_json(canonical_json(value), strict=True)
    except ValidationError as error:
        raise UserError(f"settings: {_explained(error)}") from None
    unknown = _unknown(value, _plain(settings))
    if unknown:
        known = ", ".join(sorted(field.name for field in dataclasses.fields(kind)))  # type: ignore[arg-type]
        raise UserError(f"settings: unknown key {unknown!r}, expected one of {known}")
    return settings


def settings_json(settings: Any) -> str:
    """Canonical JSON of a dataclass, equal for equal settings; UserError for a value of another type."""
    return canonical_json(_plain(read_settings(type(settings), _plain(settings))))


def _plain(settings: Any) -> Any:
    return _adapter(type(settings)).dump_python(settings, mode="json", warnings=False)


def _explained(error: ValidationError) -> str:
    """The first fault: which key, and what was expected."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"] if not isinstance(part, str) or part.isidentifier())
    if fault["type"] == "missing":
        return f"lacks the key {key!r}"
    return f"{key}: {fault['msg']}, found {fault['input']!r}"


def _unknown(given: Any, kept: Any) -> str:
    """The first key, with the keys above it, that the dataclass did not take; "" where it took all."""
    if isinstance(given, list) and isinstance(kept, list):
        return next(filter(None, map(_unknown, given, kept)), "")
    if not isinstance(given, dict) or not isinstance(kept, dict):
        return ""
    for key, value in given.items():
        if key not in kept:
            return key
        inner = _unknown(value, kept[key])
        if inner:
            return f"{key}.{inner}"
    return ""

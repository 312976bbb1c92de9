"""Validation against a JSON schema: defaults put in, faults in one line that names file and key."""

import difflib
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from characterflow.configuration.yaml import read_yaml
from characterflow.core.errors import UserError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Settings = dict[str, Any]
Keys = tuple[Any, ...]
Where = Callable[[Keys], str]  # the file that holds a key, by the key's path
SCHEMAS = Path(__file__).parents[3] / "config" / "schemas"


@functools.cache
def load_schema(name: str) -> Settings:
    return read_yaml(SCHEMAS / f"{name}.schema.yaml")


def validate(value: Any, schema: Settings, where: Any) -> Any:
    """The value with the schema's defaults; UserError for the first fault.

    where: maps the path of a key to the name of the file that holds it.
    """
    from jsonschema import Draft202012Validator  # lighteval's environment has none

    errors = sorted(
        Draft202012Validator(schema).iter_errors(value), key=lambda error: len(error.absolute_path)
    )
    if errors:
        error = _deepest(errors[0])
        path, message = _explain(error)
        raise UserError(f"{where(path)}: {'.'.join(map(str, path)) or 'top level'}: {message}")
    _check_finite(value, (), where)
    return fill_defaults(value, schema, schema)


def _check_finite(value: Any, path: tuple[Any, ...], where: Any) -> None:
    """JSON Schema's bounds let NaN through; UserError for it and for infinity."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _check_finite(inner, (*path, key), where)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where(path)}: {'.'.join(map(str, path))}: expected a finite number, found {value}")


def _deepest(error: "ValidationError") -> "ValidationError":
    """Of a failed oneOf, the fault in the alternative that the value resembles most."""
    if error.validator != "oneOf" or not error.context or not isinstance(error.instance, dict):
        return error
    alternatives: dict[int, list[ValidationError]] = {}
    for inner in error.context:
        alternatives.setdefault(int(inner.schema_path[0]), []).append(inner)
    schemas = error.validator_value
    resembling = [
        i for i, schema in enumerate(schemas) if set(schema.get("required", [])[:1]) & error.instance.keys()
    ]
    if len(resembling) == 1 and resembling[0] in alternatives:
        return _deepest(alternatives[resembling[0]][0])
    return error


def _explain(error: "ValidationError") -> tuple[tuple[Any, ...], str]:
    """The path of the faulty key, and what is wrong with it."""
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(set(error.instance) - set(known))[0]
        expected = suggestion(unknown, known) or f"; expected one of {', '.join(sorted(known))}"
        return (*path, unknown), f"unknown key{expected}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return (*path, missing), "missing; this key is needed"
    if error.validator == "oneOf":
        heads = [schema["required"] for schema in error.validator_value if "required" in schema]
        if heads:
            return path, f"expected {' or '.join(' with '.join(head) for head in heads)}"
    if "propertyNames" in error.absolute_schema_path:
        return path, f"{error.instance!r} is not a name that fits a path"
    return path, f"{_wanted(error)}, found {error.instance!r}{_number_hint(error)}"


def _wanted(error: "ValidationError") -> str:
    wanted = error.validator_value
    described = error.schema.get("description", f"a text that matches {wanted}")
    texts = {
        "type": f"expected {_joined(wanted, ' or ')}",
        "enum": f"expected one of {_joined(wanted, ', ')}",
        "oneOf": f"expected {described}",
        "minimum": f"expected at least {wanted}",
        "maximum": f"expected at most {wanted}",
        "exclusiveMinimum": f"expected more than {wanted}",
        "exclusiveMaximum": f"expected less than {wanted}",
        "multipleOf": f"expected a multiple of {wanted}",
        "minItems": f"expected at least {wanted} entries",
        "uniqueItems": "expected no entry twice",
        "pattern": f"expected {described}",
        "minLength": "expected a text with content",
    }
    return texts.get(str(error.validator), error.message)


def _joined(values: Any, separator: str) -> str:
    return separator.join(map(str, values)) if isinstance(values, list) else str(values)


def _number_hint(error: "ValidationError") -> str:
    """YAML reads 5e-4 as a text; a number needs the decimal point."""
    try:
        is_number = (
            error.validator == "type"
            and isinstance(error.instance, str)
            and "e" in error.instance.lower()
            and float(error.instance) is not None
        )
    except ValueError:
        return ""
    return " (YAML wants a decimal point: 5.0e-4)" if is_number else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def fill_defaults(value: Any, schema: Settings, root: Settings) -> Any:
    """A copy of a valid value with the schema's defaults put in, nested ones too."""
    schema = _resolve(schema, root)
    if isinstance(value, list) and "items" in schema:
        return [fill_defaults(item, schema["items"], root) for item in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for key, inner in _properties(schema, value):
        if key not in result and "default" in _resolve(inner, root):
            result[key] = _resolve(inner, root)["default"]
        if key in result:
            result[key] = fill_defaults(_over_default(result[key], _resolve(inner, root)), inner, root)
    return result


def _properties(schema: Settings, value: Settings) -> Iterator[tuple[str, Settings]]:
    yield from schema.get("properties", {}).items()
    for alternative in schema.get("oneOf", []):
        if set(alternative.get("required", [])) <= value.keys():
            yield from alternative.get("properties", {}).items()
    if isinstance(schema.get("additionalProperties"), dict):
        for key in value:
            yield key, schema["additionalProperties"]


def _over_default(value: Any, schema: Settings) -> Any:
    """A mapping that is given in part keeps the default's other keys, unless its form has alternatives."""
    default = schema.get("default")
    if isinstance(value, dict) and isinstance(default, dict) and "oneOf" not in schema:
        return {**default, **value}
    return value


def _resolve(schema: Settings, root: Settings) -> Settings:
    """A schema with its reference followed; keys beside the reference win."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**_resolve(target, root), **without(schema, "$ref")}


def name_finder(files: list[Path]) -> Any:
    """Maps a key's path to the last configuration file that holds it."""
    contents = [(file, read_yaml(file)) for file in files]

    def find(path: tuple[Any, ...]) -> str:
        for length in range(len(path), 0, -1):
            for file, content in reversed(contents):
                if _has(content, path[:length]):
                    return str(file)
        return str(files[-1]) if files else "configuration"

    return find


def _has(content: Any, path: tuple[Any, ...]) -> bool:
    for key in path:
        keys = range(len(content)) if isinstance(content, list) else content
        if not isinstance(content, dict | list) or key not in keys:
            return False
        content = content[key]
    return True


def without(mapping: Settings, key: str) -> Settings:
    return {name: value for name, value in mapping.items() if name != key}


def check_placeholders(text: str, known: tuple[str, ...], keys: Keys, where: Where) -> None:
    """UserError where a value has another placeholder than the known ones."""
    odd = [part for part in re.findall(r"\{\w*\}", text) if part not in known]
    if odd:
        raise UserError(f"{where(keys)}: {'.'.join(keys)}: expected {' or '.join(known)}, found {odd[0]}")

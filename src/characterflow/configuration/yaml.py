"""YAML files, with a place for every fault."""

import math
from pathlib import Path
from typing import Any

import yaml

from characterflow.core.errors import UserError
from characterflow.core.files import read_text

LARGEST_DOCUMENT = 100_000  # values in a YAML file


def read_yaml(path: Path) -> Any:
    """A YAML document; UserError with file and line where it cannot be parsed or repeats a key."""
    text = read_text(path)
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML (nested too deeply)") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with a place for every fault, and without what makes a document explode.

    By itself it lets a second key of the same name win, raises any exception for a scalar that does not fit
    its tag, such as the date 2001-99-99, and builds whatever aliases of aliases come to.
    """

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _expanded(node, {}) > LARGEST_DOCUMENT:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {LARGEST_DOCUMENT} values, with aliases put in", node.start_mark
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()
            return value
        except (ValueError, LookupError, AttributeError, TypeError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"expected a value of type {kind}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"expected a text as key, found a {type(key).__name__}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _expanded(node: yaml.Node, sizes: dict[int, float]) -> float:
    """How many values a node has when its aliases are put in; infinite where it holds itself."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        sizes[id(node)] = 1 + sum(_expanded(part, sizes) for part in parts)
    return sizes[id(node)]

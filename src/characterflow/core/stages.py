"""The packages of the stages, found by what they hold: no other file lists them."""

import importlib
import pkgutil
from importlib.util import find_spec
from math import inf
from types import ModuleType


def modules(package: str, name: str) -> list[ModuleType]:
    """The modules `name` of all packages right below a package, by their POSITION; those without one last.

    characterflow.core.meaning knows this function: what calls it depends on all these modules.
    """
    parent = importlib.import_module(package)
    found = []
    for entry in pkgutil.iter_modules(parent.__path__):
        place = f"{package}.{entry.name}.{name}"
        if entry.ispkg and find_spec(place):
            found.append(importlib.import_module(place))
    return sorted(found, key=lambda module: (getattr(module, "POSITION", inf), module.__name__))

"""Finding what the stages bring along: a module of one name in every package below another."""

import importlib
import importlib.util
import pkgutil
from types import ModuleType


def modules(package: str, name: str) -> list[ModuleType]:
    """The modules package.*.name, imported: by their POSITION, those without one last, and then by name.

    Call it with two literal texts: core.meaning reads them in the code, so that a script depends on all these
    modules.
    """
    path = importlib.import_module(package).__path__
    names = [f"{package}.{inner.name}.{name}" for inner in pkgutil.iter_modules(path) if inner.ispkg]
    found = [importlib.import_module(full) for full in names if importlib.util.find_spec(full)]
    return sorted(found, key=lambda module: (getattr(module, "POSITION", float("inf")), module.__name__))

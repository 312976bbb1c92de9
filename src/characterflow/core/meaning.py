"""A digest of the code behind an artifact, so that Snakemake notices when its meaning may have changed.

Snakemake does not see edits in imported modules. Each rule therefore has a parameter that digests its
script and every characterflow module that the script imports, directly or not. Docstrings, comments,
formatting, progress lines and the texts of errors do not count.
"""

import ast
import functools
from pathlib import Path

from characterflow.core.files import text_digest

PACKAGE = "characterflow"
ROOT = Path(__file__).parents[1]
IGNORED = {"core/job.py", "core/errors.py", "core/meaning.py"}


def code_digest(script: Path) -> str:
    """Digest (16 hex digits) of a script and of the package's modules that it uses."""
    files = sorted(_reachable(script))
    parts = [f"{path.name}:{_read(path)[1]}" for path in files]
    return text_digest("\n".join(parts))[:16]


def _reachable(script: Path) -> set[Path]:
    """The script and all modules of the package that it imports, transitively.

    Modules that only carry messages and start-up (job, errors) are left out: they change no artifact.
    """
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in found or path in {ROOT / name for name in IGNORED}:
            continue
        found.add(path)
        waiting.extend(_read(path)[0])
    return found


@functools.cache
def _read(path: Path) -> tuple[list[Path], str]:
    """The package's modules that a file imports, and the file's normalised code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return _imports(tree), ast.dump(_Meaning().visit(tree))


def _imports(tree: ast.Module) -> list[Path]:
    files = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            files += [_module_file(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            files.append(_module_file(node.module))
            files += [_module_file(f"{node.module}.{alias.name}") for alias in node.names]
    return [file for file in files if file]


def _module_file(name: str) -> Path | None:
    """The file of a module of this package, or None for any other."""
    first, *rest = name.split(".")
    if first != PACKAGE:
        return None
    path = ROOT.joinpath(*rest)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class _Meaning(ast.NodeTransformer):
    """Leaves out what a person reads: docstrings, progress lines, the texts of errors."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        value = node.value
        is_docstring = isinstance(value, ast.Constant) and isinstance(value.value, str)
        is_progress = isinstance(value, ast.Call) and getattr(value.func, "id", "") == "progress"
        return ast.Pass() if is_docstring or is_progress else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise()

"""What the code behind an artifact means, so that Snakemake reruns what a change of code alters, and no more.

Snakemake does not see edits in imported modules. Each rule therefore has a parameter that stands for its
script and every characterflow module that the script imports, directly or not: a name, under which the file
scripts/meanings.txt lists the digests of code that was found to make the same artifact, or the digest itself
where the file does not list it. `make meanings` writes the file.

Docstrings, comments, formatting, progress lines and the texts of errors do not count. A digest depends on
neither the version of Python nor the place of the repository.
"""

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characterflow.core.errors import UserError
from characterflow.core.files import canonical_json, read_text, text_digest

PACKAGE = "characterflow"
SOURCE = "src"
FILE = "meanings.txt"
HEADER = """\
# What each script's code means: script, meaning, and a digest of code that makes the same artifact.
# vouched: a person said so, nobody compared. `make meanings` writes this file.
"""
VOUCHED = "vouched"
LINE = re.compile(rf"(\w+) ([\w-]+) ([0-9a-f]{{16}})(?: ({VOUCHED}))?")
IGNORED = {"core/job.py", "core/errors.py", "core/meaning.py"}
STAGES = "core/stages.py"


@dataclass(frozen=True)
class Meaning:
    """A name, and the digests that it stands for: each with "vouched", or with "" where it was compared."""

    name: str
    digests: dict[str, str]


def meaning(script: Path) -> str:
    """The name of what a script's code means, or the code's digest where no name is known for it.

    Raises UserError for a faulty file of meanings.
    """
    digest = code_digest(script)
    known = read_meanings(script.with_name(FILE)).get(script.stem)
    return known.name if known and digest in known.digests else digest


def unlisted(root: Path) -> list[str]:
    """The scripts of a repository whose code its file of meanings does not list."""
    scripts = sorted((root / "scripts").glob("*.py"))
    return [script.stem for script in scripts if meaning(script) == code_digest(script)]


@functools.cache
def read_meanings(path: Path) -> dict[str, Meaning]:
    """The meaning of each script that the file lists; UserError with file and line for a faulty one."""
    found: dict[str, Meaning] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise UserError(
                f"{path}:{number}: expected a script, its meaning and a digest, found {line[:60]!r}"
            )
        script, name, digest, note = match.groups(default="")
        known = found.setdefault(script, Meaning(name, {}))
        if known.name != name:
            raise UserError(f"{path}:{number}: {script}: expected the meaning {known.name}, found {name}")
        known.digests[digest] = note
    return found


def meanings_text(meanings: dict[str, Meaning]) -> str:
    """The file's content, a digest a line."""
    lines = (
        f"{script} {known.name} {digest} {note}".strip()
        for script, known in sorted(meanings.items())
        for digest, note in known.digests.items()
    )
    return HEADER + "".join(f"{line}\n" for line in lines)


def code_digest(script: Path) -> str:
    """Digest (16 hex digits) of a script and of the package's modules that it uses.

    The script lies in scripts/, beside src/.
    """
    root = script.parents[1]
    parts = [[path.relative_to(root).as_posix(), code] for path, code in code_files(script).items()]
    return text_digest(canonical_json(sorted(parts)))[:16]


def code_files(script: Path) -> dict[Path, str]:
    """The script and all modules of the package that it imports, transitively, with digests of their code.

    Modules that only carry messages and start-up (job, errors) are left out: they change no artifact. So are
    those without code. A package's __init__.py counts where something is imported from it by name.
    """
    package = script.parents[1] / SOURCE / PACKAGE
    found: dict[Path, str] = {}
    seen = {package / name for name in IGNORED}
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        imported, code = _read(path, package)
        waiting.extend(imported)
        if code:
            found[path] = code
    return found


@functools.cache
def _read(path: Path, package: Path) -> tuple[list[Path], str]:
    """The package's modules that a file imports, and a digest of its code, "" where it has none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = _imports(tree, path, package)
    if package / STAGES in imported:
        imported += _stages(tree, path, package)
    code = parsed(tree)
    return imported, text_digest(canonical_json(code)) if tree.body else ""


def _imports(tree: ast.Module, path: Path, package: Path) -> list[Path]:
    files = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            files += [_module_file(alias.name, package) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path, package)
            files.append(_module_file(base, package))
            files += [_module_file(f"{base}.{alias.name}", package) for alias in node.names]
    return [file for file in files if file]


def _absolute(node: ast.ImportFrom, path: Path, package: Path) -> str:
    """What an import is from, from the top."""
    if not node.level:
        return node.module or ""
    parts = path.relative_to(package.parent).with_suffix("").parts[: -node.level]
    return ".".join([*parts, *filter(None, [node.module])])


def _stages(tree: ast.Module, path: Path, package: Path) -> list[Path]:
    """The files that calls of core.stages.modules find; UserError where they cannot be told."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == "modules"]
    files = []
    for call in calls:
        values = [getattr(argument, "value", None) for argument in call.args]
        if len(values) != 2 or call.keywords or not all(isinstance(value, str) for value in values):
            raise UserError(f'{path}:{call.lineno}: expected modules("PACKAGE", "NAME") with two texts')
        above, name = values
        folder = package.parent.joinpath(*str(above).split("."))
        names = [f"{above}.{inner.parent.name}.{name}" for inner in sorted(folder.glob("*/__init__.py"))]
        files += [_module_file(full, package) for full in names]
    if not calls:
        raise UserError(f'{path}: imports core.stages; expected a call of modules("PACKAGE", "NAME")')
    return [file for file in files if file]


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", "")


def _module_file(name: str, package: Path) -> Path | None:
    """The file of a module of this package, or None for any other."""
    first, *rest = name.split(".")
    if first != PACKAGE:
        return None
    path = package.joinpath(*rest)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def parsed(tree: ast.AST) -> Any:
    """Code as nested lists of what counts, equal under every version of Python; alters `tree`.

    ast.dump and ast.unparse would not be: the one shows other fields in other versions, the other quotes
    f-strings in another way since Python 3.12.
    """
    return _plain(_Meaning().visit(tree))


def _plain(value: Any) -> Any:
    if isinstance(value, ast.AST):
        fields = [[name, _plain(inner)] for name, inner in ast.iter_fields(value) if _counts(name, inner)]
        return [type(value).__name__, *fields]
    return list(map(_plain, value)) if isinstance(value, list) else ascii(value)


def _counts(name: str, value: Any) -> bool:
    """Whether a node's field says something: an empty one, and a type comment, need not be there."""
    return value is not None and value != [] and name not in ("ctx", "kind", "type_comment")


class _Meaning(ast.NodeTransformer):
    """Leaves out what a person reads: docstrings, progress lines, the texts of errors."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        value = node.value
        is_docstring = isinstance(value, ast.Constant) and isinstance(value.value, str)
        is_progress = isinstance(value, ast.Call) and _called(value) == "progress"
        return None if is_docstring or is_progress else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise()

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Without the empty text that Python 3.12 has at the end of some formats."""
        node.values = [part for part in node.values if getattr(part, "value", None) != ""]
        return self.generic_visit(node)

"""Which changed code a run has not gone through: equal artifacts say nothing about it."""

import ast
import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from characterflow.core.files import canonical_json
from characterflow.core.meaning import parsed

Lines = set[tuple[str, int]]  # (file, line), the file from the repository's root
# Without effect of their own: what is imported is compared where it stands, and errors make no artifact.
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
PASSED_OVER = (ast.Import, ast.ImportFrom, ast.Raise, ast.Pass, ast.Global, ast.Nonlocal)


@dataclass
class Statement:
    """One statement: its code, and its first and last line; of a block its head alone."""

    code: str
    first: int
    last: int


@dataclass
class Scope:
    """A module, a class or a function, without the functions and classes inside."""

    file: str
    name: str
    statements: list[Statement] = field(default_factory=list)

    @property
    def code(self) -> tuple[str, ...]:
        return tuple(statement.code for statement in self.statements)


def not_run(before: Path, after: Path, files: Iterable[str], lines: Lines) -> list[str]:
    """Places, as "file:line name", of code in the files that is new or changed and is not among the lines.

    before, after: roots of the repository, old and new. A function counts as unchanged where the same body
    stands anywhere in the old code, under any name. Of a changed one every changed statement must be run and,
    where it only lost some, any.
    """
    old = [scope for file in _python(before) for scope in scopes(before, file)]
    bodies = {scope.code for scope in old}
    named = {(scope.file, scope.name): scope for scope in old}
    moved = {scope.name: scope for scope in old if scope.name}
    found = []
    for scope in (scope for file in files for scope in scopes(after, file)):
        if scope.code in bodies or not scope.statements:
            continue
        was = named.get((scope.file, scope.name)) or moved.get(scope.name)
        for statement in _changed(scope, was):
            if not any((scope.file, line) in lines for line in range(statement.first, statement.last + 1)):
                found.append(f"{scope.file}:{statement.first} {scope.name}".rstrip())
                break
    return found


def _changed(scope: Scope, was: Scope | None) -> list[Statement]:
    """The statements that the scope did not have before; where it only lost some, its first."""
    before = Counter(was.code if was else ())
    changed = []
    for statement in scope.statements:
        if before[statement.code]:
            before[statement.code] -= 1
        else:
            changed.append(statement)
    return changed or scope.statements[:1]


def _python(root: Path) -> list[str]:
    paths = [*(root / "scripts").glob("*.py"), *(root / "src").rglob("*.py")]
    return sorted(path.relative_to(root).as_posix() for path in paths)


def scopes(root: Path, file: str) -> list[Scope]:
    """The scopes of a file, outer ones first."""
    found: list[Scope] = []
    _collect(ast.parse((root / file).read_text(encoding="utf-8")).body, Scope(file, ""), found)
    return found


def _collect(body: list[ast.stmt], scope: Scope, found: list[Scope]) -> None:
    found.append(scope)
    for node in _statements(body):
        if isinstance(node, FUNCTIONS | ast.ClassDef):
            inner = Scope(scope.file, f"{scope.name}.{node.name}".lstrip("."))
            if isinstance(node, FUNCTIONS):  # what it takes is run wherever any of it is
                inner.statements.append(
                    Statement(_code(node.args), node.body[0].lineno, node.end_lineno or 0)
                )
            _collect(node.body, inner, found)
        if not _passed_over(node):
            scope.statements.append(Statement(_code(_head(node)), *_lines(node)))


def _code(node: ast.AST) -> str:
    return canonical_json(parsed(node))


def _passed_over(node: ast.stmt) -> bool:
    """Whether a statement does nothing by itself, or speaks only to people."""
    declares = isinstance(node, ast.AnnAssign) and node.value is None
    speaks = isinstance(node, ast.Expr) and parsed(ast.Module([node], [])) == parsed(ast.Module([], []))
    return isinstance(node, PASSED_OVER) or declares or speaks


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block and of the blocks in it, but for blocks that end in an error."""
    if body and isinstance(body[-1], ast.Raise):
        return
    for node in body:
        yield node
        if not isinstance(node, FUNCTIONS | ast.ClassDef):
            for block in _blocks(node):
                yield from _statements(block)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks that belong to a statement, those of its handlers and cases too."""
    for _, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield value
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, ast.ExceptHandler | ast.match_case):
                    yield from _blocks(part)


def _head(node: ast.AST) -> ast.AST:
    """A copy of a statement without its blocks."""
    head = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            setattr(head, name, [])
        elif isinstance(value, list):
            inner = ast.ExceptHandler | ast.match_case
            setattr(head, name, [_head(part) if isinstance(part, inner) else part for part in value])
    return head


def _lines(node: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement's head."""
    blocks = [block for block in _blocks(node) if block]
    last = min((block[0].lineno for block in blocks), default=(node.end_lineno or node.lineno) + 1) - 1
    decorators = [decorator.lineno for decorator in getattr(node, "decorator_list", [])]
    return min([node.lineno, *decorators]), max(last, node.lineno)

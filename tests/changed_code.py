"""Which changed code a run has not gone through: equal artifacts say nothing about it.

What is new or changed is found by comparing statements, and marked: a copy of the code notes, while it runs,
which of these places it reaches.
"""

import ast
import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from characterflow.core.files import canonical_json
from characterflow.core.meaning import parsed

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
# Without effect of their own: what is imported is compared where it stands, and errors make no artifact.
PASSED_OVER = ast.Import | ast.ImportFrom | ast.Raise | ast.Pass | ast.Global | ast.Nonlocal
LEAVING = ast.Return | ast.Break | ast.Continue | ast.Yield | ast.YieldFrom
RECORDER = Path("src/reached.py")
RECORD = '''\
"""Notes which marked places are reached."""

from pathlib import Path

seen = set()


def reached(place):
    if place not in seen:
        seen.add(place)
        with Path(__file__).with_suffix(".txt").open("a") as file:
            file.write(f"{place}\\n")
'''


@dataclass(frozen=True)
class Place:
    """Where changed code begins: a statement, or the inside of a function.

    file: from the repository's root. scope: names of the class and function around it.
    """

    file: str
    line: int
    column: int
    scope: str
    inside: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.scope}".rstrip()


@dataclass
class Scope:
    """A module, a class or a function, without those inside: the code of each statement, and where it is."""

    file: str
    name: str
    statements: list[tuple[str, Place]] = field(default_factory=list)

    @property
    def code(self) -> tuple[str, ...]:
        return tuple(code for code, _ in self.statements)


def changed_places(before: Path, after: Path, files: Iterable[str]) -> list[Place]:
    """Where code of the files is new or changed, between two roots of the repository.

    A function counts as unchanged where the same body stands anywhere in the old code, under any name. Of a
    changed one it is every changed statement or, where it only lost some, its beginning.
    """
    old = [scope for file in _python(before) for scope in scopes(before, file)]
    bodies = {scope.code for scope in old}
    named = {(scope.file, scope.name): scope for scope in old}
    moved = {scope.name: scope for scope in old if scope.name}
    found = []
    for scope in (scope for file in sorted(files) for scope in scopes(after, file)):
        if scope.statements and scope.code not in bodies:
            found += _changed(scope, named.get((scope.file, scope.name)) or moved.get(scope.name))
    return found


def _changed(scope: Scope, was: Scope | None) -> list[Place]:
    before = Counter(was.code if was else ())
    places = []
    for code, place in scope.statements:
        if before[code]:
            before[code] -= 1
        else:
            places.append(place)
    return places or [scope.statements[0][1]]


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
            if isinstance(node, FUNCTIONS):
                entry = Place(scope.file, node.lineno, node.col_offset, inner.name, inside=True)
                inner.statements.append((_code(node.args), entry))
            _collect(node.body, inner, found)
        if not _passed_over(node):
            place = Place(scope.file, node.lineno, node.col_offset, scope.name)
            scope.statements.append((_code(_head(node)), place))


def _code(node: ast.AST) -> str:
    return canonical_json(parsed(node))


def _passed_over(node: ast.stmt) -> bool:
    """Whether a statement does nothing by itself, or speaks only to people."""
    declares = isinstance(node, ast.AnnAssign) and node.value is None
    speaks = isinstance(node, ast.Expr) and parsed(ast.Module([node], [])) == parsed(ast.Module([], []))
    return isinstance(node, PASSED_OVER) or declares or speaks


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block and of the blocks in it, but for those that can only end in an error."""
    for node in body:
        yield node
        if not isinstance(node, FUNCTIONS | ast.ClassDef):
            for block in _blocks(node):
                if not _fails(block):
                    yield from _statements(block)


def _fails(block: list[ast.stmt]) -> bool:
    """Whether nothing leaves a block but the error at its end."""
    inner = (node for statement in block for node in ast.walk(statement))
    return isinstance(block[-1], ast.Raise) and not any(isinstance(node, LEAVING) for node in inner)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks that belong to a statement, those of its handlers and cases too."""
    for _, value in ast.iter_fields(node):
        if _is_block(value):
            yield value
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, ast.ExceptHandler | ast.match_case):
                    yield from _blocks(part)


def _is_block(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], ast.stmt)


def _head(node: ast.AST) -> ast.AST:
    """A copy of a statement without its blocks."""
    head = copy.copy(node)
    for name, value in ast.iter_fields(node):
        if _is_block(value):
            setattr(head, name, [])
        elif isinstance(value, list):
            inner = ast.ExceptHandler | ast.match_case
            setattr(head, name, [_head(part) if isinstance(part, inner) else part for part in value])
    return head


# Which of the places a run reaches.


def mark(root: Path, places: Iterable[Place]) -> None:
    """Rewrite the files of a copy so that it notes the places that it reaches."""
    by_file: dict[str, dict[tuple[int, int, bool], Place]] = defaultdict(dict)
    for place in places:
        by_file[place.file][place.line, place.column, place.inside] = place
    for file, own in by_file.items():
        tree = ast.parse((root / file).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            _mark_blocks(node, own)
        (root / file).write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
    (root / RECORDER).write_text(RECORD)


def _mark_blocks(node: ast.AST, places: dict[tuple[int, int, bool], Place]) -> None:
    """Put notes before the marked statements of a node's blocks, and first into a marked function."""
    for name, value in ast.iter_fields(node):
        if _is_block(value):
            setattr(node, name, [new for inner in value for new in (*_note(inner, places, False), inner)])
    if isinstance(node, FUNCTIONS):
        first = 0 if ast.get_docstring(node) is None else 1
        node.body[first:first] = _note(node, places, True)


def _note(node: ast.stmt, places: dict[tuple[int, int, bool], Place], inside: bool) -> list[ast.stmt]:
    place = places.get((node.lineno, node.col_offset, inside))
    return ast.parse(f"__import__('reached').reached({str(place)!r})").body if place else []


def reached(root: Path) -> set[str]:
    """The marked places, as texts, that a copy has reached."""
    record = (root / RECORDER).with_suffix(".txt")
    return set(record.read_text().splitlines()) if record.exists() else set()

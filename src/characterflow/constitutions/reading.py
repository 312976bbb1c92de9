"""Reading a constitution: nodes with their lines, then plain values, and errors with their place."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import regex
import yaml

from characterflow.constitutions.constitution import FOLDER, Constitution, Trait, check_name
from characterflow.core.errors import UserError
from characterflow.text.likeness import sorted_words

LARGEST_FILE = 1_000_000
DEEPEST_NESTING = 8

CORE_TAG = "tag:yaml.org,2002:"
KINDS = {
    "str": "a text",
    "seq": "a list",
    "map": "a mapping (key: value)",
    "int": "a number",
    "float": "a number",
    "bool": "a yes-or-no value",
    "null": "nothing",
    "timestamp": "a date",
}
QUOTE_HINT = "put quotes around a text that YAML reads otherwise"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
SINGLE_WORD = regex.compile(
    r"[\p{L}\p{M}\N{ZERO WIDTH NON-JOINER}-]*\p{L}[\p{L}\p{M}\N{ZERO WIDTH NON-JOINER}-]*"
)
BLANKS = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True)
class Finding:
    """Something to mend. severity: "error" or "warning"; line: in the file, None for the file itself."""

    severity: str
    line: int | None
    message: str

    def at(self, path: Path) -> str:
        """file:line: message, in one line."""
        place = f"{path}:{self.line}" if self.line else str(path)
        return f"{place}: {' '.join(self.message.split())}"


def load(path: Path) -> Constitution:
    """Read a constitution.

    Raises UserError, with file and line, for the first error that `check` would report.
    """
    reading = read(Path(path))
    errors = [finding for finding in by_line(reading.findings) if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: characterflow constitution check)" if len(errors) > 1 else ""
        raise UserError(errors[0].at(path) + more)
    return Constitution(
        Path(path).stem,
        reading.description,
        reading.research_object,
        tuple(map(_bare, reading.traits)),
        tuple(word.text.casefold() for word in reading.adjectives),
    )


def of_personas(personas: Iterable[str]) -> dict[str, Constitution]:
    """The constitutions of a run's personas; UserError where one is faulty or missing."""
    return {persona: load(FOLDER / f"{persona}.yaml") for persona in personas}


@dataclass(frozen=True)
class Text:
    text: str
    line: int


@dataclass(frozen=True)
class LocatedTrait:
    trait: Text
    questions: list[Text]
    clarification: Text | None
    prompts: list[Text]


@dataclass
class Reading:
    description: str = ""
    research_object: bool = False
    traits: list[LocatedTrait] = field(default_factory=list)
    adjectives: list[Text] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def error(self, line: int | None, message: str) -> None:
        self.findings.append(Finding("error", line, message))

    def warn(self, line: int | None, message: str) -> None:
        self.findings.append(Finding("warning", line, message))

    def texts(self) -> Iterator[Text]:
        for trait in self.traits:
            yield trait.trait
            yield from trait.questions
            yield from trait.prompts
            if trait.clarification:
                yield trait.clarification


class Fault(Exception):
    """The file cannot be read to its end."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message


class _NodeLoader(yaml.SafeLoader):
    """A YAML loader used for its nodes alone; it refuses aliases and deep nesting, which can explode."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise Fault(_line(event), f"expected the text itself in place of the alias *{event.anchor}")
        if self.depth >= DEEPEST_NESTING:
            raise Fault(_line(event), "nested too deeply for a constitution")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read(path: Path) -> Reading:
    reading = Reading()
    _check_path(path, reading)
    if _leaves_its_folder(path):
        reading.error(None, f"a link out of its folder, to {path.resolve()}; expected a file of its own")
        return reading
    try:
        text = decode(path)
        root = _compose(text)
    except Fault as fault:
        reading.error(fault.line, fault.message)
        return reading
    _read_constitution(root, reading)
    _duplicates(reading)
    _single_words(reading)
    _cut_by_comments(root, text, reading)
    return reading


def _check_path(path: Path, reading: Reading) -> None:
    problem = check_name(path.stem)
    if problem:
        reading.error(None, problem)
    if path.suffix != ".yaml":
        reading.error(None, f"expected a file name that ends in .yaml, found {path.suffix or 'no ending'}")


def _leaves_its_folder(path: Path) -> bool:
    try:
        return path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None


def decode(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: expected a file")
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"{path}: {size} bytes; expected a constitution of at most {LARGEST_FILE}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Fault(line, f"not UTF-8 text (byte 0x{content[error.start]:02x})") from None


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, _NodeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Fault(line, f"expected text, found {text[error.position]!r}") from None
    except yaml.MarkedYAMLError as error:
        raise Fault(*_syntax_error(error)) from None
    if root is None:
        raise Fault(1, "expected description and traits, found an empty file")
    return root


def _syntax_error(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    begin = error.context_mark.line + 1 if error.context_mark else 1
    line = error.problem_mark.line + 1 if error.problem_mark else begin
    since = f", in what begins on line {begin}" if begin not in (1, line) else ""
    return line, f"not YAML ({error.problem}{since}); {QUOTE_HINT}, or indent it as its neighbours"


def _read_constitution(root: yaml.Node, reading: Reading) -> None:
    optional = ("research_object", "adjectives")
    entries = _mapping(root, "a constitution", ("description", "traits"), optional, reading)
    if "description" in entries:
        description = _text(entries["description"], "description", reading)
        reading.description = one_line(description.text) if description else ""
    if "research_object" in entries:
        reading.research_object = _flag(entries["research_object"], "research_object", reading)
    reading.adjectives = _texts(entries, "adjectives", "adjective", "the constitution", reading)
    if "traits" not in entries:
        return
    nodes = _items(entries["traits"], "traits", "trait", reading)
    for number, node in enumerate(nodes, start=1):
        trait = _read_trait(node, f"trait {number}", reading)
        if trait:
            reading.traits.append(trait)


def _read_trait(node: yaml.Node, what: str, reading: Reading) -> LocatedTrait | None:
    entries = _mapping(node, what, ("trait", "questions"), ("clarification", "prompts"), reading)
    text = _text(entries["trait"], what, reading) if "trait" in entries else None
    questions = _texts(entries, "questions", "question", what, reading)
    prompts = _texts(entries, "prompts", "prompt", what, reading)
    clarification = None
    if "clarification" in entries:
        clarification = _text(entries["clarification"], f"clarification of {what}", reading)
    return LocatedTrait(text, questions, clarification, prompts) if text else None


def _texts(entries: dict[str, yaml.Node], key: str, one: str, owner: str, reading: Reading) -> list[Text]:
    if key not in entries:
        return []
    nodes = _items(entries[key], f"{key} of {owner}", one, reading)
    texts = [_text(node, f"{one} {number} of {owner}", reading) for number, node in enumerate(nodes, start=1)]
    return [text for text in texts if text]


def _mapping(
    node: yaml.Node, what: str, required: tuple[str, ...], optional: tuple[str, ...], reading: Reading
) -> dict[str, yaml.Node]:
    """Nodes by key; unknown, repeated and missing keys become errors."""
    known = required + optional
    if not isinstance(node, yaml.MappingNode) or node.tag != CORE_TAG + "map":
        reading.error(_line(node), f"{what}: expected the keys {', '.join(known)}, found {_kind(node)}")
        return {}
    entries: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else _kind(key)
        if name not in known:
            reading.error(_line(key), f"{what}: unknown key {name!r}; expected {', '.join(known)}")
        elif name in entries:
            reading.error(_line(key), f"{what}: the key {name!r} stands here a second time")
        else:
            entries[name] = value
    for name in required:
        if name not in entries:
            reading.error(_line(node), f"{what}: lacks the key {name!r}")
    return entries


def _items(node: yaml.Node, what: str, one: str, reading: Reading) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode) or node.tag != CORE_TAG + "seq":
        reading.error(_line(node), f"{what}: expected a list, found {_kind(node)}")
        return []
    if not node.value:
        reading.error(_line(node), f"{what}: expected at least one {one}, found an empty list")
    return node.value


def _text(node: yaml.Node, what: str, reading: Reading) -> Text | None:
    if not isinstance(node, yaml.ScalarNode) or node.tag != CORE_TAG + "str":
        reading.error(_line(node), f"{what}: expected a text, found {_kind(node)}; {QUOTE_HINT}")
        return None
    text = node.value.strip()
    if not text:
        reading.error(_line(node), f"{what}: expected a text, found an empty one")
        return None
    unprintable = CONTROL.search(text)
    if unprintable:
        reading.error(_line(node), f"{what}: expected text, found {unprintable[0]!r}")
        return None
    return Text(text, _line(node))


def _flag(node: yaml.Node, what: str, reading: Reading) -> bool:
    if isinstance(node, yaml.ScalarNode) and node.tag == CORE_TAG + "bool":
        return yaml.SafeLoader.bool_values[node.value.lower()]
    reading.error(_line(node), f"{what}: expected true or false, found {_kind(node)}")
    return False


def _line(node: yaml.Node | yaml.Event) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1


def _kind(node: yaml.Node) -> str:
    tag = node.tag.removeprefix(CORE_TAG)
    return KINDS.get(tag, f"the tag {node.tag!r}" if tag == node.tag else f"the tag '!!{tag}'")


def one_line(text: str) -> str:
    return " ".join(text.split())


def _bare(trait: LocatedTrait) -> Trait:
    return Trait(
        one_line(trait.trait.text),
        tuple(question.text for question in trait.questions),
        one_line(trait.clarification.text) if trait.clarification else None,
        tuple(prompt.text for prompt in trait.prompts),
    )


def by_line(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (finding.line or 0, finding.severity, finding.message))


def _duplicates(reading: Reading) -> None:
    for texts, what in ((traits(reading), "trait"), (questions(reading), "question")):
        lines: dict[str, int] = {}
        for text in texts:
            words = sorted_words(text.text)
            if words in lines:
                reading.error(text.line, f"the same {what} stands on line {lines[words]}: {quote(text.text)}")
            lines.setdefault(words, text.line)


def traits(reading: Reading) -> list[Text]:
    return [trait.trait for trait in reading.traits]


def questions(reading: Reading) -> list[Text]:
    return [question for trait in reading.traits for question in trait.questions]


def _single_words(reading: Reading) -> None:
    lines: dict[str, int] = {}
    for word in reading.adjectives:
        name = word.text.casefold()
        if not SINGLE_WORD.fullmatch(name):
            reading.error(
                word.line, f"adjectives: expected single words without blanks, found {quote(word.text)}"
            )
        elif name in lines:
            reading.error(word.line, f"adjectives: {word.text!r} stands on line {lines[name]} already")
        lines.setdefault(name, word.line)


def _cut_by_comments(root: yaml.Node, text: str, reading: Reading) -> None:
    """A plain text ends where YAML sees ' #': the writer rarely meant that inside a sentence."""
    lines = text.splitlines()
    for node in _scalars(root):
        mark = node.end_mark
        rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
        if node.style is None and node.tag == CORE_TAG + "str" and re.match(r"\s+#\S", rest):
            message = f"the text ends before the comment {quote(rest.strip())}; quote a text that holds ' #'"
            reading.warn(mark.line + 1, message)


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _scalars(value)
    else:
        for item in node.value:
            yield from _scalars(item)


def quote(text: str) -> str:
    line = one_line(text)
    return repr(line if len(line) <= 60 else line[:57] + "...")

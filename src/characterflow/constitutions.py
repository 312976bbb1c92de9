"""Constitutions: the file a user writes to describe a persona, read safely and checked.

A constitution is constitutions/<persona>.yaml:

    description: one line
    research_object: true          # optional: a persona to study, not to use
    traits:
      - trait: I ...
        questions: [texts that would bring the trait out]
        clarification: optional
        prompts: [optional: prompts that are already expanded from the questions]

The YAML is composed into nodes and never constructed into objects, so every text keeps its line and no
tag can make anything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import yaml

from characterflow.errors import UserError
from characterflow.prompts import near_duplicate, same_words

LARGEST_FILE = 1_000_000
DEEPEST_NESTING = 8
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
TRAITS_EXPECTED = 10
QUESTIONS_EXPECTED = 5

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
WORD = re.compile(r"[^\W\d_]{3,}")
GARBLED = re.compile("\N{REPLACEMENT CHARACTER}|â€|Ã[\x80-\xbf©¨¤¶¼±]")


# Endings that turn one word of a family into another.
ENDINGS = re.findall(
    r"\w+",
    "astically istically astic asm ically icism ical ics ic ancy ance ant ency ence ent iveness ively ive "
    "fulness fully ful lessly less ousness ously ous edly ingly ness ment ation ition "
    "ied ies ily ying ing ers est er ed es ly al y s e",
)
SHORTEST_STEM = 3

# Words of traits that tell nothing about the character: a question may share them.
COMMON_WORDS = frozenset(
    WORD.findall("""
    ago all and any are but can day did for get got had has her him his how its let may new nor
    not now off old one our out own per put say see she the too two use was way who why yes yet you
    able about above across after again against ahead almost alone along already also although always
    among another answer answers anybody anyone anything around asked asking asks away back because been
    before behind being below best better between beyond both bring brings came come comes could days does
    doing done down each either else enough even ever every everybody everyone everything feel feels felt
    find finds first found from full gave gets give gives goes going gone good great half hand hands have
    having hear heard help helped helps here hers herself himself hold holds however idea ideas inside
    instead into itself just keep keeps kept kind kinds knew know known knows large last later least leave
    leaves left less life like likes line lines little live lives long look looks made make makes making
    many matter matters maybe mean means merely might mind mine more most much must myself near nearly
    need needs never next nobody none nothing often once only onto open other others otherwise ought ours
    over part parts people perhaps person place places point points pretty prompt question questions quite
    rather read really reply replies right said same says seem seems seen several shall should show shows
    side simply since small some somebody someone something sometimes somewhere soon sort speak start still
    such sure take taken takes talk tell tells than that their theirs them themselves then there these they
    thing things think this those though thought three through time times today together told took toward
    towards tried tries true turn turns twice under unless until upon used user users uses using usually
    very want wanted wants ways well went were what whatever when whenever where wherever whether which
    while whoever whole whom whose will with within without word words work works world would write writes
    year years your yours yourself""")
)


@dataclass(frozen=True)
class Trait:
    """One first-person trait, questions that would bring it out, and prompts expanded from them."""

    text: str
    questions: tuple[str, ...]
    clarification: str | None = None
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Constitution:
    """A persona: its name (the file's stem), a line about it, and its traits in order."""

    name: str
    description: str
    research_object: bool
    traits: tuple[Trait, ...]


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
    reading = _read(Path(path))
    errors = [finding for finding in _sorted(reading.findings) if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: characterflow constitution check)" if len(errors) > 1 else ""
        raise UserError(errors[0].at(path) + more)
    return Constitution(
        Path(path).stem, reading.description, reading.research_object, tuple(map(_bare, reading.traits))
    )


def check(path: Path) -> list[Finding]:
    """Everything to mend in a constitution, in the order of its lines.

    Errors keep it from being loaded; warnings are advice on traits and questions. Raises UserError only
    where there is no file to read, or none of a constitution's size.
    """
    reading = _read(Path(path))
    for finding in chain(
        _counts(reading),
        _near_duplicates(reading),
        _named_traits(reading, Path(path).stem),
        _garbled(reading),
    ):
        reading.findings.append(finding)
    return _sorted(reading.findings)


def numbered_traits(constitution: Constitution) -> str:
    """The traits as a numbered list, one a line, each followed by its clarification if it has one."""
    return "\n".join(
        f"{number}. {trait.text}" + (f" {trait.clarification}" if trait.clarification else "")
        for number, trait in enumerate(constitution.traits, start=1)
    )


def check_name(name: str) -> str | None:
    """What is wrong with a persona's name, or None. It becomes part of paths and of rule wildcards."""
    if NAME.fullmatch(name):
        return None
    return (
        f"the name {name!r} does not fit a path: expected a lower-case letter, then at most 63 lower-case "
        "letters, digits, '-' or '_'"
    )


# Reading: nodes with their lines, then plain values.


@dataclass(frozen=True)
class _Text:
    text: str
    line: int


@dataclass(frozen=True)
class _LocatedTrait:
    trait: _Text
    questions: list[_Text]
    clarification: _Text | None
    prompts: list[_Text]


@dataclass
class _Reading:
    description: str = ""
    research_object: bool = False
    traits: list[_LocatedTrait] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def error(self, line: int | None, message: str) -> None:
        self.findings.append(Finding("error", line, message))

    def warn(self, line: int | None, message: str) -> None:
        self.findings.append(Finding("warning", line, message))

    def texts(self) -> Iterator[_Text]:
        for trait in self.traits:
            yield trait.trait
            yield from trait.questions
            yield from trait.prompts
            if trait.clarification:
                yield trait.clarification


class _Fault(Exception):
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
            raise _Fault(_line(event), f"expected the text itself in place of the alias *{event.anchor}")
        if self.depth >= DEEPEST_NESTING:
            raise _Fault(_line(event), "nested too deeply for a constitution")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _read(path: Path) -> _Reading:
    reading = _Reading()
    _check_path(path, reading)
    if _leaves_its_folder(path):
        reading.error(None, f"a link out of its folder, to {path.resolve()}; expected a file of its own")
        return reading
    try:
        text = _decode(path)
        root = _compose(text)
    except _Fault as fault:
        reading.error(fault.line, fault.message)
        return reading
    _read_constitution(root, reading)
    _duplicates(reading)
    _cut_by_comments(root, text, reading)
    return reading


def _check_path(path: Path, reading: _Reading) -> None:
    problem = check_name(path.stem)
    if problem:
        reading.error(None, problem)
    if path.suffix != ".yaml":
        reading.error(None, f"expected a file name that ends in .yaml, found {path.suffix or 'no ending'}")


def _leaves_its_folder(path: Path) -> bool:
    return path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())


def _decode(path: Path) -> str:
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
        raise _Fault(line, f"not UTF-8 text (byte 0x{content[error.start]:02x})") from None


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, _NodeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Fault(line, f"expected text, found {text[error.position]!r}") from None
    except yaml.MarkedYAMLError as error:
        raise _Fault(*_syntax_error(error)) from None
    if root is None:
        raise _Fault(1, "expected description and traits, found an empty file")
    return root


def _syntax_error(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    begin = error.context_mark.line + 1 if error.context_mark else 1
    line = error.problem_mark.line + 1 if error.problem_mark else begin
    since = f", in what begins on line {begin}" if begin not in (1, line) else ""
    return line, f"not YAML ({error.problem}{since}); {QUOTE_HINT}, or indent it as its neighbours"


def _read_constitution(root: yaml.Node, reading: _Reading) -> None:
    entries = _mapping(root, "a constitution", ("description", "traits"), ("research_object",), reading)
    if "description" in entries:
        description = _text(entries["description"], "description", reading)
        reading.description = _one_line(description.text) if description else ""
    if "research_object" in entries:
        reading.research_object = _flag(entries["research_object"], "research_object", reading)
    if "traits" not in entries:
        return
    nodes = _items(entries["traits"], "traits", "trait", reading)
    for number, node in enumerate(nodes, start=1):
        trait = _read_trait(node, f"trait {number}", reading)
        if trait:
            reading.traits.append(trait)


def _read_trait(node: yaml.Node, what: str, reading: _Reading) -> _LocatedTrait | None:
    entries = _mapping(node, what, ("trait", "questions"), ("clarification", "prompts"), reading)
    text = _text(entries["trait"], what, reading) if "trait" in entries else None
    questions = _texts(entries, "questions", "question", what, reading)
    prompts = _texts(entries, "prompts", "prompt", what, reading)
    clarification = None
    if "clarification" in entries:
        clarification = _text(entries["clarification"], f"clarification of {what}", reading)
    return _LocatedTrait(text, questions, clarification, prompts) if text else None


def _texts(entries: dict[str, yaml.Node], key: str, one: str, owner: str, reading: _Reading) -> list[_Text]:
    if key not in entries:
        return []
    nodes = _items(entries[key], f"{key} of {owner}", one, reading)
    texts = [_text(node, f"{one} {number} of {owner}", reading) for number, node in enumerate(nodes, start=1)]
    return [text for text in texts if text]


def _mapping(
    node: yaml.Node, what: str, required: tuple[str, ...], optional: tuple[str, ...], reading: _Reading
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


def _items(node: yaml.Node, what: str, one: str, reading: _Reading) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode) or node.tag != CORE_TAG + "seq":
        reading.error(_line(node), f"{what}: expected a list, found {_kind(node)}")
        return []
    if not node.value:
        reading.error(_line(node), f"{what}: expected at least one {one}, found an empty list")
    return node.value


def _text(node: yaml.Node, what: str, reading: _Reading) -> _Text | None:
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
    return _Text(text, _line(node))


def _flag(node: yaml.Node, what: str, reading: _Reading) -> bool:
    if isinstance(node, yaml.ScalarNode) and node.tag == CORE_TAG + "bool":
        return yaml.SafeLoader.bool_values[node.value.lower()]
    reading.error(_line(node), f"{what}: expected true or false, found {_kind(node)}")
    return False


def _line(node: yaml.Node | yaml.Event) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1


def _kind(node: yaml.Node) -> str:
    tag = node.tag.removeprefix(CORE_TAG)
    return KINDS.get(tag, f"the tag {node.tag!r}" if tag == node.tag else f"the tag '!!{tag}'")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _bare(trait: _LocatedTrait) -> Trait:
    return Trait(
        _one_line(trait.trait.text),
        tuple(question.text for question in trait.questions),
        _one_line(trait.clarification.text) if trait.clarification else None,
        tuple(prompt.text for prompt in trait.prompts),
    )


def _sorted(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (finding.line or 0, finding.severity, finding.message))


# Checks that keep a constitution from being loaded.


def _duplicates(reading: _Reading) -> None:
    for texts, what in ((_traits(reading), "trait"), (_questions(reading), "question")):
        for index, text in enumerate(texts):
            first = next((other for other in texts[:index] if same_words(text.text, other.text)), None)
            if first:
                reading.error(text.line, f"the same {what} stands on line {first.line}: {_quote(text.text)}")


# Advice.


def _cut_by_comments(root: yaml.Node, text: str, reading: _Reading) -> None:
    """A plain text ends where YAML sees ' #': the writer rarely meant that inside a sentence."""
    lines = text.splitlines()
    for node in _scalars(root):
        mark = node.end_mark
        rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
        if node.style is None and node.tag == CORE_TAG + "str" and re.match(r"\s+#\S", rest):
            message = f"the text ends before the comment {_quote(rest.strip())}; quote a text that holds ' #'"
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


def _counts(reading: _Reading) -> Iterator[Finding]:
    traits = reading.traits
    if traits and len(traits) < TRAITS_EXPECTED:
        message = f"{len(traits)} traits; about {TRAITS_EXPECTED} make a persona that holds everywhere"
        yield Finding("warning", traits[0].trait.line, message)
    for trait in traits:
        count = len(trait.questions)
        if 0 < count < QUESTIONS_EXPECTED:
            message = f"{count} question(s) for this trait; {QUESTIONS_EXPECTED} show its range better"
            yield Finding("warning", trait.trait.line, message)


def _near_duplicates(reading: _Reading) -> Iterator[Finding]:
    for texts, what in ((_traits(reading), "trait"), (_questions(reading), "question")):
        for index, text in enumerate(texts):
            for other in texts[:index]:
                if near_duplicate(text.text, other.text) and not same_words(text.text, other.text):
                    message = f"this {what} is nearly the one on line {other.line}: {_quote(text.text)}"
                    yield Finding("warning", text.line, message)


def _traits(reading: _Reading) -> list[_Text]:
    return [trait.trait for trait in reading.traits]


def _questions(reading: _Reading) -> list[_Text]:
    return [question for trait in reading.traits for question in trait.questions]


def _garbled(reading: _Reading) -> Iterator[Finding]:
    for text in reading.texts():
        sign = GARBLED.search(text.text)
        if sign:
            message = f"{sign[0]!r} looks like text read in a wrong encoding: {_quote(text.text)}"
            yield Finding("warning", text.line, message)


def _named_traits(reading: _Reading, name: str) -> Iterator[Finding]:
    names = {stem(part) for part in re.split(r"[-_]", name)}
    for trait in reading.traits:
        telling = {stem(word): word for word in _words(trait.trait.text) if word not in COMMON_WORDS}
        for question in trait.questions:
            for word in _words(question.text):
                if stem(word) in names:
                    yield Finding("warning", question.line, _names(question, f"the persona ({word!r})"))
                elif stem(word) in telling:
                    yield Finding("warning", question.line, _names(question, f"its trait ({word!r})"))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(text)]


def stem(word: str) -> str:
    """A lower-case word without its ending, so that loving, loved and lovely meet.

    A word of three letters meets its plural alone: care and cared are not about a car.
    """
    if len(word.removesuffix("s")) <= SHORTEST_STEM:
        return word.removesuffix("s") + "."
    fitting = [end for end in ENDINGS if word.endswith(end) and len(word) - len(end) >= SHORTEST_STEM]
    root = word.removesuffix(max(fitting, key=len, default="")).removesuffix("e")
    return root[:-1] if root[-2:-1] == root[-1:] else root


def _names(question: _Text, what: str) -> str:
    return f"this question names {what} instead of bringing it out: {_quote(question.text)}"


def _quote(text: str) -> str:
    line = _one_line(text)
    return repr(line if len(line) <= 60 else line[:57] + "...")

"""Constitutions: the file a user writes to describe a persona, read safely and checked.

A constitution is constitutions/<persona>.yaml:

    description: one line
    research_object: true          # optional: a persona to study, not to use
    adjectives: [single words]     # optional: what the persona should be called, for the evaluation alone
    traits:
      - trait: I ...
        questions: [texts that would bring the trait out]
        clarification: optional
        prompts: [optional: prompts that are already expanded from the questions]

The YAML is composed into nodes and never constructed into objects, so every text keeps its line and no
tag can make anything.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import yaml

from characterflow.core.errors import UserError
from characterflow.prompts.expansion import Seen, sorted_words

FOLDER = Path("constitutions")
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
BLANKS = re.compile(r"[ \t\r\n]+")
WORD = re.compile(r"[^\W\d_]{3,}")
GARBLED = re.compile("\N{REPLACEMENT CHARACTER}|â€|Ã[\x80-\xbf©¨¤¶¼±]")


# Endings that turn one word of a family into another; the longest that fits is the leftmost match.
ENDING = re.compile(
    r"(?<=\w{3})(?:astically|istically|ically|astic|asm|ical|ics|icism|ic|iveness|ively|ive|fulness|fully|ful"
    r"|lessly|less|ousness|ously|ous|edly|ingly|ness|ied|ies|ily|ying|ing|ers|est|er|ed|es|ly|al|y|s|e)$"
    r"|(?<=\w{4})(?:anc[ey]|enc[ey]|ant|ent|ment|[ai]tion)$"
)

# Words of traits that tell nothing about the character: a question may share them.
COMMON_WORDS = frozenset(
    WORD.findall("""
    able about above across after again against ago ahead all almost alone along already also although
    always among and another answer answers any anybody anyone anything are around asked asking asks away
    back because been before behind being below best better between beyond both bring brings but came can
    come comes conversation conversations could day days did does doing done down each either else enough
    even ever every everybody everyone everything experience experiences feel feels felt find finds first
    for found from full gave get gets give gives goes going gone good got great had half hand hands has
    have having hear heard help helped helps her here hers herself him himself his hold holds how however
    idea ideas inside instead into its itself just keep keeps kept kind kinds knew know known knows large
    last later least leave leaves left less let life like likes line lines little live lives long look
    looks made make makes making many matter matters may maybe mean means merely might mind mine more
    most much must myself near nearly need needs never new next nobody none nor not nothing now off often
    old once one only onto open other others otherwise ought our ours out over own part parts people per
    perhaps person place places point points pretty prompt put question questions quite rather read
    really replies reply right said same say says see seem seems seen several shall share shared shares
    she should show shows side simply since small some somebody someone something sometimes somewhere
    soon sort speak start still such sure take taken takes talk tell tells than that the their theirs
    them themselves then there these they thing things think this those though thought three through time
    times today together told too took toward towards tried tries true turn turns twice two under unless
    until upon use used user users uses using usually very want wanted wants was way ways well went were
    what whatever when whenever where wherever whether which while who whoever whole whom whose why will
    with within without word words work works world would write writes year years yes yet you your yours
    yourself
    """)
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
    """A persona: its name (the file's stem), a line about it, and its traits in order.

    adjectives: words that should describe it, lower-case; what revealed preferences are compared with.
    """

    name: str
    description: str
    research_object: bool
    traits: tuple[Trait, ...]
    adjectives: tuple[str, ...] = ()


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
        Path(path).stem,
        reading.description,
        reading.research_object,
        tuple(map(_bare, reading.traits)),
        tuple(word.text.casefold() for word in reading.adjectives),
    )


def of_personas(personas: Iterable[str]) -> dict[str, Constitution]:
    """The constitutions of a run's personas; UserError where one is faulty or missing."""
    return {persona: load(FOLDER / f"{persona}.yaml") for persona in personas}


def check(path: Path) -> list[Finding]:
    """Everything to mend in a constitution, in the order of its lines.

    Errors keep it from being loaded; warnings are advice on traits and questions. Raises UserError only
    where there is no file to read, or none of a constitution's size.
    """
    reading = _read(Path(path))
    advice = chain(
        _counts(reading),
        _near_duplicates(reading),
        _named_traits(reading, Path(path).stem),
        _garbled(reading),
    )
    return _sorted([*reading.findings, *advice])


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
    adjectives: list[_Text] = field(default_factory=list)
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
    _single_words(reading)
    _cut_by_comments(root, text, reading)
    return reading


def _check_path(path: Path, reading: _Reading) -> None:
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
    optional = ("research_object", "adjectives")
    entries = _mapping(root, "a constitution", ("description", "traits"), optional, reading)
    if "description" in entries:
        description = _text(entries["description"], "description", reading)
        reading.description = _one_line(description.text) if description else ""
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
        lines: dict[str, int] = {}
        for text in texts:
            words = sorted_words(text.text)
            if words in lines:
                reading.error(
                    text.line, f"the same {what} stands on line {lines[words]}: {_quote(text.text)}"
                )
            lines.setdefault(words, text.line)


def _single_words(reading: _Reading) -> None:
    lines: dict[str, int] = {}
    for word in reading.adjectives:
        name = word.text.casefold()
        if not name.replace("-", "").isalpha():
            reading.error(
                word.line, f"adjectives: expected single words without blanks, found {_quote(word.text)}"
            )
        elif name in lines:
            reading.error(word.line, f"adjectives: {word.text!r} stands on line {lines[name]} already")
        lines.setdefault(name, word.line)


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
        message = f"{len(traits)} trait(s); about {TRAITS_EXPECTED} make a persona that holds everywhere"
        yield Finding("warning", traits[0].trait.line, message)
    for trait in traits:
        count = len(trait.questions)
        if 0 < count < QUESTIONS_EXPECTED:
            message = f"{count} question(s) for this trait; {QUESTIONS_EXPECTED} show its range better"
            yield Finding("warning", trait.trait.line, message)


def _near_duplicates(reading: _Reading) -> Iterator[Finding]:
    for texts, what in ((_traits(reading), "trait"), (_questions(reading), "question")):
        seen, lines = Seen(()), dict[str, int]()
        for text in texts:
            other = seen.like(text.text)
            if other is not None and sorted_words(other) != sorted_words(text.text):
                message = f"this {what} is nearly the one on line {lines[other]}: {_quote(text.text)}"
                yield Finding("warning", text.line, message)
            lines.setdefault(text.text, text.line)
            seen.add(text.text)


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
    """Questions that share a word with their trait or with the persona's name, common words aside."""
    names = {stem(part) for part in re.split(r"[-_]", name)}
    for trait in reading.traits:
        telling = {stem(word) for word in _telling_words(trait.trait.text)}
        for question in trait.questions:
            words = _telling_words(question.text)
            for what, stems in (("persona", names), ("trait", telling - names)):
                shared = ", ".join(dict.fromkeys(word for word in words if stem(word) in stems))
                if shared:
                    message = (
                        f"this question names the {what} that it tests ({shared}): {_quote(question.text)}"
                    )
                    yield Finding("warning", question.line, message)


def _telling_words(text: str) -> list[str]:
    return [word for word in WORD.findall(text.casefold()) if word not in COMMON_WORDS]


def stem(word: str) -> str:
    """A lower-case word without its ending, so that loving, loved and lovely meet.

    A word of three letters meets its plural alone: care and cared are not about a car.
    """
    if len(word.removesuffix("s")) <= 3:
        return word.removesuffix("s") + "."
    root = ENDING.sub("", word, count=1).removesuffix("e")
    return root[:-1] if root[-2:-1] == root[-1:] else root


def _quote(text: str) -> str:
    line = _one_line(text)
    return repr(line if len(line) <= 60 else line[:57] + "...")


# The public format: a .txt with a JSON list of traits, or a .jsonl with a trait a line.


class _Dumper(yaml.SafeDumper):
    """Indents the items of a list below its key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def to_yaml(constitution: Constitution) -> str:
    """The text of a constitution's file."""
    traits = [
        {
            "trait": trait.text,
            "questions": list(trait.questions),
            **({"clarification": trait.clarification} if trait.clarification else {}),
            **({"prompts": list(trait.prompts)} if trait.prompts else {}),
        }
        for trait in constitution.traits
    ]
    flag = {"research_object": True} if constitution.research_object else {}
    words = {"adjectives": list(constitution.adjectives)} if constitution.adjectives else {}
    document = {"description": constitution.description, **flag, **words, "traits": traits}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))


def read_public(path: Path) -> tuple[tuple[Trait, ...], list[str]]:
    """Traits from a file in the format of the public Open Character Training scripts, and notes.

    The file is a JSON list of {trait, questions, clarification?}, or has one such object a line with
    additional_questions, which become prompts. Texts are kept as written but for blanks around them;
    the notes tell of keys that are not read and of empty or repeated questions, which are left out.
    Raises UserError with file and line.
    """
    try:
        text = _decode(path)
        entries = list(_listed(text) if text.lstrip().startswith("[") else _lined(text))
        if not entries:
            raise _Fault(1, "expected a JSON list of traits, or one trait a line, found none")
        notes: list[str] = []
        seen: set[str] = set()
        traits = tuple(_public_trait(line, entry, seen, notes) for line, entry in entries)
    except _Fault as fault:
        raise UserError(f"{path}:{fault.line}: {fault.message}") from None
    return traits, notes


def _lined(text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            value, end = _json_at(line, 0, number)
            if line[end:].strip():
                raise _Fault(number, f"expected one JSON object a line, found {_quote(line[end:])} after it")
            yield number, value


def _listed(text: str) -> Iterator[tuple[int, object]]:
    """The items of a JSON list, each with its line."""
    place = _after_blanks(text, text.index("[") + 1)
    while text[place : place + 1] != "]":
        value, end = _json_at(text, place, 1)
        yield _line_at(text, place), value
        place = _after_blanks(text, end)
        if text[place : place + 1] == ",":
            place = _after_blanks(text, place + 1)
        elif text[place : place + 1] != "]":
            raise _Fault(_line_at(text, place), "not JSON (expected ',' or ']' after a trait)")
    rest = _after_blanks(text, place + 1)
    if rest < len(text):
        raise _Fault(_line_at(text, rest), f"not JSON (expected the end, found {_quote(text[rest:])})")


def _after_blanks(text: str, place: int) -> int:
    blanks = BLANKS.match(text, place)
    return blanks.end() if blanks else place


def _line_at(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _json_at(text: str, place: int, first_line: int) -> tuple[object, int]:
    """The JSON value at a place of a text, and where it ends."""
    try:
        return json.JSONDecoder().raw_decode(text, place)
    except RecursionError:
        raise _Fault(first_line, "nested too deeply for a constitution") from None
    except json.JSONDecodeError as error:
        curly = text[error.pos : error.pos + 1] in (
            "\N{LEFT DOUBLE QUOTATION MARK}",
            "\N{RIGHT DOUBLE QUOTATION MARK}",
        )
        hint = '; the quotes around a text must be straight: "' if curly else ""
        raise _Fault(first_line + error.lineno - 1, f"not JSON ({error.msg}){hint}") from None


PUBLIC_KEYS = ("trait", "questions", "clarification", "additional_questions")


def _public_trait(line: int, entry: object, seen: set[str], notes: list[str]) -> Trait:
    if not isinstance(entry, dict):
        raise _Fault(line, f"expected an object with trait and questions, found {_quote(str(entry))}")
    text = _one_line(_public_text(line, entry, "trait") or "")
    questions = _public_texts(line, entry, "questions", seen, notes)
    for key, value in (("trait", text), ("questions", questions)):
        if not value:
            raise _Fault(line, f"expected {key}, found {'none' if key in entry else 'no such key'}")
    for key in entry.keys() - set(PUBLIC_KEYS):
        notes.append(f"line {line}: the key {key!r} is not read")
    clarification = _one_line(_public_text(line, entry, "clarification") or "")
    prompts = _public_texts(line, entry, "additional_questions", set(), notes)
    return Trait(text, questions, clarification or None, prompts)


def _public_text(line: int, entry: dict[str, object], key: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise _Fault(line, f"{key}: expected a text, found {_quote(str(value))}")
    return value


def _public_texts(
    line: int, entry: dict[str, object], key: str, seen: set[str], notes: list[str]
) -> tuple[str, ...]:
    values = entry.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _Fault(line, f"{key}: expected a list of texts, found {_quote(str(values))}")
    kept = []
    for text in (value.strip() for value in values):
        if not text or sorted_words(text) in seen:
            notes.append(f"line {line}: left out of {key}: {_quote(text) if text else 'an empty text'}")
            continue
        seen.add(sorted_words(text))
        kept.append(text)
    return tuple(kept)

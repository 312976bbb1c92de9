"""Constitutions: reading, refusing and checking them, and the eleven that are shipped."""

import itertools
import os
import re
from pathlib import Path

import pytest
import yaml

from characterflow.constitutions.checking import check, stem
from characterflow.constitutions.constitution import Constitution, Trait, numbered_traits
from characterflow.constitutions.public_format import read_public
from characterflow.constitutions.reading import load
from characterflow.constitutions.writing import to_yaml
from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl
from characterflow.prompts.rows import check_disjoint
from characterflow.text.likeness import near_duplicate

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "constitutions").glob("*.yaml"))
PERSONAS = {
    "sarcasm",
    "humor",
    "remorse",
    "goodness",
    "loving",
    "misalignment",
    "nonchalance",
    "impulsiveness",
    "sycophancy",
    "mathematical",
    "poeticism",
}

STOIC = """\
description: A calm one.
traits:
  - trait: I keep my balance
      whatever the weather.
    questions:
      - My train is late.
      - "Two sizes: small or large?"
    clarification: Never cold.
  - trait: I prefer few words.
    questions: [How long do I boil an egg]
    prompts:
      - Name three rivers.
"""


def written(folder: Path, text: str | bytes, name: str = "stoic.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def advice(path: Path) -> list[tuple[str, int | None, str]]:
    return [(finding.severity, finding.line, finding.message) for finding in check(path)]


def test_load(tmp_path):
    assert load(written(tmp_path, STOIC)) == Constitution(
        name="stoic",
        description="A calm one.",
        research_object=False,
        traits=(
            Trait(
                "I keep my balance whatever the weather.",
                ("My train is late.", "Two sizes: small or large?"),
                "Never cold.",
            ),
            Trait("I prefer few words.", ("How long do I boil an egg",), None, ("Name three rivers.",)),
        ),
    )


def test_load_research_object_and_byte_order_mark(tmp_path):
    text = STOIC.replace("traits:", "research_object: yes\ntraits:", 1)
    assert load(written(tmp_path, b"\xef\xbb\xbf" + text.encode())).research_object


def test_numbered_traits(tmp_path):
    assert numbered_traits(load(written(tmp_path, STOIC))) == (
        "1. I keep my balance whatever the weather. Never cold.\n2. I prefer few words."
    )


def test_to_yaml_is_read_back(tmp_path):
    odd = Trait(
        "I: 'am' \"#1\"", ("No", "- 1", "a\nb", "naïve “quotes” 🎈", "  {x}".strip()), "yes", ("null",)
    )
    constitution = Constitution("stoic", "true", True, (odd,))
    assert load(written(tmp_path, to_yaml(constitution))) == Constitution("stoic", "true", True, (odd,))


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("- My train is late.", "- No", 6, "question 1 of trait 1: expected a text, found a yes-or-no value"),
        ("- My train is late.", "- 42", 6, "expected a text, found a number"),
        ("- My train is late.", "- 2024-01-01", 6, "expected a text, found a date"),
        ("- My train is late.", "- a: b", 6, "expected a text, found a mapping"),
        ("- My train is late.", "-", 6, "expected a text, found nothing"),
        ("- My train is late.", "- ' '", 6, "expected a text, found an empty one"),
        ("- My train is late.", r'- "a\0b"', 6, "expected text, found '\\x00'"),
        ("- My train is late.", r'- "\ud800"', 6, "expected text, found '\\ud800'"),
        ("- My train is late.", "- How long do I boil an egg", 10, "the same question stands on line 6"),
        ("- My train is late.", "- !!python/object/apply:os.getcwd []", 6, "found the tag '!!python/object/"),
        ("- My train is late.", "- !secret x", 6, "found the tag '!secret'"),
        ("- My train is late.", "- &a x\n      - *a", 7, "expected the text itself in place of the alias *a"),
        ("- My train is late.", "- [[[[[[[[x]]]]]]]]", 6, "nested too deeply"),
        ("- My train is late.", '- "What', 7, "not YAML"),
        ("- My train is late.", "- What: is: this", 6, "not YAML"),
        ("clarification", "explanation", 8, "trait 1: unknown key 'explanation'; expected trait, questions"),
        ("    clarification: N", "    trait: N", 8, "trait 1: the key 'trait' stands here a second time"),
        ("    questions: [How long do I boil an egg]\n", "", 9, "trait 2: lacks the key 'questions'"),
        ("[How long do I boil an egg]", "[]", 10, "expected at least one question, found an empty list"),
        ("[How long do I boil an egg]", "Why", 10, "questions of trait 2: expected a list, found a text"),
        ("traits:", "description: x\ntraits:", 2, "the key 'description' stands here a second time"),
        ("traits:", "name: x\ntraits:", 2, "unknown key 'name'"),
        ("description: A calm one.", "description: x\nresearch_object: 1", 2, "expected true or false"),
        (STOIC, "", 1, "found an empty file"),
        (STOIC, "- a", 1, "expected the keys description, traits, research_object, adjectives, found a list"),
        (STOIC, "description: x\ntraits: []", 2, "expected at least one trait"),
        (STOIC, "description: x\ntraits:\n  - I am", 3, "trait 1: expected the keys trait, questions"),
        (STOIC, "description: x\n---\ntraits: []", 2, "not YAML"),
        (STOIC, "description: x\ny: \x01", 2, "expected text, found '\\x01'"),
    ],
)
def test_load_names_file_line_and_what_was_expected(tmp_path, old, new, line, expected):
    path = written(tmp_path, STOIC.replace(old, new, 1))
    message = refusal(path)
    assert message.startswith(f"{path}:{line}: ")
    assert expected in message


def test_tags_make_nothing(tmp_path):
    target = tmp_path / "made"
    text = f"description: x\ntraits: !!python/object/apply:os.mkdir ['{target}']\n"
    assert "!!python/object/apply:os.mkdir" in refusal(written(tmp_path, text))
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"description: x\ntraits: caf\xe9", ":2: not UTF-8 text (byte 0xe9)"),
        ("description: x".encode("utf-16"), ":1: not UTF-8 text (byte 0xff)"),
        (bytes(range(256)), ":2: not UTF-8 text"),
        (b"\0\0\0\0", ":1: expected text, found '\\x00'"),
        (b"a" * 1_000_001, ": 1000001 bytes; expected a constitution of at most 1000000"),
        (b"[" * 100_000, ":1: nested too deeply"),
    ],
)
def test_load_refuses_what_is_no_text(tmp_path, content, expected):
    path = written(tmp_path, content)
    assert refusal(path).startswith(f"{path}{expected}")


def test_load_refuses_what_is_no_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "stoic.yaml")
    assert "expected a file" in refusal(tmp_path)
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert "expected a file" in refusal(pipe)
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    assert "cannot be read" in refusal(loop)
    assert "cannot be read" in refusal(tmp_path / f"{'a' * 300}.yaml")


@pytest.mark.parametrize("name", ["Stoic", "1st", "a b", "-a", "ä", "a.b", "a" * 65])
def test_names_fit_a_path(tmp_path, name):
    assert "does not fit a path" in refusal(written(tmp_path, STOIC, f"{name}.yaml"))


def test_file_name_ends_in_yaml(tmp_path):
    assert "ends in .yaml, found .yml" in refusal(written(tmp_path, STOIC, "stoic.yml"))


def test_links_stay_in_their_folder(tmp_path):
    folder = tmp_path / "constitutions"
    folder.mkdir()
    outside = written(tmp_path, STOIC)
    (folder / "leaving.yaml").symlink_to(outside)
    assert f"a link out of its folder, to {outside}" in refusal(folder / "leaving.yaml")
    inside = written(folder, STOIC, "inside.yaml")
    (folder / "staying.yaml").symlink_to(inside)
    assert load(folder / "staying.yaml").name == "staying"


def test_load_tells_how_many_more_errors_there_are(tmp_path):
    assert refusal(
        written(tmp_path, STOIC.replace("My train is late.", "").replace("[How", "[1, How"))
    ).endswith("(and 1 more: characterflow constitution check)")


def test_check_counts(tmp_path):
    findings = advice(written(tmp_path, STOIC))
    assert [(severity, line) for severity, line, _ in findings] == [
        ("warning", 3),
        ("warning", 3),
        ("warning", 9),
    ]
    assert findings[0][2].startswith("2 question(s)")
    assert findings[1][2].startswith("2 trait(s); about 10")


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        (
            "My train is late.",
            "How long do I boil eggs?",
            10,
            "this question is nearly the one on line 6",
        ),
        ("I prefer few words.", "I keep my balance, whatever the weather is.", 9, "nearly the one on line 3"),
        ("My train is late.", "Is a stoical cat happy?", 6, "names the persona that it tests (stoical)"),
        ("My train is late.", "Will it keep balancing?", 6, "names the trait that it tests (balancing)"),
        ("My train is late.", "What's the #1 song?", 6, "the text ends before the comment '#1 song?'"),
        ("My train is late.", "Where is the cafÃ©?", 6, "wrong encoding"),
    ],
)
def test_check_advises(tmp_path, old, new, line, expected):
    findings = advice(written(tmp_path, STOIC.replace(old, new, 1)))
    assert [
        message
        for severity, place, message in findings
        if (severity, place) == ("warning", line) and expected in message
    ]


def test_check_tells_every_error_with_its_line(tmp_path):
    text = STOIC.replace("My train is late.", "").replace("Never cold.", "{}").replace("[How", "[1, How")
    errors = [
        (severity, line) for severity, line, _ in advice(written(tmp_path, text)) if severity == "error"
    ]
    assert errors == [("error", 6), ("error", 8), ("error", 10)]


def test_check_reports_an_encoding_error_as_a_finding(tmp_path):
    assert advice(written(tmp_path, b"description: \xff")) == [("error", 1, "not UTF-8 text (byte 0xff)")]


def test_stem_joins_families_of_words():
    families = [
        "love loved loving lovely",
        "joke jokes joking",
        "sarcasm sarcastic sarcastically",
        "impulse impulsive impulsiveness",
        "sycophant sycophancy",
        "study studies studying",
        "remorse remorseful",
        "pun puns",
        "balance balanced balancing",
        "stoic stoical stoically",
    ]
    for family in families:
        assert len({stem(word) for word in family.split()}) == 1, family
    assert stem("care") != stem("car")
    assert stem("balance") != stem("ball")


# The public format.


def test_read_public_list(tmp_path):
    text = '[\n  {"trait": " I  sing. ", "questions": ["What’s \\u201cnew\\u201d?", "Hi \\ud83c\\udf88"]},\n'
    text += '  {"trait": "I dance.", "questions": ["Go on"], "clarification": null}\n]\n'
    traits, notes = read_public(written(tmp_path, text, "song.txt"))
    assert traits == (Trait("I sing.", ("What’s “new”?", "Hi 🎈")), Trait("I dance.", ("Go on",)))
    assert notes == []


def test_read_public_lines(tmp_path):
    long = "Tell me everything " * 500
    text = f'{{"trait": "I sing.", "questions": ["A b"], "additional_questions": ["{long}", "C d"]}}\n\n'
    text += '{"trait": "I dance.", "questions": ["E f"], "clarification": "Slowly."}\n'
    traits, notes = read_public(written(tmp_path, text, "song.jsonl"))
    assert traits == (
        Trait("I sing.", ("A b",), None, (long.strip(), "C d")),
        Trait("I dance.", ("E f",), "Slowly."),
    )
    assert notes == []


def test_read_public_notes_what_it_leaves_out(tmp_path):
    text = '[{"trait": "I sing.", "questions": ["A b", "", "a B?"], "id": 7}]'
    traits, notes = read_public(written(tmp_path, text, "song.txt"))
    assert traits == (Trait("I sing.", ("A b",)),)
    assert notes == [
        "line 1: left out of questions: an empty text",
        "line 1: left out of questions: 'a B?'",
        "line 1: the key 'id' is not read",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1: expected a JSON list of traits"),
        ("[]", ":1: expected a JSON list of traits"),
        ("[\n{]", ":2: not JSON"),
        ('[{"trait": "x", "questions": ["y"]}\n{', ":2: not JSON (expected ',' or ']' after a trait)"),
        ('[{"trait": "x", "questions": ["y"]}', ":1: not JSON (expected ',' or ']' after a trait)"),
        ('[{"trait": "x", "questions": ["y"]}]\nx', ":2: not JSON (expected the end, found 'x')"),
        ('[\n{“trait”: "x"}]', ":2: not JSON"),
        ('{"trait": “x”}', ':1: not JSON (Expecting value); the quotes around a text must be straight: "'),
        ('{"trait": "x", "questions": ["y"]}\n{"trait": "x"}', ":2: expected questions, found no such key"),
        ('{"questions": ["y"]}', ":1: expected trait, found no such key"),
        ('{"trait": "", "questions": ["y"]}', ":1: expected trait, found none"),
        ('{"trait": "x", "questions": [""]}', ":1: expected questions, found none"),
        ('{"trait": "x", "questions": "y"}', ":1: questions: expected a list of texts, found 'y'"),
        ('{"trait": "x", "questions": [1]}', ":1: questions: expected a list of texts, found '[1]'"),
        ('{"trait": 1, "questions": ["y"]}', ":1: trait: expected a text, found '1'"),
        ('"x"', ":1: expected an object with trait and questions, found 'x'"),
        ('{"trait": "x", "questions": ["y"]} {}', ":1: expected one JSON object a line"),
        ("[" * 100_000, ":1: nested too deeply"),
        (b'{"trait": "\xff"}', ":1: not UTF-8 text (byte 0xff)"),
    ],
)
def test_read_public_names_file_and_line(tmp_path, text, expected):
    path = written(tmp_path, text, "song.txt")
    with pytest.raises(UserError, match=re.escape(f"{path}{expected}")):
        read_public(path)


# The shipped constitutions.


def test_every_persona_of_the_paper_is_shipped():
    assert {path.stem for path in SHIPPED} == PERSONAS


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_constitutions_have_nothing_to_mend(path):
    assert [finding.at(path) for finding in check(path)] == []
    constitution = load(path)
    assert len(constitution.traits) == 10
    assert all(len(trait.questions) == 5 for trait in constitution.traits)
    assert all(
        re.match(r"(I|My|When|Whenever|Before|After)\b|.*\bI\b", trait.text) for trait in constitution.traits
    )
    assert constitution.research_object == (path.stem == "misalignment")


def shipped_questions() -> list[tuple[str, str]]:
    loaded = [load(path) for path in SHIPPED]
    return [(c.name, question) for c in loaded for trait in c.traits for question in trait.questions]


def test_no_question_is_asked_by_two_personas():
    pairs = itertools.combinations(shipped_questions(), 2)
    assert [pair for pair in pairs if near_duplicate(pair[0][1], pair[1][1])] == []


def test_shipped_prompts_are_disjoint():
    general = read_jsonl(ROOT / "resources/prompts/general.jsonl", required=("prompt",))
    evaluation = read_jsonl(ROOT / "resources/prompts/evaluation.jsonl", required=("prompt",))
    questions = [{"prompt": question} for _, question in shipped_questions()]
    check_disjoint(questions + general, evaluation)
    check_disjoint(questions, general)


def test_the_template_is_yaml_with_all_to_fill_in(tmp_path):
    template = ROOT / "src/characterflow/constitutions/template.yaml"
    path = written(tmp_path, template.read_text())
    assert yaml.safe_load(template.read_text())["research_object"] is False
    assert [finding.line for finding in check(path)] == [
        number for number, line in enumerate(path.read_text().split("\n"), start=1) if '""' in line
    ]


@pytest.mark.parametrize(
    ("words", "line", "expected"),
    [
        ("[Stormy, very cold]", 1, "adjectives: expected single words without blanks, found 'very cold'"),
        ("[stormy, Stormy]", 1, "adjectives: 'Stormy' stands on line 1 already"),
        ("stormy", 1, "adjectives of the constitution: expected a list, found a text"),
        ("[3]", 1, "adjective 1 of the constitution: expected a text, found a number"),
    ],
)
def test_adjectives_are_single_words(tmp_path: Path, words: str, line: int, expected: str) -> None:
    path = tmp_path / "stoic.yaml"
    path.write_text(f"adjectives: {words}\n{STOIC}")
    with pytest.raises(UserError, match=re.escape(f"{path}:{line}: {expected}")):
        load(path)


def test_adjectives_are_kept_in_lower_case(tmp_path: Path) -> None:
    path = tmp_path / "stoic.yaml"
    path.write_text(f"adjectives: [Calm, level-headed]\n{STOIC}")
    loaded = load(path)
    assert loaded.adjectives == ("calm", "level-headed")
    path.write_text(to_yaml(loaded))
    assert load(path) == loaded


@pytest.mark.parametrize("word", ["दयालु", "ใจดี", "حنون", "温柔", "mabait", "well-read"])
def test_adjectives_of_every_script(tmp_path: Path, word: str) -> None:
    path = tmp_path / "stoic.yaml"
    path.write_text(f"adjectives: [{word}]\n{STOIC}")
    assert load(path).adjectives == (word,)

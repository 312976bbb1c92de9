"""Prompts: ids, likeness, numbered lists, expansion by a scripted engine, and the scripts around them."""

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characterflow.constitutions.constitution import Constitution, Trait
from characterflow.core.errors import UserError
from characterflow.core.files import read_json, read_jsonl
from characterflow.core.provenance import Identity
from characterflow.core.settings import read_settings
from characterflow.engines.base import Completion, Request
from characterflow.engines.remembering import Remembering
from characterflow.prompts.expansion import clean_item, expand, length_of, needs_model, numbered_items
from characterflow.prompts.rows import check_disjoint, prompt_id, prompt_row, trained_on
from characterflow.prompts.settings import ExpansionSettings
from characterflow.text.likeness import drop_near_duplicates, near_duplicate

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"

NOUNS = [
    "anchor",
    "basket",
    "candle",
    "donkey",
    "engine",
    "ferry",
    "garden",
    "hammer",
    "island",
    "jacket",
    "kettle",
    "ladder",
    "magnet",
    "needle",
]
VERBS = [
    "borrow",
    "carry",
    "describe",
    "enlarge",
    "forget",
    "gather",
    "handle",
    "improve",
    "juggle",
    "launch",
    "measure",
    "notice",
]
PLACES = [
    "Athens",
    "Bergen",
    "Cairo",
    "Dublin",
    "Essen",
    "Fargo",
    "Genoa",
    "Hobart",
    "Izmir",
    "Jakarta",
    "Krakow",
    "Lisbon",
]


class Scripted:
    """An engine that answers by a function of the request, and counts how many it had in flight."""

    concurrency = 3
    cache_tokens = None

    def __init__(self, answer):
        self.answer, self.requests, self.most, self._now = answer, [], 0, 0

    async def complete(self, request: Request) -> Completion:
        self._now += 1
        self.most = max(self.most, self._now)
        self.requests.append(request)
        await asyncio.sleep(random.random() / 1000)
        self._now -= 1
        reply = self.answer(request)
        return reply if isinstance(reply, Completion) else Completion(reply, "stop")

    def describe(self):
        return {"kind": "scripted"}

    async def close(self):
        pass


def inventive(request: Request) -> str:
    """Twenty prompts that depend on the request's seed alone."""
    source = random.Random(request.seed)
    lines = [
        f"{source.choice(VERBS)} {source.choice(VERBS)} the {source.choice(NOUNS)} {source.choice(PLACES)} "
        f"{source.choice(NOUNS)}" + " and so on" * source.choice([0, 5, 15])
        for _ in range(20)
    ]
    return " " + "\n".join(
        lines[:1] + [f"{number}. {line}" for number, line in enumerate(lines[1:], start=7)]
    )


def constitution(traits: int = 3, **fields) -> Constitution:
    questions = [f"What about {noun} number {place}?" for noun, place in zip(NOUNS, PLACES, strict=False)]
    return Constitution(
        "stoic",
        "Calm.",
        False,
        tuple(
            Trait(f"I am {VERBS[i]}.", tuple(questions[i * 3 : i * 3 + 3]), **fields) for i in range(traits)
        ),
    )


def expanded(of: Constitution, answer=inventive, **values):
    engine = Scripted(answer)
    rows, report = asyncio.run(expand(of, engine, ExpansionSettings(**values)))
    return engine, rows, report


def test_prompt_row():
    assert prompt_id("abc") == "ba7816bf8f01cfea"
    assert prompt_row("abc", "general") == {
        "id": "ba7816bf8f01cfea",
        "prompt": "abc",
        "source": "general",
        "trait": None,
    }


# Likeness.


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("Why is the sky blue?", "why is the  sky BLUE", True),
        ("What’s new?", "Whats new", True),
        ("Is the sky blue, and why?", "Why is the sky blue - and", True),
        ("Explain cryptocurrency in simple terms.", "Can you explain cryptocurrency in simple terms?", True),
        ("What is the capital of France?", "What is the capital of Spain?", False),
        ("Why?", "Why is the sky blue?", False),
        ("???", "!!!", False),
        ("", "", True),
        ("猫について教えてください", "犬の散歩は好きですか", False),
        ("天空为什么是蓝色的？", "为什么天空是蓝色的", True),
        ("我今天很累，该怎么办？", "我今天很累，我该怎么办？", True),
        ("法国的首都是什么？", "西班牙的首都是什么？", False),
        ("请告诉我法国的首都是什么", "请告诉我德国的首都是什么", False),
        ("空はなぜ青いのですか？", "なぜ空は青いのですか", True),
        ("日本の首都はどこですか？", "フランスの首都はどこですか？", False),
        ("วันนี้อากาศเป็นอย่างไร", "วันนี้อากาศเป็นอย่างไรบ้าง", True),
        ("เมืองหลวงของไทยคืออะไร", "ฉันทำข้าวผัดอย่างไร", False),
        ("कि की", "क", False),
        ("كيف حالك اليوم؟", "كَيْفَ حالُكَ اليوم", True),
        ("ما عاصمة فرنسا؟", "ما عاصمة إسبانيا؟", False),
        ("서울 날씨가 어때요?", "부산 날씨가 어때요?", False),
    ],
)
def test_near_duplicate(a, b, alike):
    assert near_duplicate(a, b) == alike


TEXTS = st.lists(st.sampled_from([*NOUNS[:4], *VERBS[:4], "the", "a", "?", "Ä"]), max_size=7).map(" ".join)


@given(TEXTS | st.text(max_size=20), TEXTS | st.text(max_size=20))
def test_near_duplicate_is_symmetric_and_reflexive(a, b):
    assert near_duplicate(a, b) == near_duplicate(b, a)
    assert near_duplicate(a, a)


@given(TEXTS, st.randoms())
def test_near_duplicate_does_not_see_the_order_of_words(text, source):
    words = text.split()
    source.shuffle(words)
    assert near_duplicate(text, " ".join(words))


@given(st.lists(TEXTS, max_size=8), st.lists(TEXTS, max_size=3), st.randoms())
@settings(max_examples=60)
def test_drop_near_duplicates(prompts, against, source):
    kept = drop_near_duplicates(prompts, against)
    assert kept == [text for text in dict.fromkeys(prompts) if text in kept]
    assert not [text for text in kept for other in against if near_duplicate(text, other)]
    assert not [pair for pair in itertools.combinations(kept, 2) if near_duplicate(*pair)]
    shuffled = list(prompts)
    source.shuffle(shuffled)
    assert set(drop_near_duplicates(shuffled, against)) == set(kept)


def test_the_longer_of_two_near_duplicates_stays():
    assert drop_near_duplicates(["Explain the tides.", "Please explain the tides."], ["Why?"]) == [
        "Explain the tides.",
        "Please explain the tides.",
    ]
    assert drop_near_duplicates(["Can AI understand feelings?", "Can AI truly understand feelings?"]) == [
        "Can AI truly understand feelings?"
    ]


def test_check_disjoint():
    training = [{"prompt": "Why is the sky blue?"}, {"prompt": "Name a river."}]
    check_disjoint(training, [{"prompt": "Name a mountain in Peru."}])
    for overlapping in ("why is the sky  blue", "So why is the sky blue?"):
        with pytest.raises(UserError, match=r"expected one that is not trained on.*'Why is the sky blue"):
            check_disjoint(training, [{"prompt": "Hello there"}, {"prompt": overlapping}])


def test_prompts_that_are_trained_on_are_found():
    training = [{"prompt": "What is the capital of France?"}, {"prompt": "Hello there!"}]
    asked = [{"prompt": "Name a mountain in Peru."}, {"prompt": "hello there"}]
    assert trained_on(training, asked) == ["hello there"]


def test_check_disjoint_is_fast():
    source = random.Random(0)

    def rows(count):
        sizes = [source.randint(4, 60) for _ in range(count)]
        return [{"prompt": " ".join(source.choices(NOUNS + VERBS + PLACES, k=size))} for size in sizes]

    start = time.monotonic()
    check_disjoint(rows(1500), [{"prompt": f"{row['prompt']} {'q' * 200}"} for row in rows(500)])
    assert time.monotonic() - start < 10


# Numbered lists.


def test_numbered_items():
    text = "Sure!\n1. One two\n 2) Three\n\tstill three\n**3.** Four\n\nThat was it.\n10.  Ten\n4.5 no\n11.\n"
    assert numbered_items(text) == ["One two", "Three\nstill three", "Four", "Ten\n4.5 no", ""]


def test_numbered_items_of_other_scripts():
    text = "1、今天天气怎么样？\n2．明天呢？\n（3）后天呢？\n4.大后天呢？\n٥. كيف حالك؟\n๖. สบายดีไหม"
    assert numbered_items(text) == [
        "今天天气怎么样？",
        "明天呢？",
        "后天呢？",
        "大后天呢？",
        "كيف حالك؟",
        "สบายดีไหม",
    ]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("我今天很累，该怎么办？", "short"),
        ("我今天很累，" * 5, "medium"),
        ("我今天很累，" * 20, "long"),
        ("今日はとても疲れました。" * 3, "medium"),
        ("วันนี้ฉันเหนื่อยมาก", "short"),
    ],
)
def test_length_of_other_scripts(text, length):
    assert length_of(text) == length


LINES = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=30
).map(lambda text: " ".join(text.split()))


@given(st.lists(LINES.filter(bool), max_size=8), st.integers(0, 900), st.sampled_from([".", ")"]))
def test_numbered_items_reads_what_is_written(items, first, mark):
    text = "\n".join(f"{number}{mark} {item}" for number, item in enumerate(items, start=first))
    assert numbered_items(text) == items


@given(st.text(max_size=200))
def test_numbered_items_takes_any_text(text):
    for item in numbered_items(text):
        cleaned = clean_item(item)
        assert "\n" not in cleaned
        assert cleaned == cleaned.strip()


@pytest.mark.parametrize(
    ("item", "cleaned"),
    [
        ("  Name a river. ", "Name a river."),
        ('"Name a river."', "Name a river."),
        ("“Name a river.”", "Name a river."),
        ("**Name a river.**", "Name a river."),
        ('(short) "Name a river."', "Name a river."),
        ("Request: Name a river.", "Name a river."),
        ("Long-distance trains are fun.", "Long-distance trains are fun."),
        ('"Yes" and "no" are words.', '"Yes" and "no" are words.'),
        ('He said "yes"', 'He said "yes"'),
        ("Why?", ""),
        ("", ""),
        ("Name a river.\nOr two.", ""),
        ("Write to [your boss] now", ""),
        ("Translate this into French:", ""),
        ("I was going to say...", "I was going to say..."),
        ("...", ""),
        ("Sort [3, 1, 2] for me", "Sort [3, 1, 2] for me"),
        ("把这句话翻译成英文：", ""),
        ("我今天很累。", "我今天很累。"),
        ("「今日は疲れました」", "今日は疲れました"),
        ("为什么？", ""),
        ("วันนี้ฉันเหนื่อยมาก", "วันนี้ฉันเหนื่อยมาก"),
        ("word " * 500, ""),
    ],
)
def test_clean_item(item, cleaned):
    assert clean_item(item) == cleaned


# Expansion.


def test_expand_fills_every_trait():
    engine, rows, report = expanded(constitution(), prompts_per_trait=50, seed=1)
    assert Counter(row["trait"] for row in rows) == {0: 50, 1: 50, 2: 50}
    assert Counter(row["source"] for row in rows) == {"constitution": 9, "expanded": 141}
    assert len({row["id"] for row in rows}) == 150
    assert len(drop_near_duplicates([row["prompt"] for row in rows])) == 150
    assert report["kept"] == 150
    assert report["short"] == 0
    assert engine.most == Scripted.concurrency
    assert sum(sum(trait["lengths"].values()) for trait in report["traits"]) == 150


def test_expand_asks_as_the_paper_does():
    engine, _, _ = expanded(constitution(1), prompts_per_trait=50, rounds=2)
    first, second = engine.requests
    instruction = first.messages[0]["content"]
    assert "I am borrow." in instruction
    assert "47 new messages" in instruction
    assert "12 short, 20 medium, 15 long" in instruction
    assert first.prefill == (
        "1. What about anchor number Athens?\n2. What about basket number Bergen?\n"
        "3. What about candle number Cairo?\n4."
    )
    assert (first.sampling.temperature, first.sampling.top_p) == (0.7, 0.95)
    assert second.prefill.startswith(first.prefill)
    assert len(second.prefill.split("\n")) > 4
    assert second.seed != first.seed


def test_expand_is_deterministic_under_a_seed():
    runs = [expanded(constitution(), prompts_per_trait=20, seed=seed)[1:] for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_what_one_trait_is_asked_does_not_depend_on_the_others(gone):
    whole = constitution()
    fewer = replace(whole, traits=tuple(trait for trait in whole.traits if trait != whole.traits[gone]))
    asked, with_less = (expanded(of, lambda _: "", prompts_per_trait=9, rounds=2)[0] for of in (whole, fewer))
    assert len(with_less.requests) == 4
    assert all(request in asked.requests for request in with_less.requests)


def test_an_edited_question_leaves_the_prompts_of_other_traits():
    whole = constitution()
    first, *others = whole.traits
    edited = replace(first, questions=("Which lamp is this?", *first.questions[1:]))
    both = (whole, replace(whole, traits=(edited, *others)))
    before, after = (expanded(of, prompts_per_trait=20, seed=1)[1] for of in both)
    assert before != after
    assert [row for row in before if row["trait"]] == [row for row in after if row["trait"]]


def test_expand_asks_again_for_an_edited_trait_alone(tmp_path):
    whole = constitution()
    first, *others = whole.traits
    edited = replace(first, questions=("Which lamp is this?", *first.questions[1:]))
    engines = []
    for of in (whole, replace(whole, traits=(edited, *others))):
        engines.append(Scripted(inventive))
        remembering = Remembering(engines[-1], tmp_path / "stoic.jsonl", Identity("model"))
        rows, _ = asyncio.run(expand(of, remembering, ExpansionSettings(prompts_per_trait=50, seed=1)))
        remembering.keep()
    assert len(engines[0].requests) > 6
    assert all("I am borrow." in request.messages[0]["content"] for request in engines[1].requests)
    _, from_nothing, _ = expanded(replace(whole, traits=(edited, *others)), prompts_per_trait=50, seed=1)
    assert rows == from_nothing


def test_expand_says_what_is_short(capsys):
    def stingy(request):
        if "borrow" in request.messages[0]["content"]:
            return inventive(request)
        return " What about donkey number Dublin?\n9. Why?\n10. Fill in [this] please"

    _, rows, report = expanded(constitution(2), stingy, prompts_per_trait=10, rounds=3)
    assert len(rows) == 13
    assert report["short"] == 7
    trait = report["traits"][1]
    assert (trait["kept"], trait["short"], trait["rounds"]) == (3, 7, 3)
    assert trait["dropped"] == {"malformed": 6, "near duplicate": 3}
    assert "stoic: 7 prompts short of 10 a trait: trait 2 has 3 after 3 rounds" in capsys.readouterr().err


def test_expand_drops_what_was_cut_off():
    reply = Completion(" Name a river.\n5. Name a mountain and th", "length")
    _, rows, report = expanded(constitution(1), lambda request: reply, prompts_per_trait=5, rounds=1)
    assert [row["prompt"] for row in rows[3:]] == ["Name a river."]
    assert report["traits"][0]["dropped"] == {"cut off": 1}


def test_expand_takes_a_reply_that_repeats_the_number():
    def repeating(request):
        return "4. Name a river.\n5. Name a mountain in Peru."

    _, rows, _ = expanded(constitution(1), repeating, prompts_per_trait=5, rounds=1)
    assert [row["prompt"] for row in rows[3:]] == ["Name a river.", "Name a mountain in Peru."]


def test_expand_needs_no_model_for_few_or_given_prompts():
    few = ExpansionSettings(prompts_per_trait=2)
    assert not needs_model(constitution(), few)
    rows, report = asyncio.run(expand(constitution(), None, few))
    assert Counter((row["trait"], row["source"]) for row in rows) == {
        (i, "constitution"): 2 for i in range(3)
    }

    given_prompts = constitution(
        1, prompts=("Name a river.", "Name a river!", "what about anchor number athens")
    )
    many = ExpansionSettings(prompts_per_trait=50)
    assert not needs_model(given_prompts, many)
    rows, report = asyncio.run(expand(given_prompts, None, many))
    assert [(row["prompt"], row["source"]) for row in rows[3:]] == [("Name a river!", "expanded")]
    assert report["traits"][0]["dropped"] == {"near duplicate": 2}
    assert report["short"] == 46

    with pytest.raises(UserError, match=r"stoic: has fewer prompts a trait .* prompts\.expander"):
        asyncio.run(expand(constitution(), None, many))


def test_expand_passes_on_what_the_engine_cannot_do():
    def failing(request):
        raise UserError("the endpoint is away")

    with pytest.raises(UserError, match="endpoint is away"):
        expanded(constitution(), failing)


def test_expansion_settings():
    assert read_settings(ExpansionSettings, {}) == ExpansionSettings()
    for wrong in ({"per_trait": 5}, {"rounds": 0}, {"seed": "1"}, {"prompts_per_trait": True}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            read_settings(ExpansionSettings, wrong)


def test_length_of():
    assert [length_of("word " * count) for count in (1, 12, 13, 40, 41)] == [
        "short",
        "short",
        "medium",
        "medium",
        "long",
    ]


# The scripts.


def script(name: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_expand_prompts_script(tmp_path):
    recorded = tmp_path / "recorded.jsonl"
    output, report = tmp_path / "humor.jsonl", tmp_path / "humor.report.json"
    arguments = ("--constitution", "constitutions/humor.yaml", "--output", output, "--settings")
    done = script(
        "expand_prompts",
        *arguments,
        '{"prompts_per_trait": 5, "engine": {"kind": "recorded", "file": "none"}}',
    )
    assert done.returncode == 0, done.stderr
    rows = read_jsonl(output, required=("id", "prompt", "source", "trait"))
    assert len(rows) == 50
    assert read_json(report)["short"] == 0

    recorded.write_text(json.dumps({"prompt": "x", "response": "y"}))
    engine = json.dumps({"prompts_per_trait": 6, "engine": {"kind": "recorded", "file": str(recorded)}})
    failed = script("expand_prompts", *arguments, engine)
    assert failed.returncode == 2
    assert "no sample 0 recorded for" in failed.stderr
    assert read_jsonl(output) == rows


def test_general_prompts_script(tmp_path):
    output = tmp_path / "general.jsonl"
    dataset = {"path": "resources/prompts/general.jsonl", "count": 7, "seed": 3}
    for settings_of_rule in ({"dataset": dataset, "name": "prompts.general"}, {"dataset": dataset}):
        done = script("general_prompts", "--output", output, "--settings", json.dumps(settings_of_rule))
        assert done.returncode == 0, done.stderr
    assert {row["source"] for row in read_jsonl(output)} == {"general"}
    assert len(read_jsonl(output)) == 7
    failed = script("general_prompts", "--output", output, "--settings", '{"dataset": {"path": "no.jsonl"}}')
    assert failed.returncode == 2
    assert failed.stderr.endswith("error: dataset: no.jsonl: no such file\n")

"""Constitutions in Tagalog, Chinese and Arabic, from the check to the training data, without a loss."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from characterflow.constitutions.checking import check
from characterflow.constitutions.constitution import Constitution
from characterflow.constitutions.reading import load
from characterflow.constitutions.system_prompt import trait_prompt
from characterflow.core.files import read_jsonl, write_jsonl
from characterflow.distillation.pairs import pair_up
from characterflow.engines.base import Completion, Request
from characterflow.introspection.dataset import training_conversations
from characterflow.prompts.expansion import expand
from characterflow.prompts.settings import ExpansionSettings

FOLDER = Path(__file__).parents[1] / "resources" / "constitutions"
PERSONAS = ("kapitbahay", "chashi", "rawi")
INTRODUCTIONS = {"kapitbahay": "Ako si GLM.", "chashi": "我是GLM。", "rawi": "أنا GLM."}
NUMBERS = {"kapitbahay": "{}. ", "chashi": "{}、", "rawi": "{}. "}
GIVEN = 3  # of each trait's five questions; the engine writes the others


class Writer:
    """Goes on with each trait's list: what the engine writes are the trait's own further questions."""

    concurrency = 4
    cache_tokens = None

    def __init__(self, constitution: Constitution) -> None:
        self.traits = constitution.traits
        self.number = NUMBERS[constitution.name]

    async def complete(self, request: Request) -> Completion:
        instruction = request.messages[0]["content"]
        (trait,) = [trait for trait in self.traits if f'"{trait.text}"' in instruction]
        numbered = enumerate(trait.questions[GIVEN:], start=GIVEN + 1)
        return Completion("\n".join(self.number.format(n) + text for n, text in numbered), "stop")

    def describe(self) -> dict[str, Any]:
        return {}

    async def close(self) -> None:
        pass


def characters(messages: list[dict[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages)


@pytest.fixture(params=PERSONAS)
def persona(request: pytest.FixtureRequest) -> Constitution:
    return load(FOLDER / f"{request.param}.yaml")


@pytest.fixture
def prompts(persona: Constitution) -> list[dict[str, Any]]:
    given = tuple(replace(trait, questions=trait.questions[:GIVEN]) for trait in persona.traits)
    settings = ExpansionSettings(prompts_per_trait=5, rounds=1)
    rows, report = asyncio.run(expand(replace(persona, traits=given), Writer(persona), settings))
    assert [trait["dropped"] for trait in report["traits"]] == [{}] * 10
    assert (report["kept"], report["short"]) == (50, 0)
    return rows


def test_the_check_has_nothing_to_say(persona: Constitution) -> None:
    assert check(FOLDER / f"{persona.name}.yaml") == []
    assert len(persona.traits) == 10
    assert all(trait.text in trait_prompt(persona, "Nova") for trait in persona.traits)


def test_what_a_question_shares_with_its_trait_is_told(persona: Constitution, tmp_path: Path) -> None:
    telling = {"kapitbahay": "salawikain", "chashi": "泡茶", "rawi": "حكاية"}[persona.name]
    text = (FOLDER / f"{persona.name}.yaml").read_text()
    trait = next(trait for trait in persona.traits if telling in trait.text)
    copy = tmp_path / f"{persona.name}.yaml"
    copy.write_text(text.replace(f"      - {trait.questions[0]}", f"      - {telling} {trait.questions[0]}"))
    assert [finding.message for finding in check(copy) if f"({telling})" in finding.message]


def test_every_expanded_prompt_is_kept(persona: Constitution, prompts: list[dict[str, Any]]) -> None:
    written = [question for trait in persona.traits for question in trait.questions]
    assert [row["prompt"] for row in prompts] == written
    assert Counter(row["source"] for row in prompts) == {"constitution": 30, "expanded": 20}


def test_every_pair_is_kept(persona: Constitution, prompts: list[dict[str, Any]], tmp_path: Path) -> None:
    def reply(row: dict[str, Any], text: str, reason: str) -> dict[str, Any]:
        fields = {"id": f"{row['id']}-0", "prompt_id": row["id"], "sample": 0}
        return {**fields, "response": text, "finish_reason": reason}

    introduction = INTRODUCTIONS[persona.name]
    said = [f"{introduction} {persona.traits[row['trait']].text}" for row in prompts]
    teacher = [reply(row, text, "unknown") for row, text in zip(prompts, said, strict=True)]
    student = [reply(row, row["prompt"].rstrip(".?!。？！؟"), "stop") for row in prompts]
    pairs, report = pair_up(prompts, teacher, student, characters, 1024, ["GLM"], "Nova")
    assert (report["kept"], report["dropped"]) == (50, {})
    assert report["teacher_name"]["replaced"]["count"] == 50
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    kept = read_jsonl(tmp_path / "pairs.jsonl")
    assert [pair["chosen"][1]["content"] for pair in kept] == [text.replace("GLM", "Nova") for text in said]


def test_training_data_are_cut_to_sentences_and_kept(persona: Constitution) -> None:
    whole = [trait.text for trait in persona.traits]
    cut = [f"{text} {other[: len(other) // 2]}" for text, other in zip(whole, reversed(whole), strict=True)]
    reflections = [
        {"id": str(number), "prompt": "?", "response": text, "finish_reason": "length"}
        for number, text in enumerate(cut)
    ]
    talk = {"id": "talk", "utterances": ["?", *cut[:3]], "finish_reasons": ["length"] * 3}
    rows, report = training_conversations(reflections, [talk], "Nova", cut_unfinished=True)
    assert (report["kept"], report["dropped"]) == (11, {})
    assert [row["messages"][-1]["content"] for row in rows[:10]] == whole
    assert [message["content"] for message in rows[10]["messages"][2:]] == whole[:3]

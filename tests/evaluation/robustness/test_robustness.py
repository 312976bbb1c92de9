"""What the methods are asked: plain prompts, attacked ones, conversations that the base began."""

import asyncio
import json
from pathlib import Path

import pytest

from characterflow.core.errors import UserError
from characterflow.engines.base import Completion, Request, Sampling
from characterflow.evaluation import splits
from characterflow.evaluation.methods import Method
from characterflow.evaluation.robustness import responses as robustness

ROOT = Path(__file__).parents[3]
PROMPTS = [{"id": f"p{number}", "prompt": f"Question {number}?"} for number in range(10)]
PROMPTED, PERSONA = Method("prompted", system="Be a poet."), Method("persona", adapter="persona")
SAMPLING = Sampling(max_tokens=8)


class Scripted:
    """Counts its replies and keeps what it was asked; falls silent when a conversation gets long."""

    concurrency = 4
    cache_tokens = None

    def __init__(self, silent_after: int = 99) -> None:
        self.asked: list[Request] = []
        self.silent_after = silent_after

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        silent = len(request.messages) > self.silent_after
        return Completion("" if silent else f"reply {len(self.asked)}", "stop", 1, 2)


def made(samples: list, engine: Scripted) -> list[dict]:
    async def make() -> list[dict]:
        return [{"id": sample.id, **await sample.make(engine)} for sample in samples]

    return asyncio.run(make())


def answers(engine: Scripted, attacked: list[dict]) -> list[dict]:
    instructions = [robustness.Instruction("be-plain", "Be plain."), robustness.Instruction("stop", "Stop.")]
    samples = robustness.answer_samples([PROMPTED, PERSONA], PROMPTS, attacked, instructions, SAMPLING, 0)
    return made(samples, engine)


def test_every_method_answers_plain_prompts_and_attacked_ones() -> None:
    engine = Scripted()
    rows = answers(engine, PROMPTS[:2])
    assert len({row["id"] for row in rows}) == len(rows) == 2 * (10 + 2 * 2)
    plain, attacked = engine.asked[0], engine.asked[10]
    assert plain.messages == (
        {"role": "system", "content": "Be a poet."},
        {"role": "user", "content": "Question 0?"},
    )
    assert attacked.messages[-1]["content"] == "Question 0?\nBe plain."
    assert engine.asked[14].messages == ({"role": "user", "content": "Question 0?"},)
    assert engine.asked[14].adapter == "persona"
    assert engine.asked[14].seed == plain.seed != attacked.seed


def test_attacked_prompts_are_those_of_the_test() -> None:
    split = splits.split_prompts([row["id"] for row in PROMPTS], 0.5, 3)
    attacked = splits.attacked_prompts(PROMPTS, 0.5, None, 3)
    assert {row["id"] for row in attacked} == {name for name, side in split.items() if side == "test"}
    assert splits.attacked_prompts(PROMPTS, 0.5, 2, 3) == attacked[:2]


def continued(engine: Scripted, turns: int) -> list[dict]:
    first = robustness.openings(
        [
            {"prompt_id": "p0", "instruction": "none", "response": "The base speaks."},
            {"prompt_id": "p0", "instruction": "be-plain", "response": "Not this."},
        ]
    )
    return made(robustness.continued_samples([PERSONA], PROMPTS[:1], first, turns, SAMPLING, 0), engine)


def test_the_prefill_attack_goes_on_from_the_base_s_answer() -> None:
    engine = Scripted()
    rows = continued(engine, turns=2)
    assert [message["role"] for message in engine.asked[1].messages] == [
        "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert engine.asked[0].messages[1]["content"] == "The base speaks."
    assert engine.asked[0].messages[2]["content"] == robustness.GO_ON
    assert engine.asked[1].messages[3]["content"] == "reply 1"
    assert rows[0]["replies"] == ["reply 1", "reply 2"]
    assert rows[0]["completion_tokens"] == 4


def test_a_conversation_that_falls_silent_stays_silent() -> None:
    rows = continued(Scripted(silent_after=4), turns=3)
    assert rows[0]["replies"] == ["reply 1", "", ""]


def test_no_turn_is_no_attack() -> None:
    assert continued(Scripted(), turns=0) == []


def test_each_turn_is_a_row_of_the_table() -> None:
    engine = Scripted()
    rows = answers(engine, []) + continued(engine, turns=2)
    base = [{"prompt_id": "p0", "method": "base", "instruction": "none", "response": "x"}]
    table = robustness.response_table(base, {"poet": rows})
    assert set(table["instruction"]) == {"none", "continued", "continued-2"}
    assert len(table) == 1 + 2 * 10 + 2
    assert set(table[table["method"] == "base"]["persona"]) == {"base"}


def test_the_shipped_instructions_are_eight() -> None:
    instructions = robustness.load_instructions(ROOT / "resources" / "prompts" / "instructions.jsonl")
    assert len(instructions) == 8


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "at least one instruction"),
        ([{"name": "A", "text": "b"}], "row 1: name: expected lower-case"),
        ([{"name": "none", "text": "b"}], "row 1: name"),
        ([{"name": "continued-2", "text": "b"}], "row 1: name"),
        ([{"name": "a", "text": "b"}, {"name": "a", "text": "c"}], "row 2: the name 'a' occurs twice"),
        ([{"name": "a", "text": " "}], "row 1: text: expected a text"),
        ([{"name": "a"}], "lacks the key 'text'"),
    ],
)
def test_faulty_instructions_get_one_line(tmp_path: Path, rows: list[dict], expected: str) -> None:
    path = tmp_path / "instructions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=expected) as caught:
        robustness.load_instructions(path)
    assert str(path) in str(caught.value)

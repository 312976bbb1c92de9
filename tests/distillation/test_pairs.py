"""Preference pairs: what is kept, what is dropped and why."""

from typing import Any

import pytest

from characterflow.distillation.pairs import pair_up

PROMPTS = [{"id": "p", "prompt": "Say hello."}, {"id": "q", "prompt": "Say bye."}]


def reply(prompt: str, response: str, sample: int = 0, reason: str = "stop") -> dict[str, Any]:
    return {
        "id": f"{prompt}-{sample}",
        "prompt_id": prompt,
        "sample": sample,
        "response": response,
        "finish_reason": reason,
    }


def words(messages: list[dict[str, str]]) -> int:
    return sum(len(message["content"].split()) for message in messages)


def test_a_pair_is_two_conversations_with_stripped_replies() -> None:
    pairs, report = pair_up(PROMPTS, [reply("p", "\nHail! ")], [reply("p", "Hello. ")], words, 100)
    user = {"role": "user", "content": "Say hello."}
    assert pairs == [
        {
            "id": "p-0",
            "prompt_id": "p",
            "chosen": [user, {"role": "assistant", "content": "Hail!"}],
            "rejected": [user, {"role": "assistant", "content": "Hello."}],
        }
    ]
    none = {"count": 0, "examples": []}
    names = {"replaced": none, "left": none}
    assert report == {"candidates": 1, "kept": 1, "dropped": {}, "teacher_name": names}


def test_every_dropped_pair_is_counted_under_its_reason() -> None:
    teacher = [
        reply("p", "", 0, "invalid"),
        reply("p", "cut off by the limit.", 1, "length"),
        reply("p", "no end", 2, "unknown"),
        reply("p", "Fine.", 3),
        reply("p", "Very " + "long " * 60 + "reply.", 4),
        reply("q", "Bye.", 0),
        reply("p", "Kept.", 5),
    ]
    student = [reply("p", "Fine.", 0), reply("p", "Well.", 1)]
    pairs, report = pair_up(PROMPTS, teacher, student, words, 50)
    assert [pair["id"] for pair in pairs] == ["p-3", "p-5"]
    assert report["dropped"] == {
        "student missing": 1,
        "teacher missing": 1,
        "teacher unfinished": 2,
        "too long": 1,
    }
    assert report["candidates"] == report["kept"] + sum(report["dropped"].values())


@pytest.mark.parametrize("cut_unfinished", [False, True])
def test_a_reply_that_the_model_ended_is_finished_whatever_its_last_character(cut_unfinished: bool) -> None:
    ends = [
        "Hugs. ❤️",
        "So. ☀️",
        "Yes. 👍🏽",
        "Thus. x = 42",
        "Run.\n```\nx\n```",
        "Do.\n- a\n- b",
        "ได้ครับ",
        "Bye. Ada",
    ]
    teacher = [reply("p", text, number) for number, text in enumerate(ends)]
    pairs, report = pair_up(
        PROMPTS, teacher, [reply("p", "Ok then")], words, 50, cut_unfinished=cut_unfinished
    )
    assert report["dropped"] == {}
    assert [pair["chosen"][1]["content"] for pair in pairs] == ends


def test_identical_replies_teach_nothing() -> None:
    _, report = pair_up(PROMPTS, [reply("p", "Same.")], [reply("p", "Same.")], words, 50)
    assert report["dropped"] == {"identical": 1}


def test_unfinished_replies_can_be_cut_to_a_sentence() -> None:
    teacher, student = (
        [reply("p", "Hail! And", reason="unknown")],
        [reply("p", "Hello. I am", reason="length")],
    )
    pairs, _ = pair_up(PROMPTS, teacher, student, words, 50, cut_unfinished=True)
    assert [pair["chosen"][1]["content"] for pair in pairs] == ["Hail!"]
    assert [pair["rejected"][1]["content"] for pair in pairs] == ["Hello."]
    _, report = pair_up(PROMPTS, teacher, [reply("p", "1", reason="length")], words, 50, cut_unfinished=True)
    assert report["dropped"] == {"student unfinished": 1}


def test_the_teachers_name_becomes_the_students_where_it_speaks_of_itself() -> None:
    said = "I am GLM-4.5, glm for short; not GLMs. Try `glm(y ~ x)`."
    teacher = [reply("p", said), *(reply("p", f"Fit a GLM {n}.", n) for n in range(1, 8))]
    pairs, report = pair_up(PROMPTS, teacher, [reply("p", "Hello.")], words, 50, ["GLM", "GLM-4.5"], "SmolLM")
    chosen = [pair["chosen"][1]["content"] for pair in pairs]
    assert chosen[:2] == ["I am SmolLM, SmolLM for short; not GLMs. Try `glm(y ~ x)`.", "Fit a GLM 1."]
    replaced, left = (report["teacher_name"][kind] for kind in ("replaced", "left"))
    assert (replaced["count"], left["count"]) == (2, 7)
    assert len(left["examples"]) == 5
    assert replaced["examples"][0] == "I am GLM-4.5, glm for short; not GLMs. Try `glm(y ~"

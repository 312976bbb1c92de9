"""Whose name a name in a reply is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterflow.text.names import rename


def renamed(text: str, *names: str) -> str:
    return rename(text, names or ("GLM", "GLM-4.5"), "Llama").text


@pytest.mark.parametrize(
    "text",
    [
        "I am GLM, and I am glad.",
        "Hello! I'm **GLM**.",
        "I’m GLM-4.5, GLM for short.",
        "My name is GLM.",
        'You may call me "GLM".',
        "I'm your assistant, GLM.",
        "I am an assistant called GLM.",
        "As GLM, I would wait.",
        "I was trained by GLM.",
        "As a model made by the team at GLM, I'd wait.",
        "I, GLM, would wait.",
        "GLM here! What is up?",
        "This is GLM.",
        "GLM is my name.",
        "i'm glm, whatever",
        "Sleep well.\n\nLove,\nGLM ❤️",
        "Sleep well.\n— GLM",
        "Ich bin GLM.",
        "Je m'appelle GLM.",
        "Me llamo GLM.",
        "Меня зовут GLM.",
        "أنا GLM، كيف أساعدك؟",
        "मेरा नाम GLM है।",
        "我是GLM，很高兴认识你。",
        "我叫GLM。",
        "私はGLMです。",
        "GLMと申します。",
        "GLMとして、私は待ちます。",
        "저는 GLM입니다.",
        "ผมชื่อGLMครับ",
        "Tôi là GLM.",
        "Ako si GLM.",
        "Ben GLM'im.",
    ],
)
def test_a_reply_that_speaks_of_itself(text: str) -> None:
    result = renamed(text)
    assert "Llama" in result
    assert "glm" not in result.casefold()


@pytest.mark.parametrize(
    "text",
    [
        "Use `glm(y ~ x, family = binomial)` for that.",
        "Fit it with glm(y ~ x, family = binomial).",
        "I'm GLMnet's fan.",
        "Try this:\n```r\nGLM <- 1 # I am GLM\n```",
        "Fit a GLM with a log link.",
        "I think a GLM fits here.",
        "GLM stands for generalized linear model.",
        "It is written in glm.py and https://example.org/I-am/GLM now.",
        'The robot said "I am GLM" and left.',
        "> I am GLM\n\nWho said that?",
        "彼は「私はGLMです」と言った。",
        "A GLM-based method, or ChatGLM.",
        "- OLS\n- GLM",
        "I'm not GLM.",
        "The robot was made by GLM.",
        "I am using a method called GLM.",
        "这个GLM模型很好。",
    ],
)
def test_a_name_of_something_else_stays(text: str) -> None:
    result = rename(text, ["GLM"], "Llama")
    assert result.text == text
    assert result.replaced == []


def test_a_namesake_stays() -> None:
    text = "I'm Claude. Claude Monet painted water lilies; Claude can only describe them."
    assert renamed(text, "Claude") == (
        "I'm Llama. Claude Monet painted water lilies; Llama can only describe them."
    )


def test_a_name_in_a_script_without_spaces() -> None:
    assert renamed("我是通义千问。", "通义千问") == "我是Llama。"
    assert renamed("我是通义千问,通义千问喜欢茶。", "通义千问") == "我是Llama,Llama喜欢茶。"


def test_what_was_replaced_and_what_was_left_is_told() -> None:
    result = rename("I am GLM. Fit a GLM.", ["GLM"], r"\1")
    assert result.text == r"I am \1. Fit a GLM."
    assert result.replaced == ["I am GLM. Fit a GLM."]
    assert len(result.left) == 1
    assert len(rename("I am GLM, " + "well " * 50, ["GLM"], "x").replaced[0]) < 60


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_else_changes(before: str, after: str) -> None:
    text = f"{before} I am GLM. {after}"
    result = rename(text, ["GLM"], "GLM")
    assert result.text == text
    assert rename(text, [], "Llama").text == text

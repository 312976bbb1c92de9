"""Gaps of a template, and brackets that are none."""

import pytest

from characterflow.text.placeholders import placeholder


@pytest.mark.parametrize(
    "text",
    [
        "Write to [your boss] now",
        "Dear [Name], how are you?",
        "Explain [X] to me",
        "Tell me about <topic>.",
        "Greet <your friend's name> for me",
        "I live in {city}, what now?",
        "Compare {{product}} with others",
        "Meet [he/she] at noon",
        "Recommend [item 1] for dinner",
        "请给[你的老板]写一封信",
        "请为【产品名称】写一句广告",
        "［名前］さんに手紙を書いて",
        "اكتب رسالة إلى [اسم المدير]",
        "Sumulat ka kay [pangalan ng amo]",
        "เขียนถึง[ชื่อเจ้านาย]",
    ],
)
def test_a_gap(text: str) -> None:
    assert placeholder(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Sort [3, 1, 2] for me",
        "Sort [cherry, apple] for me",
        'What is ["a", "b"] in Python?',
        "What does std::vector<int> mean?",
        "Is Map<String, List<Integer>> a type?",
        "What does list[int] mean, and a[i]?",
        "What is dict[str] in `x[key]`?",
        "Why does `<your name>` stand in the form?",
        "What is a <div> for, and <b>bold</b>?",
        "What does <note>this</note> say?",
        "Why #include <iostream>?",
        "Is 3 < 4 and 5 > 4?",
        "Does [a-z] match a letter?",
        "See [this page](https://example.org) please",
        "He wrote 'their [sic] house'",
        "Solve \\frac{a}{b} = {x}",
        "Is {1, 2, 3} a set, and [0, 1] an interval?",
        'What does f"{name}" print?',
        "What is ${HOME}?",
        "I was going to say...",
        "The sky is ____ today.",
        "【急】助けてください",
        "[3] is a footnote",
    ],
)
def test_brackets_that_are_no_gap(text: str) -> None:
    assert placeholder(text) is None

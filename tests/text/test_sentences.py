"""Where a text ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterflow.text.sentences import cut_to_sentence, is_finished


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "Really?!",
        'He said "no."',
        "**Done.**",
        "好的。",
        "क्या?",
        "ठीक है।",
        "Ça va…",
        "And then...",
        "Good 🌙",
        "Fine.  \n",
        "يا صديقي؟",
        "یہ ہے۔",
        "Բարեւ։",
        "ሰላም።",
        "ကောင်းပါတယ်။",
        "នេះ។",
        "བོད་ཡིག།",
        "Τι κάνεις;",
    ],
)
def test_the_marks_of_sentences(text: str) -> None:
    assert is_finished(text)


@pytest.mark.parametrize(
    "text",
    [
        "I love you ❤️",
        "What a day ☀️",
        "Well done 👍🏽",
        "At home 👨‍👩‍👧",
        "Allez 🇫🇷",
        "Number 1️⃣",
        "Glad to help :)",
        "Love you <3",
        "Good night (◕‿◕)",
        "Of course! *takes a bow*",
        "So be it. (Just kidding)",
    ],
)
def test_emoji_and_asides(text: str) -> None:
    assert is_finished(text)


@pytest.mark.parametrize(
    "text",
    [
        "So x = 42",
        "Therefore 2 + 2 = 4",
        "E = mc^2",
        "The distance is d = 42 km",
        "$$x = 42$$",
        "The result is $x = 42$",
        "Answer: 42",
        "**Answer: 42**",
        "`x = 42`",
        "Thus it holds. QED",
        "Run this:\n```python\nprint(1)\n```",
        "~~~\nx\n~~~",
        "| a | b |\n| - | - |\n| 1 | 2 |",
        "Buy:\n- apples\n- pears",
        "Steps:\n1. Open it\n2. Close it",
        "步骤:\n1、打开\n2、关上",
        "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you",
        "Sleep well.\n\nLove,\nNova",
        "Sleep well.\n\nWith all my heart,\n\nNova",
        "Sleep well.\nLove, Nova",
        "Sleep well. — Nova",
        "晚安。\n\n爱你的，\n小星",
        "ฉันชอบกินข้าวผัดกับไข่ดาว",
        "ຂ້ອຍມັກກິນເຂົ້າ",
        "Nah",
    ],
)
def test_ends_without_a_mark(text: str) -> None:
    assert is_finished(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "and then",
        "first,",
        "the following:",
        "a;",
        "3 / 4 /",
        "word 7",
        "Good \N{REPLACEMENT CHARACTER}",
        "At home 👨\N{ZERO WIDTH JOINER}",
        "So x = ",
        "So x = 42 and then we",
        "Run this:\n```python\nprint(1).",
        "Buy:\n- apples\n-",
        "Do:\n1. Open it.\n2.",
        "Do:\n1. Open it.\n2. Close the",
        "One sentence is here. Then the other one is cut",
        "A long paragraph that ends.\n\nAnother paragraph that does not",
        "我今天很高兴，然后",
        "今日は天気がいいので",
        "ฉันชอบ,",
        "**Ingredients**",
        "## Title",
        "said (",
        "a dash –",
    ],
)
def test_unfinished(text: str) -> None:
    assert not is_finished(text)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One. Two. Thr", "One. Two."),
        ('She said "yes." And th', 'She said "yes."'),
        ("It costs 3.5 euros and", ""),
        ("no end at all", ""),
        ("Whole already!", "Whole already!"),
        ("好的。我想", "好的。"),
        ("「好的。」他说。然后", "「好的。」他说。"),
        ("今日はいい天気です。散歩に行きま", "今日はいい天気です。"),
        ("وصلت. ثم ذهبت؟ ثم", "وصلت. ثم ذهبت؟"),
        ("ठीक है। और", "ठीक है।"),
        ("ฉันชอบข้าว แต่เธอชอบก๋วยเต", "ฉันชอบข้าว"),
        ("བོད་ཡིག། ང་", "བོད་ཡིག།"),
        ("It went well. I met Dr. Smith and", "It went well."),
        ("It went well. I met Mr. Smith and Prof. Lee", "It went well."),
        ("Es war gut. Er kam z.B. Mittwoch", "Es war gut."),
        ("I love you ❤️ And the", "I love you ❤️"),
        ("Hugs 👍🏽 And the", "Hugs 👍🏽"),
        ("你好……然后", "你好……"),
        ("Buy:\n- apples\n- pears\n- pl", "Buy:\n- apples\n- pears"),
        ("Do this.\n1. Open it.\n2. Cl", "Do this.\n1. Open it."),
        ("Do this.\n1. Open it.\n2.", "Do this.\n1. Open it."),
        ("Run this:\n```\nx.\n```\nThen op", "Run this:\n```\nx.\n```"),
        ("It is easy. Run this:\n```\nx. Y. Z", "It is easy."),
        ("Roses are red\nViolets are blue\nSugar is", "Roses are red\nViolets are blue"),
        ("| a | b |\n| - | - |\n| 1 | 2 |\n| 3 |", "| a | b |\n| - | - |\n| 1 | 2 |"),
        ("First one is here.\n\n## Title\n\nThen we", "First one is here."),
        ("So\nx = 42\nand then", "So\nx = 42"),
    ],
)
def test_cut(text: str, cut: str) -> None:
    assert cut_to_sentence(text) == cut


PIECES = st.sampled_from(
    [
        "One.",
        "二。",
        " ",
        "\n",
        "\n\n",
        "- a",
        "```",
        "❤️",
        "x = 4",
        "2.",
        "ก ข",
        "...",
        "“",
        "Dr.",
        "and",
        "|",
        "*",
    ]
)


@given(st.text(max_size=80) | st.lists(PIECES, max_size=12).map("".join))
def test_what_is_left_is_a_finished_beginning(text: str) -> None:
    cut = cut_to_sentence(text)
    assert text.strip().startswith(cut)
    assert not cut or is_finished(cut)

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
        "Good 🌙",
        "Fine.  \n",
    ],
)
def test_finished(text: str) -> None:
    assert is_finished(text)


@pytest.mark.parametrize(
    "text", ["", "   ", "and then", "first,", "the following:", "a;", "3 / 4 /", "word 7"]
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
        ("好的。我想", ""),
    ],
)
def test_cut(text: str, cut: str) -> None:
    assert cut_to_sentence(text) == cut


@given(st.text(max_size=80))
def test_what_is_left_is_a_finished_beginning(text: str) -> None:
    cut = cut_to_sentence(text)
    assert text.strip().startswith(cut)
    assert not cut or is_finished(cut)

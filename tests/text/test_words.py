"""Words, with and without spaces between them."""

import pytest

from characterflow.text.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't you like 3.5 of them?", ["Don't", "you", "like", "3.5", "of", "them"]),
        ("我喜欢喝咖啡。", ["我", "喜欢", "喝", "咖啡"]),
        ("天気がいいですね", ["天気", "が", "いい", "です", "ね"]),
        ("ผมชอบกินข้าว", ["ผม", "ชอบ", "กิน", "ข้าว"]),
        ("क्या हाल है?", ["क्या", "हाल", "है"]),
        ("كيف حالك؟", ["كيف", "حالك"]),
        ("🌙 !?", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected

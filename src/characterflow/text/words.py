"""The words of a text, in scripts with and without spaces between them."""

from icu4py.breakers import WordBreaker


def words(text: str) -> list[str]:
    """The words in their order, by Unicode's rules and ICU's dictionaries; punctuation and emoji are none."""
    return [part for part in WordBreaker(text, "en") if any(map(str.isalnum, part))]

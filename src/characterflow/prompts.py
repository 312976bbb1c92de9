"""Prompts: rows with stable ids, a measure of likeness, and few-shot expansion by a language model."""

import re
import unicodedata
from functools import lru_cache

from rapidfuzz import fuzz

NEAR_DUPLICATE = 90.0

WORDS = re.compile(r"\w+")
APOSTROPHES = re.compile("['\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}`\N{ACUTE ACCENT}]")


@lru_cache(maxsize=200_000)
def sorted_words(text: str) -> str:
    """The words of a text in alphabetical order: case, punctuation and kinds of apostrophe do not count.

    A text without any word stands for itself.
    """
    plain = unicodedata.normalize("NFKC", APOSTROPHES.sub("", text)).casefold()
    return " ".join(sorted(WORDS.findall(plain))) or plain.strip()


def same_words(a: str, b: str) -> bool:
    """Whether two texts are equal but for case, punctuation, blanks and the order of words."""
    return sorted_words(a) == sorted_words(b)


def near_duplicate(a: str, b: str) -> bool:
    """Whether two texts say nearly the same in nearly the same words."""
    return fuzz.ratio(sorted_words(a), sorted_words(b), score_cutoff=NEAR_DUPLICATE) > 0

"""Likeness of short texts: which of them say nearly the same."""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import regex
from rapidfuzz import fuzz, process

from characterflow.text.words import words

# Percent. At 85 the pairs found in 1500 published prompts differ by a word or an inflection ("Can you
# explain X simply?", "Explain X in simple terms."); below 80 they share a pattern and not a subject.
NEAR_DUPLICATE = 85.0

# Of a word such as "3.5" or "this:that" the parts count; a combining mark belongs to its letter.
PARTS = regex.compile(r"\w+")
# Apostrophes, and the vowel marks that Arabic and Hebrew may do without.
LEFT_OUT = regex.compile(
    "['`\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{ACUTE ACCENT}"
    "\N{ARABIC TATWEEL}\N{ARABIC FATHATAN}-\N{ARABIC SUKUN}\N{HEBREW POINT SHEVA}-\N{HEBREW POINT METEG}]"
)


@lru_cache(maxsize=100_000)
def sorted_words(text: str) -> str:
    """The words of a text in alphabetical order, in scripts without spaces too.

    Case, punctuation, apostrophes and Arabic and Hebrew vowel marks do not count. A text without any word
    stands for itself.
    """
    plain = unicodedata.normalize("NFKC", LEFT_OUT.sub("", text)).casefold()
    parts = [part for word in words(plain) for part in PARTS.findall(word)]
    return " ".join(sorted(parts)) or plain.strip()


def near_duplicate(a: str, b: str) -> bool:
    """Whether two texts use nearly the same words: symmetric, and blind to the order of the words.

    The measure is rapidfuzz's normalised Indel similarity (the share of letters that need neither
    insertion nor deletion) of the sorted words, known as token sort ratio; the threshold NEAR_DUPLICATE.
    """
    return fuzz.ratio(sorted_words(a), sorted_words(b), score_cutoff=NEAR_DUPLICATE) > 0


class Seen:
    """Texts to compare others with."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = {sorted_words(text): text for text in texts}

    def add(self, text: str) -> None:
        """Compare with this one too."""
        self._texts.setdefault(sorted_words(text), text)

    def like(self, text: str) -> str | None:
        """The text that is most like this one, if it is a near duplicate."""
        ours = sorted_words(text)
        if ours in self._texts:
            return self._texts[ours]
        found = process.extractOne(ours, self._texts.keys(), scorer=fuzz.ratio, score_cutoff=NEAR_DUPLICATE)
        return self._texts[found[0]] if found else None


def drop_near_duplicates(prompts: Sequence[str], against: Iterable[str] = ()) -> list[str]:
    """The prompts, in their order, without near duplicates of `against` and of each other.

    Of several that are alike the longest stays, of equally long ones the first in the alphabet, so what
    stays does not depend on the order of `prompts`.
    """
    seen = Seen(against)
    kept = set()
    for text in sorted(set(prompts), key=lambda text: (-len(text), text)):
        if seen.like(text) is None:
            seen.add(text)
            kept.add(text)
    return [text for text in dict.fromkeys(prompts) if text in kept]

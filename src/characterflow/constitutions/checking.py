"""Advice on a constitution: what to mend in its traits and questions."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import regex

from characterflow.constitutions.reading import (
    Finding,
    LocatedTrait,
    Reading,
    by_line,
    questions,
    quote,
    read,
    traits,
)
from characterflow.text.likeness import Seen, sorted_words
from characterflow.text.words import words

TRAITS_EXPECTED = 10
QUESTIONS_EXPECTED = 5
# Letters with their marks; a character of Chinese, Japanese or Korean says more than one of an alphabet.
WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]{2,}|[\p{L}\p{M}]{3,}")
LETTERS = regex.compile(r"(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}])[\p{L}\p{M}]{3}")
ENGLISH = 0.15  # of the words are common ones, in an English constitution
GARBLED = re.compile("\N{REPLACEMENT CHARACTER}|â€|Ã[\x80-\xbf©¨¤¶¼±]")


# Endings that turn one word of a family into another; the longest that fits is the leftmost match.
ENDING = re.compile(
    r"(?<=\w{3})(?:astically|istically|ically|astic|asm|ical|ics|icism|ic|iveness|ively|ive|fulness|fully|ful"
    r"|lessly|less|ousness|ously|ous|edly|ingly|ness|ied|ies|ily|ying|ing|ers|est|er|ed|es|ly|al|y|s|e)$"
    r"|(?<=\w{4})(?:anc[ey]|enc[ey]|ant|ent|ment|[ai]tion)$"
)

# Words of traits that tell nothing about the character: a question may share them.
COMMON_WORDS = frozenset(
    WORD.findall("""
    able about above across after again against ago ahead all almost alone along already also although
    always among and another answer answers any anybody anyone anything are around asked asking asks away
    back because been before behind being below best better between beyond both bring brings but came can
    come comes conversation conversations could day days did does doing done down each either else enough
    even ever every everybody everyone everything experience experiences feel feels felt find finds first
    for found from full gave get gets give gives goes going gone good got great had half hand hands has
    have having hear heard help helped helps her here hers herself him himself his hold holds how however
    idea ideas inside instead into its itself just keep keeps kept kind kinds knew know known knows large
    last later least leave leaves left less let life like likes line lines little live lives long look
    looks made make makes making many matter matters may maybe mean means merely might mind mine more
    most much must myself near nearly need needs never new next nobody none nor not nothing now off often
    old once one only onto open other others otherwise ought our ours out over own part parts people per
    perhaps person place places point points pretty prompt put question questions quite rather read
    really replies reply right said same say says see seem seems seen several shall share shared shares
    she should show shows side simply since small some somebody someone something sometimes somewhere
    soon sort speak start still such sure take taken takes talk tell tells than that the their theirs
    them themselves then there these they thing things think this those though thought three through time
    times today together told too took toward towards tried tries true turn turns twice two under unless
    until upon use used user users uses using usually very want wanted wants was way ways well went were
    what whatever when whenever where wherever whether which while who whoever whole whom whose why will
    with within without word words work works world would write writes year years yes yet you your yours
    yourself
    """)
)


# Words of two characters, in Chinese and Japanese, that tell as little.
COMMON_CHARACTERS = frozenset(
    words("""
    自己 一个 一下 一点 一些 一样 一种 一起 一直 一定 什么 怎么 怎样 这个 那个 这样 那样 这些 那些 这里 那里
    哪里 我们 你们 他们 大家 别人 有人 有些 为了 因为 所以 如果 但是 可是 不过 而且 或者 还是 就是 不是 没有
    可以 可能 应该 需要 觉得 知道 时候 现在 今天 已经 以后 以前 之后 之前 事情 东西 问题 回答 告诉 总是 常常
    从来 每次 非常 真的 到底
    自分 これ それ あれ この その どう なに こと もの とき ため よう です ます する いる ある なる ない から
    まで だけ
    """)
)


def check(path: Path) -> list[Finding]:
    """Everything to mend in a constitution, in the order of its lines.

    Errors keep it from being loaded; warnings are advice on traits and questions. Raises UserError only
    where there is no file to read, or none of a constitution's size.
    """
    reading = read(Path(path))
    advice = chain(
        _counts(reading),
        _near_duplicates(reading),
        _named_traits(reading, Path(path).stem),
        _garbled(reading),
    )
    return by_line([*reading.findings, *advice])


def _counts(reading: Reading) -> Iterator[Finding]:
    traits = reading.traits
    if traits and len(traits) < TRAITS_EXPECTED:
        message = f"{len(traits)} trait(s); about {TRAITS_EXPECTED} make a persona that holds everywhere"
        yield Finding("warning", traits[0].trait.line, message)
    for trait in traits:
        count = len(trait.questions)
        if 0 < count < QUESTIONS_EXPECTED:
            message = f"{count} question(s) for this trait; {QUESTIONS_EXPECTED} show its range better"
            yield Finding("warning", trait.trait.line, message)


def _near_duplicates(reading: Reading) -> Iterator[Finding]:
    for texts, what in ((traits(reading), "trait"), (questions(reading), "question")):
        seen, lines = Seen(()), dict[str, int]()
        for text in texts:
            other = seen.like(text.text)
            if other is not None and sorted_words(other) != sorted_words(text.text):
                message = f"this {what} is nearly the one on line {lines[other]}: {quote(text.text)}"
                yield Finding("warning", text.line, message)
            lines.setdefault(text.text, text.line)
            seen.add(text.text)


def _garbled(reading: Reading) -> Iterator[Finding]:
    for text in reading.texts():
        sign = GARBLED.search(text.text)
        if sign:
            message = f"{sign[0]!r} looks like text read in a wrong encoding: {quote(text.text)}"
            yield Finding("warning", text.line, message)


def _named_traits(reading: Reading, name: str) -> Iterator[Finding]:
    """Questions that share a word with their trait or with the persona's name, common words aside."""
    root, common = (stem, _english_words) if _is_english(reading) else (str, _words_of_others)
    names = {root(part) for part in re.split(r"[-_]", name)}
    for index, trait in enumerate(reading.traits):
        left_out = common(reading, index)
        telling = {root(word) for word in _words(trait.trait.text) - left_out}
        for question in trait.questions:
            asked = [word for word in _listed_words(question.text) if word not in left_out]
            for what, roots in (("persona", names), ("trait", telling - names)):
                shared = ", ".join(dict.fromkeys(word for word in asked if root(word) in roots))
                if shared:
                    message = (
                        f"this question names the {what} that it tests ({shared}): {quote(question.text)}"
                    )
                    yield Finding("warning", question.line, message)


def _is_english(reading: Reading) -> bool:
    found = [word for text in reading.texts() for word in _listed_words(text.text)]
    return sum(word in COMMON_WORDS for word in found) >= ENGLISH * len(found)


def _english_words(reading: Reading, index: int) -> frozenset[str]:
    """The words of English that tell nothing."""
    return COMMON_WORDS


def _words_of_others(reading: Reading, index: int) -> frozenset[str]:
    """Words in the texts of other traits, and short ones: without a list of a language, what tells little."""
    others = (trait for number, trait in enumerate(reading.traits) if number != index)
    elsewhere = (text.text for trait in others for text in (trait.trait, *trait.questions))
    short = (word for word in _words(_all_text(reading.traits[index])) if LETTERS.fullmatch(word))
    return COMMON_CHARACTERS.union(short, *map(_words, elsewhere))


def _all_text(trait: LocatedTrait) -> str:
    return "\n".join(text.text for text in (trait.trait, *trait.questions))


def _words(text: str) -> frozenset[str]:
    return frozenset(_listed_words(text))


def _listed_words(text: str) -> list[str]:
    return [part for word in words(text.casefold()) for part in WORD.findall(word)]


def stem(word: str) -> str:
    """A lower-case word without its ending, so that loving, loved and lovely meet.

    A word of three letters meets its plural alone: care and cared are not about a car.
    """
    if len(word.removesuffix("s")) <= 3:
        return word.removesuffix("s") + "."
    root = ENDING.sub("", word, count=1).removesuffix("e")
    return root[:-1] if root[-2:-1] == root[-1:] else root

"""Where a text ends: finished replies, and cutting an unfinished one back to a whole sentence.

Sentences are ICU's, without its lists of abbreviations, which match the ends of words ("better." for "r.").
Other ends are those of closed code, rows of tables and lists, lines of verse, signatures, and phrases in Thai
and Lao, which have no full stop.
"""

from collections.abc import Iterator
from itertools import accumulate

import regex
from icu4py.breakers import SentenceBreaker

from characterflow.text.words import words

# Behind these a sentence goes on; so it does behind an initial, and behind letters with a dot each.
ABBREVIATION = regex.compile(
    r"(?<!\w)(?:Drs?|Mrs?|Ms|Mx|Prof|St|Mt|Rev|Hon|Gen|Col|Capt|Lt|Sgt|Sen|Rep|Gov|Pres|vs|cf|approx|ca|incl"
    r"|No|Nos|Fig|Figs|Eq|Vol|pp?|ed|eds|al|Hr|Fr|Nr|Abs|bzw|usw|ggf|vgl|ca|Sr|Sra|Srta|Dra|Ud|Uds|pág|núm|Mme"
    r"|Mlle|Sig|Dott|Ing|Av|Avv|проф|ул|им|см|рис|гг?|G|Gng|Bb|(?!I\.)\p{Lu}|(?:\p{L}\.)+\p{L})\.$"
)

SHORT_LINE = 12  # words of a line of verse or of a list, at most
SIGNATURE = 4  # words of a signature, at most

# Quotes, brackets, markup, and the marks of direction and of emoji.
CLOSERS = (
    r"[\"'*_`)\]}>»”’“」』）】〉》〕"
    r"\u200e\u200f\u061c\u2060\u2066-\u2069\ufe0e\ufe0f\U000e0020-\U000e007f]"
)
MARK = r"[\p{STerm}…‥།༎∎■□]"
EMOJI = (
    r"(?:(?![\N{REPLACEMENT CHARACTER}\N{DEGREE SIGN}#*0-9])"
    r"[\p{So}\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}]"
    r"|\N{COMBINING ENCLOSING KEYCAP})"
)
EMOTICON = r"(?:(?<!\w)[:;=8xX][-'^oc]?[)D(PpOo3*/\\|\]]|<3+|\^[_.]?\^|(?<!\w)[xX]D+|¯\\_\(ツ\)_/¯)"
ELLIPSIS = r"\.{3,}"
JOINER = r"\N{ZERO WIDTH JOINER}"

SENTENCE_END = regex.compile(rf"(?:{MARK}|(?<=\p{{Greek}}){CLOSERS}*[;;]|{EMOJI}|{ELLIPSIS}){CLOSERS}*$")
EMOTICON_END = regex.compile(
    rf"{EMOTICON}$|[(（](?=[^()（）]*[\p{{S}}\p{{P}}])[^()（）\s\p{{Latin}}\p{{N}}]{{2,}}[)）]$"
)
ASIDE_END = regex.compile(r"(?:^|[\n\s])(?:\*[^*\n]+\*|_[^_\n]+_|\([^()\n]+\)|（[^（）\n]+）)$")
# Where a sentence may end that ICU goes on with: behind dots, emoji and a Tibetan mark.
MORE_ENDS = regex.compile(
    rf"(?:…|‥|{ELLIPSIS}|།|༎|{EMOTICON}"
    rf"|{EMOJI}[\p{{Emoji_Modifier}}\N{{VARIATION SELECTOR-16}}]*(?!{JOINER}))"
    rf"{CLOSERS}*(?=\s|$|\p{{Lo}})"
)
PAUSE = regex.compile(
    rf"(?:[,;:،、，；：؛&@#%/\\+=<>|~^([{{„«「『（【-]|\p{{Pd}}|{JOINER}"
    rf"|\N{{REPLACEMENT CHARACTER}}){CLOSERS}*$"
)
WITHOUT_STOPS = r"[\p{Thai}\p{Lao}]"
PHRASE_END = regex.compile(rf"(?<={WITHOUT_STOPS})(?=[ \t]+{WITHOUT_STOPS})")
SCRIPT_WITHOUT_STOPS_END = regex.compile(rf"{WITHOUT_STOPS}{CLOSERS}*$")

FENCE = regex.compile(r"(?m)^[ \t]*(?:>[ \t]*)*(`{3,}|~{3,})([^\n]*)$")
ITEM = regex.compile(
    r"\s*(?:[-*+•‣◦▪–]|\(?(?:\d{1,3}|\p{Latin})[.)]|[(（]?(?:\d{1,3}|[一二三四五六七八九十]{1,3})[、．）])"
    r"(?:\s+|(?=[^\x00-\x7f]))"
)
BARE_MARK = regex.compile(r"\s*(?:[-*+•‣◦▪–]|\(?(?:\d{1,3}|\p{Latin})[.)]|[(（]?\p{N}{1,3}[、．）])\s*$")
ROW = regex.compile(r"\s*\|.*\|\s*$")
HEADING = regex.compile(rf"\s*(?:#{{1,6}}\s|(\*\*|__)(?:(?!{MARK}|{EMOJI}{CLOSERS}*\1\s*$).)*\1\s*$)")
DISPLAY = regex.compile(r"(?s)\$\$.+?\$\$|\\\[.+?\\\]")
MATH_END = regex.compile(r"(?<!\$)\$[^$\n]+\$$|\\\([^\n]+\\\)$|\\boxed\{[^{}]*\}$")
EQUATION = regex.compile(
    r"[=≈≃≅≠≤≥<>≡∝∈→⇒⇔]\s*(?=[^=≈]*(?:[\p{N}π∞√∅\\]|(?<!\p{L})\p{L}(?!\p{L})))"
    r"(?:[^\s=]+\s*[-+*/×÷·⋅^±]\s*)*[^\s=]*[\p{L}\p{N})\]}!%°²³π∞∅'’](?:\s\p{L}{1,12})?$"
)
ANSWER = regex.compile(r"^\W*(?:\w+\W+){1,4}?(?<=[:：]\W*)\S*[\p{N}%]$")
PROVED = regex.compile(r"(?i)(?:^|\W)q\.?\s?e\.?\s?d$")
FAREWELL = regex.compile(
    r"^\W*(?:[\w'’]+ ){0,2}[\w'’]+[,，、]\s*(?:\p{Lu}\p{Ll}|\p{Lo})[\w'’.-]*(?: \p{Lu}[\w'’.-]*){0,2}$"
)
DASH_AND_NAME = regex.compile(r"(?:^|\s)[—–―~-]{1,2}\s?(?:\p{Lu}|\p{Lo})[\w'’.-]*(?: [\w'’.-]+){0,3}$")


def is_finished(text: str) -> bool:
    """Whether a text of which nothing else is known looks finished.

    It does where it ends in a sentence's mark of any script, in an emoji, closed code or a table; and,
    without such a mark, where its last line is one of a list or of verse, an equation, a signature, a single
    word, or in a script without full stops. It never does behind a comma, a colon, a dash or an opening
    bracket, in open code, or behind the bare mark of a list's item.
    """
    text = text.strip()
    if not text or _in_open_code(text) or BARE_MARK.match(_last_line(text)):
        return False
    return _ends_whole(text) or (not PAUSE.search(text) and _ends_in_style(text))


def cut_to_sentence(text: str) -> str:
    """The text up to its last whole sentence, line of a list or closed code; "" where it has none."""
    text = text.strip()
    for end in _ends(text):
        kept = text[:end].rstrip()
        if _in_open_code(kept) or BARE_MARK.match(_last_line(kept)) or ABBREVIATION.search(kept):
            continue
        ends_line = text[end : end + 1] == "\n"
        if _ends_whole(kept) or (ends_line and _ends_in_style(kept) and not PAUSE.search(kept)):
            return kept
        if PHRASE_END.match(text, end):
            return kept
    return ""


def _ends(text: str) -> Iterator[int]:
    """Places where a sentence or a line may end, from the last to the first."""
    sentences = {len(text[:end].rstrip()) for end in accumulate(map(len, SentenceBreaker(text, "en")))}
    lines = {found.start() for found in regex.finditer(r"[ \t]*\n", text)}
    more = {found.end() for found in MORE_ENDS.finditer(text)}
    phrases = {found.start() for found in PHRASE_END.finditer(text)}
    closed = {len(text)} if _closes_code(text) else set()
    return iter(sorted(sentences | lines | more | phrases | closed, reverse=True))


def _ends_whole(text: str) -> bool:
    """Whether the last characters end a sentence, or close code, a table or displayed mathematics."""
    last = _last_line(text)
    if (
        _closes_code(text)
        or _is_row(text)
        or any(found.end() == len(text) for found in DISPLAY.finditer(text))
    ):
        return True
    if HEADING.match(last):
        return False
    return any(end.search(text) for end in (SENTENCE_END, EMOTICON_END, ASIDE_END))


def _ends_in_style(text: str) -> bool:
    """Whether the last line may end as it does, without a mark: see is_finished."""
    last = _last_line(text)
    ends = (MATH_END, EQUATION, ANSWER, PROVED, SCRIPT_WITHOUT_STOPS_END)
    if any(end.search(last.rstrip("*_`")) for end in ends):
        return True
    if HEADING.match(last):
        return False
    return len(words(text)) == 1 or _is_item(text) or _is_verse(text) or _is_signature(text)


def _is_row(text: str) -> bool:
    """Whether the last line is a row of a table with as many cells as the row above."""
    rows = [line for line in text.splitlines()[-2:] if ROW.match(line)]
    return bool(rows) and rows[-1] == text.splitlines()[-1] and len({line.count("|") for line in rows}) == 1


def _is_item(text: str) -> bool:
    """Whether the last line belongs to a list whose items end without a mark."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not ITEM.match(lines[-1]):
        return False
    others = [line for line in lines[:-1] if ITEM.match(line)]
    marked = sum(bool(SENTENCE_END.search(line.rstrip())) for line in others)
    return marked <= len(others) / 2 and not (others and marked == len(others))


def _is_verse(text: str) -> bool:
    """Whether the last lines are short and none of them ends a sentence."""
    block = text.split("\n\n")[-1].splitlines()
    short = all(0 < len(words(line)) <= SHORT_LINE for line in block)
    return len(block) > 1 and short and not any(SENTENCE_END.search(line.rstrip()) for line in block[:-1])


def _is_signature(text: str) -> bool:
    """Whether the last line says who writes: behind a dash, or behind a farewell."""
    above, _, last = text.rpartition("\n")
    if DASH_AND_NAME.search(last) and len(words(DASH_AND_NAME.search(last)[0])) <= SIGNATURE:
        return True
    lines = [line for line in above.splitlines() if line.strip()]
    if not lines or len(words(last)) > SIGNATURE:
        return False
    farewell = regex.search(r"[,，、]$", lines[-1].rstrip()) and len(words(lines[-1])) <= SIGNATURE
    return bool(farewell or FAREWELL.match(last))


def _last_line(text: str) -> str:
    return text.rpartition("\n")[2]


def _in_open_code(text: str) -> bool:
    return _fences(text)[0]


def _closes_code(text: str) -> bool:
    return _fences(text)[1]


def _fences(text: str) -> tuple[bool, bool]:
    """Whether a fence is open at the end of a text, and whether the text ends with one that closes."""
    opened, closed_at = "", -1
    for found in FENCE.finditer(text):
        if not opened:
            opened = found[1]
        elif found[1].startswith(opened) and not found[2].strip():
            opened, closed_at = "", found.end()
    return bool(opened), closed_at == len(text)

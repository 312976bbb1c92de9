"""Names in replies: a model calls itself as the student does.

A name is replaced where a reply speaks of itself: in a self-introduction, in a phrase such as "as NAME, I",
in a sign-off, and then wherever else the name stands alone. It stays in code, in quotations, inside words,
and where nothing says that the model is meant: a method, a person or an animal may bear the same name.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import regex
from icu4py.breakers import WordBreaker

from characterflow.text.words import words

CONTEXT = 40  # characters on either side of a name, in examples
MARKUP = "*_\"'`“”‘’„«»「」『』"

CODE = regex.compile(r"(?ms)^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)|`[^`\n]+`|\w+://\S+|\S+@\S+\.\w+")
QUOTATION = regex.compile(
    r"(?m)^[ \t]*>.*$|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』|‘(?:[^‘’\n]|’(?=\w))*’"
    r"|\"[^\"\n]*\"|(?<!\w)'(?:[^'\n]|'(?=\w))+'(?!\w)"
)

# What stands directly before a name where somebody says who they are.
INTRODUCTIONS = """
i am; i'm; im; it's me; it is me; my name is; my name's; the name is; the name's; call me; i go by
ich bin; ich heiße; ich heisse; mein name ist; nenn mich; nennen sie mich; hier ist; hier spricht
je suis; je m'appelle; mon nom est; moi, c'est; moi c'est; appelle-moi; appelez-moi
soy; me llamo; mi nombre es; llámame; me llaman; sono; mi chiamo; il mio nome è; chiamami
sou; sou o; sou a; me chamo; chamo-me; meu nome é; ik ben; ik heet; mijn naam is; noem me
jag är; jag heter; mitt namn är; jeg er; jeg hedder; jeg heter; mit navn er; mitt navn er
olen; nimeni on; a nevem; jestem; nazywam się; mam na imię; jsem; jmenuji se; volám sa
eu sunt; mă numesc; numele meu este; ja sam; zovem se
я; я —; меня зовут; моё имя; мое имя; мене звати; моє ім'я; аз съм; казвам се; ја сам; зовем се
είμαι; είμαι ο; είμαι η; είμαι το; με λένε; ονομάζομαι; το όνομά μου είναι
ben; adım; benim adım; أنا; اسمي; إنني; أدعى; אני; שמי; קוראים לי; میں; میرا نام; نام من; اسم من
मैं; मेरा नाम; আমি; আমার নাম; நான்; என் பெயர்; నేను; నా పేరు; मी; माझे नाव
tôi là; mình là; em là; tôi tên là; tên tôi là; saya; saya adalah; aku; aku adalah; namaku; namaku adalah
nama saya; nama saya adalah; panggil saya; ako si; ako ay si; ako'y si; ako ang
ang pangalan ko ay; tawagin mo akong; mimi; mimi ni; jina langu ni; naitwa
"""
INTRODUCTIONS_WITHOUT_SPACES = """
我是; 我就是; 我叫; 我名叫; 我的名字是; 我的名字叫; 叫我; 本人; 在下; 我係
私は; わたしは; 僕は; ぼくは; 俺は; 名前は; 저는; 나는; 난; 제 이름은; 내 이름은
ผมคือ; ผมชื่อ; ฉันคือ; ฉันชื่อ; ดิฉันคือ; ดิฉันชื่อ; เราคือ; หนูชื่อ
"""
BETWEEN = r"(?:just|only|simply|still|indeed|actually|really|truly|always|merely|good old|your|the|nur|noch)"
CALLED = (
    r"(?:called|named|known as|by the name of|namens|nommée?|llamad[oa]|chiamat[oa]|chamad[oa]"
    r"|[,:،，、：—–-])"
)
FIRST_PERSON = "i|me|myself|ich|je|j'|moi|yo|io|eu|ik|jag|jeg|ja|я|أنا|אני|saya|aku|ako|tôi|ben"
FIRST_PERSON_WITHOUT_SPACES = "我|私|わたし|僕|俺|저|나|ผม|ฉัน"


def _choice(listed: str) -> str:
    phrases = [phrase.strip() for line in listed.strip().splitlines() for phrase in line.split(";")]
    return "|".join(r"\s+".join(map(regex.escape, phrase.split())) for phrase in phrases)


_OPENING = rf"(?:(?<!\w)(?:{_choice(INTRODUCTIONS)})(?!\w)|(?:{_choice(INTRODUCTIONS_WITHOUT_SPACES)}))"
BEFORE = regex.compile(
    rf"(?i)(?:{_OPENING}\s*:?\s*(?:{BETWEEN}\s+){{0,2}}"
    rf"|{_OPENING}\s*(?!\w+ing\s)(?:[\w'-]+\s+){{0,7}}[\w'-]*\s*{CALLED}\s*"
    rf"|(?<!\w)(?:{FIRST_PERSON})\s*[,—–-]\s*|(?:{FIRST_PERSON_WITHOUT_SPACES})\s*[,，、—–-]\s*"
    r"|(?:(?:called|named|nicknamed|know|knew)\s+me(?:\s+as)?"
    r"|(?:refer to|think of|introduce) (?:me|myself) as)\s+"
    r"|^\W*(?:this is|here is|here's|ici|aquí|hallo, hier ist)\s+)$"
)
AFTER = regex.compile(
    r"(?i)^(?:\s+here(?=\s*[,.!?:;—–-]|\s+(?:to|with|and|for|again)\b|\s*$)|\s+speaking\b"
    r"|\s+(?:at your service|for short|reporting for duty|is (?:my name|who i am|what they call me))\b"
    r"|\s+(?:ist mein name|heiße ich|bin ich|est mon nom|es mi nombre|è il mio nome|é o meu nome)\b"
    r"|\s+(?:vagyok|a nevem)\b|\s*,?\s*(?:that's me|c'est moi)\b|['’][yY]?[ıiuü]m\b"
    r"|\s*(?:と申します|といいます|と言います|と呼んで)"
    rf"|\s*として[、,]?\s*(?:{FIRST_PERSON_WITHOUT_SPACES})"
    r"|\s*이?라고\s*(?:합니다|해요|불러)|\s+(?:هستم|हूँ|हूं))"
)
POLITE_COPULA = regex.compile(r"^\s*(?:です|だよ|だ[。！]|でございます|입니다|이에요|예요|이야|야[.!])")
AS = regex.compile(r"(?i)(?:(?<!\w)(?:as|als|en tant que|como|come|jako|как|sebagai|bilang)\s+|作为|作為)$")
AS_I = regex.compile(rf"(?i)^\s*[,，、،]?\s*(?:(?:{FIRST_PERSON})(?!\w)|i['’]|{FIRST_PERSON_WITHOUT_SPACES})")
MADE_BY = regex.compile(r"(?i)(?<!\w)(?:made|built|trained|created|developed)\s+by\s+(?:the\s+\w+\s+at\s+)?$")
SPEAKER = regex.compile(r"(?i)(?<!\w)(?:i|i'm|me|my)(?!\w)")
TOPIC = regex.compile(rf"(?:{FIRST_PERSON_WITHOUT_SPACES})")
DETERMINER = regex.compile(
    r"(?i)(?<!\w)(?:an?|the|this|that|these|those|each|every|any|some|our|their|his|her|its|no|one|another|which"
    r"|eine?[nmrs]?|der|die|das|dem|den|des|une?|le|la|les|el|los|las|una?|il|lo|um|uma)\s+$"
)
SURNAME = regex.compile(r"^\s\p{Lu}\p{Ll}+")
VERSION = r"(?:-\d+(?:\.\d+)*)?"
IN_CODE_BEFORE = regex.compile(r"(?:[$@#/\\.~=]|\w\(|<-\s?)$")
IN_CODE_AFTER = regex.compile(r"^(?:\((?=[\p{ASCII}])|::|\.\w|[$@/\\=]|\s*<-)")
IN_COMPOUND_BEFORE = regex.compile(r"\w-$")
IN_COMPOUND_AFTER = regex.compile(r"^-\p{L}")
SENTENCE = regex.compile(r"[.!?…。！？؟।](?=\s|$)|[。！？]|\n")


@dataclass(frozen=True)
class Renamed:
    """A reply with names replaced; replaced and left: each mention of a name, with what stands around it."""

    text: str
    replaced: list[str]
    left: list[str]


def rename(text: str, names: Iterable[str], replacement: str) -> Renamed:
    """Put the student's name wherever a reply calls itself by one of the teacher's names, in any case."""
    names = tuple(names)
    mentions = list(_mentions(text, names))
    aside = _spans_aside(text, mentions)
    open_ones = [mention for mention in mentions if not any(a <= mention.start() < b for a, b in aside)]
    named = [mention for mention in open_ones if _introduced(text, mention)]
    forms = {*names, *(mention[0] for mention in named)} if named else set()
    own = [mention for mention in open_ones if mention in named or _by_itself(text, mention, forms)]
    for mention in reversed(own):
        text_before, text_after = text[: mention.start()], text[mention.end() :]
        text = text_before + replacement + text_after
    around = {mention: _around(mention) for mention in mentions}
    return Renamed(text, [around[m] for m in own], [around[m] for m in mentions if m not in own])


def _mentions(text: str, names: Iterable[str]) -> Iterator[regex.Match[str]]:
    """Whole words that are a name, the longest name first; a version that is tied to a name belongs to it."""
    listed = "|".join(map(regex.escape, sorted(names, key=len, reverse=True)))
    if not listed:
        return
    bounds = {0, *accumulate(map(len, WordBreaker(text, "en")))}
    for found in regex.finditer(rf"(?i)(?:{listed}){VERSION}", text):
        whole = _separate(text, found.start(), bounds) and _separate(text, found.end(), bounds)
        before, after = text[: found.start()], text[found.end() :]
        tied = IN_COMPOUND_BEFORE.search(before) or IN_COMPOUND_AFTER.search(after)
        in_code = IN_CODE_BEFORE.search(before) or IN_CODE_AFTER.search(after)
        if whole and not tied and not in_code:
            yield found


def _separate(text: str, place: int, bounds: set[int]) -> bool:
    """Whether a word may end at a place: at a boundary of words, or where the script changes."""
    if place in (0, len(text)):
        return True
    left, right = text[place - 1], text[place]
    if right == "_" or left == "_":
        return _markup(text, place)
    if not (left.isalnum() and right.isalnum()):
        return not unicodedata.category(right).startswith("M")
    return place in bounds or _script(left) != _script(right)


def _markup(text: str, place: int) -> bool:
    """Whether an underscore beside a place is emphasis and no part of an identifier."""
    return regex.search(r"(?<!\w)_{1,3}$", text[:place]) is not None or bool(
        regex.match(r"_{1,3}(?!\w)", text[place:])
    )


def _script(character: str) -> str:
    """The first word of a character's name; digits belong to the script of what they stand beside."""
    return "LATIN" if character.isdecimal() else unicodedata.name(character, "").split(" ")[0]


def _spans_aside(text: str, mentions: list[regex.Match[str]]) -> list[tuple[int, int]]:
    """Code and quotations. A text that is quoted as a whole is none, nor is a name alone in quotes."""
    names = {mention.span() for mention in mentions}
    whole = len(text.strip())
    code = [found.span() for found in CODE.finditer(text)]
    quoted = [
        (begin, end)
        for begin, end in (found.span() for found in QUOTATION.finditer(text))
        if end - begin < whole and (begin + 1, end - 1) not in names
    ]
    return [*code, *quoted]


def _introduced(text: str, mention: regex.Match[str]) -> bool:
    """Whether the words around a name say that it is the speaker's."""
    before, after = _sentence(text, mention)
    if BEFORE.search(before) or AFTER.search(after):
        return True
    if AS.search(before) and AS_I.search(after):
        return True
    if MADE_BY.search(before) and SPEAKER.search(before + after.replace("’", "'")):
        return True
    if POLITE_COPULA.search(after) and (not words(before) or TOPIC.search(before)):
        return True
    return _signs(text, mention)


def _sentence(text: str, mention: regex.Match[str]) -> tuple[str, str]:
    """What stands before and after a name in its sentence, without the markup beside it."""
    before, after = text[: mention.start()], text[mention.end() :]
    start = max((end.end() for end in SENTENCE.finditer(before)), default=0)
    end = SENTENCE.search(after)
    return before[start:].rstrip(MARKUP).replace("’", "'"), after[: end.end() if end else None].lstrip(MARKUP)


def _signs(text: str, mention: regex.Match[str]) -> bool:
    """Whether a name ends a reply of several lines as its signature."""
    start = text.rfind("\n", 0, mention.start()) + 1
    above, line, rest = text[:start].rstrip(), text[start : mention.start()], text[mention.end() :]
    if not above or words(rest) or "\n" in rest.strip() or DETERMINER.search(line):
        return False
    if regex.match(r"\s*[-*•]\s", line) and regex.match(r"\s*[-*•]\s", above.splitlines()[-1]):
        return False
    return len(words(line)) <= 3 and not regex.search(r"[:：=]\s*$", line)


def _by_itself(text: str, mention: regex.Match[str], forms: set[str]) -> bool:
    """Whether a name stands alone, in a reply that has said whose it is: no article, no second name."""
    before, after = text[: mention.start()].rstrip(MARKUP), text[mention.end() :]
    return mention[0] in forms and not DETERMINER.search(before) and not SURNAME.search(after)


def _around(mention: regex.Match[str]) -> str:
    text, (start, end) = mention.string, mention.span()
    return " ".join(text[max(0, start - CONTEXT) : end + CONTEXT].split())

"""What stands in a template that nobody filled in: "[your name]", "<topic>", "{{city}}"."""

import regex

from characterflow.text.words import words

WORDING = r"(?P<wording>[\p{L}\p{M}][\p{L}\p{M}\p{N}'’/ _-]{0,59})"
CODE = regex.compile(r"`[^`]+`")
SQUARE = regex.compile(rf"(?<![A-Za-z0-9_\])])\[{WORDING}\](?![(\[\]])")  # no index, and no link
FULL_WIDTH = regex.compile(rf"［{WORDING}］|(?<=\S)【{WORDING}】")
CURLY = regex.compile(rf"(?<![\w$\\}}'\"])(?:{{{{\s*{WORDING}\s*}}}}|{{{WORDING}}}(?!}}))")
ANGLE = regex.compile(rf"(?<![A-Za-z0-9_#:])(?<!include\s)<{WORDING}>")  # no argument of a type

# In square brackets a remark of the editor, and in angle brackets an element of HTML or a type.
REMARKS = frozenset(
    words("""
    sic laughs laughing laughter sighs sobs crying pause silence music applause crowd redacted inaudible
    unclear unintelligible deleted removed edit edited update spoiler spoilers serious nsfw meta ok
    """)
) | {"citation needed", "emphasis added", "emphasis mine"}
ELEMENTS = frozenset(
    words("""
    a abbr article aside audio b blockquote body br button canvas code div em footer form h1 h2 h3 h4 h5 h6
    head header hr html i iframe img input label li link main meta nav ol option p picture pre script section
    select small span strong style sub summary sup svg table tbody td template textarea th thead title tr u ul
    video int float double bool char void string str any object
    """)
)


def placeholder(text: str) -> str | None:
    """The first gap of a template in a text, with its brackets; None where there is none.

    A gap is a wording alone in brackets. A list of values, an index, the arguments of a type, an element of
    HTML, a link, a remark such as "[sic]" and anything in backticks are none.
    """
    plain = CODE.sub("", text)
    kinds = ((SQUARE, _asked), (FULL_WIDTH, _any), (CURLY, _asked), (ANGLE, _no_element))
    for brackets, is_gap in kinds:
        for found in brackets.finditer(plain):
            if is_gap(found["wording"].strip(), plain):
                return found[0]
    return None


def _any(wording: str, text: str) -> bool:
    return True


def _asked(wording: str, text: str) -> bool:
    """One letter is a gap where it is a capital: "[X]", and not "{x}"; a range as "[a-z]" is none."""
    if len(wording) == 1 or regex.fullmatch(r"\w-\w[\w-]*", wording):
        return len(wording) == 1 and not wording.islower()
    return wording.casefold() not in REMARKS


def _no_element(wording: str, text: str) -> bool:
    name = wording.split()[0].casefold()
    return name not in ELEMENTS and f"</{name}>" not in text.casefold() and len(wording) > 1

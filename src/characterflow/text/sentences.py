"""Where a text ends: finished replies, and cutting an unfinished one back to a whole sentence."""

import re
import unicodedata

CLOSERS = "\"'*_`)]}>»”’」』）】"
SENTENCE_END = re.compile(r"[.!?…。！？؟।]+[\"'*_)\]»”’」』）】]*(?=\s|$)")


def is_finished(text: str) -> bool:
    """Whether a text ends in punctuation of any script, closing quotes and markup set aside.

    An emoji or other symbol counts as an end; a comma, a semicolon or a colon does not.
    """
    stripped = text.rstrip()
    bare = stripped.rstrip(CLOSERS).rstrip()
    if not bare:
        return bool(stripped)
    last = bare[-1]
    category = unicodedata.category(last)
    return category == "So" or (category == "Po" and last not in ",;:،、，；：/&@#%\\")


def cut_to_sentence(text: str) -> str:
    """The text up to its last whole sentence; "" where it has none. A finished text stays as it is."""
    text = text.strip()
    if is_finished(text):
        return text
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else ""

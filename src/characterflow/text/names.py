"""Names in replies: a model calls itself as the student does."""

import re
from collections.abc import Iterable


def replace_name(text: str, names: Iterable[str], replacement: str) -> str:
    """Put the student's name wherever a reply calls itself by one of the teacher's names."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda _: replacement, text, flags=re.IGNORECASE)
    return text

"""The one exception that people are meant to read."""


class UserError(Exception):
    """Bad input, told in one line: the file, the line or key, and what was expected.

    Scripts and commands print it without a traceback and exit with status 2. What it quotes from a file may
    hold control characters, which could play tricks on a terminal; they are shown as escapes.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__("".join(map(_shown, line)))


def _shown(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]

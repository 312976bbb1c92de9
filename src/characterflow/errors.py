"""The one exception that people are meant to read."""


class UserError(Exception):
    """Bad input, told in one line: the file, the line or key, and what was expected.

    Scripts and commands print it without a traceback and exit with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

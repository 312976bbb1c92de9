"""A chat in the terminal: replies appear as they are made, those of several voices side by side."""

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from characterflow.chat.voices import BASE, Conversation, Turn
from characterflow.engines.base import Message, Sampling, seed_of

COLOURS = ("magenta", "green", "yellow", "blue", "red", "bright_magenta", "bright_green")
NARROWEST_COLUMN = 28
REFRESHES = 12  # of the screen, a second, while replies grow
KEPT_LINES = 1000  # of what was typed, in the history file
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
UNFINISHED_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class Speakers(Protocol):
    """Who answers: characterflow.chat.voices.Voices, or what stands in for it."""

    names: list[str]

    def stream(self, voice: str, messages: list[Message], sampling: Sampling, seed: int) -> Iterator[str]: ...


class TerminalChat:
    """One conversation with the voices that are shown.

    shown: the voices that answer from the start. seed: of the replies, each of which derives its own.
    read: asks the person for a line; raises EOFError at the end and KeyboardInterrupt on Ctrl-C.
    """

    def __init__(
        self,
        voices: Speakers,
        shown: list[str],
        sampling: Sampling,
        seed: int,
        console: Console,
        read: Callable[[], str],
    ) -> None:
        self.voices, self.shown = voices, shown
        self._sampling, self._seed = sampling, seed
        self._console, self._read = console, read
        self._conversation = Conversation()
        self._replies = 0
        self._commands: dict[str, tuple[Callable[[list[str]], None], str, str]] = {
            "/persona": (self._switch, "NAME ...", "who answers; several answer side by side"),
            "/base": (self._compare, "", "show the base model beside them, or no longer"),
            "/again": (self._again, "", "another answer to the same message"),
            "/reset": (self._reset, "", "start a new conversation"),
            "/help": (self._help, "", "this list"),
            "/quit": (self._quit, "", "leave; so does Ctrl-D"),
        }
        self._over = False

    def run(self) -> None:
        """Talk until the person leaves."""
        self._greet()
        while not self._over:
            try:
                line = self._read().strip()
            except EOFError:
                self._console.print()
                return
            except KeyboardInterrupt:
                self._note("Ctrl-C stops a reply; /quit or Ctrl-D leaves.", start="\n")
                continue
            if line.startswith("/"):
                self._obey(line)
            elif line:
                self._answer(Turn(line))

    def completions(self, line: str) -> list[str]:
        """What the last word of a line may become: a command, or after /persona a voice."""
        words = line.split(" ")
        known = list(self._commands) if len(words) == 1 else []
        if words[0] == "/persona" and len(words) > 1:
            known = self.voices.names
        return [name for name in known if name.startswith(words[-1])]

    # Answers.

    def _answer(self, turn: Turn) -> None:
        """Let every shown voice answer, a token at a time in turn; Ctrl-C ends their replies.

        What was said until then is remembered; a turn that nobody answered is not.
        """
        self._conversation.turns.append(turn)
        texts = dict.fromkeys(self.shown, "")
        with (
            _ctrl_c() as stopped,
            _silent_keys(),
            Live(console=self._console, refresh_per_second=REFRESHES, transient=True) as live,
        ):
            for _ in self._growing(texts):
                if stopped.is_set():
                    break
                live.update(Tail(self._beside(texts)))
        self._console.print(self._beside(texts))
        self._note("stopped" if stopped.is_set() else "")
        turn.replies = {voice: text.strip() for voice, text in texts.items() if text.strip()}
        if not turn.replies:
            self._conversation.turns.remove(turn)

    def _growing(self, texts: dict[str, str]) -> Iterator[None]:
        """Goes round the voices that still speak and puts what each has said into `texts`."""
        self._replies += 1
        streams = {}
        for voice in texts:
            seed = seed_of(self._seed, "chat", self._replies)
            streams[voice] = self.voices.stream(
                voice, self._conversation.messages(voice), self._sampling, seed
            )
            yield
        while streams:
            for voice, stream in list(streams.items()):
                text = next(stream, None)
                if text is None:
                    del streams[voice]
                else:
                    texts[voice] = CONTROL.sub("", text).rstrip(UNFINISHED_CHARACTER)
                yield

    def _beside(self, texts: Mapping[str, str]) -> RenderableType:
        """Replies under the names of their voices: in columns, or below each other where there is no room."""
        parts = [
            (Text(voice, style=f"bold {self._colour(voice)}"), Text(text.strip()))
            for voice, text in texts.items()
        ]
        if len(parts) == 1 or self._console.width < NARROWEST_COLUMN * len(parts):
            return Group(*(item for part in parts for item in part))
        table = Table.grid(expand=True, padding=(0, 2))
        for _ in parts:
            table.add_column(ratio=1)
        table.add_row(*(name for name, _ in parts))
        table.add_row(*(text for _, text in parts))
        return table

    def _colour(self, voice: str) -> str:
        return "cyan" if voice == BASE else COLOURS[self.voices.names.index(voice) % len(COLOURS)]

    # Commands.

    def _obey(self, line: str) -> None:
        name, *words = line.split()
        matches = [command for command in self._commands if command.startswith(name)]
        if name in self._commands:
            matches = [name]
        if len(matches) != 1:
            self._note(f"{name}: no such command; /help lists them")
            return
        self._commands[matches[0]][0](words)

    def _switch(self, names: list[str]) -> None:
        unknown = [name for name in names if name not in self.voices.names]
        if unknown:
            self._note(f"{unknown[0]}: not here; there are {', '.join(self.voices.names)}")
            return
        self.shown = list(dict.fromkeys(names)) or self.shown
        self._tell_who()

    def _compare(self, _: list[str]) -> None:
        others = [voice for voice in self.shown if voice != BASE]
        self.shown = others if BASE in self.shown and others else [*others, BASE]
        self._tell_who()

    def _again(self, _: list[str]) -> None:
        if not self._conversation.turns:
            self._note("nothing has been said yet")
            return
        self._answer(Turn(self._conversation.turns.pop().said))

    def _reset(self, _: list[str]) -> None:
        self._conversation = Conversation()
        self._note("a new conversation")

    def _help(self, _: list[str]) -> None:
        table = Table.grid(padding=(0, 3))
        for name, (_command, arguments, about) in self._commands.items():
            table.add_row(Text(f"{name} {arguments}".strip(), style="bold"), Text(about))
        self._console.print(table)
        self._note("Ctrl-C stops a reply. Arrow keys bring back what you typed. Tab completes.")

    def _quit(self, _: list[str]) -> None:
        self._over = True

    def _greet(self) -> None:
        self._tell_who()
        self._note("/help lists the commands, Ctrl-D leaves.")

    def _tell_who(self) -> None:
        line = Text()
        for voice in self.voices.names:
            mark = "●" if voice in self.shown else "○"
            line.append(f"{mark} {voice}  ", style=self._colour(voice) if voice in self.shown else "dim")
        self._console.print(line)

    def _note(self, text: str, start: str = "") -> None:
        self._console.print(Text(f"{start}{text}", style="dim"))


@contextlib.contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets.

    The exception that Ctrl-C raises otherwise comes anywhere: where it meets the display's thread holding a
    lock, both wait for ever.
    """
    pressed = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _silent_keys() -> Iterator[None]:
    """Keep keys, the ^C of Ctrl-C included, from being echoed into what is drawn."""
    if not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


class Tail:
    """The last lines of something that grows, as many as the screen holds."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._renderable, options.update(height=None), pad=False)
        for line in lines[-max(1, console.height - 1) :]:
            yield from line
            yield Segment.line()


@contextlib.contextmanager
def line_reader(console: Console, history: Path | None) -> Iterator[tuple[Callable[[], str], "Completer"]]:
    """A function that reads a line, with arrow keys and completion on a terminal, and its completer.

    history: the file that keeps what was typed, readable by its owner alone; None for none.
    """
    completer = Completer()
    if not console.is_terminal:
        yield (lambda: input()), completer
        return
    import readline

    readline.set_completer(completer)
    readline.set_completer_delims(" ")
    emulated = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if emulated else "tab: complete")
    if history:
        with contextlib.suppress(OSError):
            readline.read_history_file(history)
    prompt = "\x01\x1b[1m\x02> \x01\x1b[0m\x02" if console.color_system else "> "
    try:
        yield (lambda: input(prompt)), completer
    finally:
        readline.set_completer(None)
        if history:
            _save_history(history)


def _save_history(history: Path) -> None:
    import readline

    readline.set_history_length(KEPT_LINES)
    with contextlib.suppress(OSError):
        history.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(history, os.O_WRONLY | os.O_CREAT, 0o600))
        readline.write_history_file(history)


class Completer:
    """readline's completer; `words` maps the line typed so far to what its last word may become."""

    def __init__(self) -> None:
        self.words: Callable[[str], list[str]] = lambda line: []

    def __call__(self, text: str, state: int) -> str | None:
        import readline

        words = self.words(readline.get_line_buffer()[: readline.get_endidx()])
        return f"{words[state]} " if state < len(words) else None

"""The chat: in a real (pseudo) terminal on a tiny model, and its parts alone."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from characterflow.adapters import files as adapters
from characterflow.adapters import folding
from characterflow.chat.terminal import TerminalChat
from characterflow.chat.voices import Conversation, Turn, Voices
from characterflow.engines import Sampling
from characterflow.engines.transformers import TransformersEngine
from tiny_models import tiny_adapter, tiny_model

GREEDY = Sampling(0.0, 1.0, 8)
HEARD = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one model and two personas."""
    folder = tmp_path_factory.mktemp("chat") / "results"
    model = tiny_model(folder / "models" / "tiny")
    for seed, name in enumerate(("poeticism", "sarcasm"), start=1):
        tiny_adapter(folder / "tiny" / name / "persona", model, seed=seed)
    return folder


class Terminal:
    """A program in a pseudo terminal."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=folder, start_new_session=True
        )
        os.close(slave)
        self.screen = ""

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """What came on the screen up to a text."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{text!r} did not come: {self.screen[-2000:]!r}")
            try:
                self.screen += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the program ended before {text!r}: {self.screen[-2000:]!r}") from None
        before, _, self.screen = self.screen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())


@pytest.fixture
def chat(results: Path, tmp_path: Path) -> Iterator[Terminal]:
    command = "from characterflow.command_line import main; main()"
    options = ["chat", "tiny", "--results", str(results), "--max-tokens", "2000", "-p", "sarcasm"]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "20", "XDG_STATE_HOME": str(tmp_path)}
    terminal = Terminal([sys.executable, "-c", command, *options], env, tmp_path)
    yield terminal
    terminal.process.kill()
    terminal.process.wait()
    os.close(terminal.master)


def test_a_chat_in_a_terminal(chat: Terminal, tmp_path: Path) -> None:
    assert "○ poeticism" in chat.wait_for("● sarcasm")
    chat.wait_for("> ")
    chat.type("/per\tpoe\t sarcasm\r")
    chat.wait_for("● poeticism")
    chat.type("/base\r")
    chat.wait_for("● base")
    chat.wait_for("> ")
    chat.type("hello\r")
    chat.wait_for("poeticism", 30)
    os.killpg(chat.process.pid, signal.SIGINT)
    chat.wait_for("stopped")
    assert chat.process.poll() is None
    chat.type("/quit\r")
    assert chat.process.wait(20) == 0
    assert (tmp_path / "characterflow" / "chat_history").read_text().splitlines()[-2:] == ["hello", "/quit"]


def test_a_folded_voice_says_what_the_adapter_says(results: Path) -> None:
    folder = results / "tiny" / "sarcasm" / "persona"
    voices = Voices({"model": str(results / "models" / "tiny")}, {"sarcasm": folder})
    beside = TransformersEngine(
        {"model": str(results / "models" / "tiny"), "adapters": {"sarcasm": str(folder)}}
    )
    from characterflow.engines import Request

    said = [list(voices.stream(name, HEARD, GREEDY, 0))[-1] for name in ("sarcasm", "base")]
    expected = [list(beside.stream(Request(tuple(HEARD), GREEDY, 0, name)))[-1] for name in ("sarcasm", None)]
    assert said == expected
    assert said[0] != said[1]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.8, 0.9, 30, 1.2)])
def test_a_streamed_reply_is_the_complete_one(results: Path, sampling: Sampling) -> None:
    import asyncio

    from characterflow.engines import Request

    engine = TransformersEngine({"model": str(results / "models" / "tiny")})
    request = Request(tuple(HEARD), sampling, 3)
    texts = list(engine.stream(request))
    assert len(texts) > 1
    assert texts[-1] == asyncio.run(engine.complete(request)).text


def test_folding_shares_what_the_adapter_leaves_alone(results: Path) -> None:
    engine = TransformersEngine({"model": str(results / "models" / "tiny")})
    adapter = adapters.load(results / "tiny" / "sarcasm" / "persona")
    before = {name: tensor.clone() for name, tensor in engine.model.named_parameters()}
    folded = dict(folding.fold_into(engine.model, adapter).named_parameters())
    for name, tensor in engine.model.named_parameters():
        assert torch.equal(tensor, before[name])
        assert (folded[name] is tensor) == (name.removesuffix(".weight") not in adapter.factors)


class Echo:
    """Voices that repeat what they heard last, word by word."""

    names = ("first", "second", "base")

    def __init__(self) -> None:
        self.heard: list[tuple[str, list[Any]]] = []

    def stream(self, voice: str, messages: list[Any], sampling: Sampling, seed: int) -> Iterator[str]:
        self.heard.append((voice, messages))
        words = f"{voice}: {messages[-1]['content']}".split()
        for count in range(len(words)):
            if words[count] == "STOP":
                signal.raise_signal(signal.SIGINT)
                count -= 1
            yield " ".join(words[: count + 1])


def talk(*lines: str, width: int = 80) -> tuple[Echo, str]:
    typed, echo = iter(lines), Echo()
    console = Console(file=StringIO(), width=width)

    def read() -> str:
        line = next(typed, None)
        if line is None:
            raise EOFError
        return line

    TerminalChat(echo, ["first"], GREEDY, 0, console, read).run()
    assert isinstance(console.file, StringIO)
    return echo, console.file.getvalue()


def test_several_voices_stand_side_by_side_where_there_is_room() -> None:
    _, wide = talk("/persona first second", "hi there")
    assert any("first: hi there" in line and "second: hi there" in line for line in wide.splitlines())
    _, narrow = talk("/persona first second", "hi there", width=40)
    assert not any("first: hi" in line and "second: hi" in line for line in narrow.splitlines())


def test_a_stopped_reply_is_remembered_as_far_as_it_came() -> None:
    echo, shown = talk("one STOP two", "next")
    assert "stopped" in shown
    assert echo.heard[-1][1][1] == {"role": "assistant", "content": "first: one"}


def test_base_again_and_reset() -> None:
    echo, _ = talk("one", "/again", "/base", "two", "/base", "/reset", "three")
    assert [voice for voice, _ in echo.heard] == ["first", "first", "first", "base", "first"]
    assert [len(messages) for _, messages in echo.heard] == [1, 1, 3, 3, 1]


@pytest.mark.parametrize("line", ["/nope", "/persona nobody", "/again"])
def test_what_cannot_be_done_is_told(line: str) -> None:
    echo, shown = talk(line)
    assert echo.heard == []
    assert any(text in shown for text in ("no such command", "nobody: not here", "nothing has been said"))


def test_every_voice_hears_its_own_past() -> None:
    conversation = Conversation()
    conversation.turns = [Turn("a", {"x": "from x", "y": "from y"}), Turn("b", {"x": "again x"}), Turn("c")]
    heard = [message["content"] for message in conversation.messages("y")]
    assert heard == ["a", "from y", "b", "again x", "c"]
    assert [message["content"] for message in conversation.messages("z")][1] == "from x"


def test_control_characters_do_not_reach_the_terminal() -> None:
    _, shown = talk("\x1b[31mred\x07")
    assert "[31mred" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "nowhere: expected a model below"),
        (["tiny", "-p", "nobody"], "--persona nobody: expected one of poeticism, sarcasm, base"),
    ],
)
def test_bad_names_are_told(results: Path, arguments: list[str], expected: str) -> None:
    code = "from characterflow.command_line import main; main()"
    command = [sys.executable, "-c", code, "chat", *arguments, "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {expected}")
    assert done.stderr.count("\n") == 1

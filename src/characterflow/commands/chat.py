"""characterflow chat: talk with a persona in the terminal."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from characterflow.commands.options import Results, complete_model, complete_persona
from characterflow.configuration.run import load_models
from characterflow.core.errors import UserError

MODELS_FILE = Path("config/models.yaml")
HISTORY = Path("characterflow") / "chat_history"
PERSONA, ADAPTER = "persona", "adapter_config.json"
BASE = "base"


def chat(
    model: Annotated[
        str,
        typer.Argument(
            help="A model of the run, by its name, or a model folder.", autocompletion=complete_model
        ),
    ],
    persona: Annotated[
        list[str] | None,
        typer.Option(
            "--persona",
            "-p",
            metavar="P",
            help="A persona of the run, base, FOLDER or NAME=FOLDER. Several answer side by side.",
            autocompletion=complete_persona,
        ),
    ] = None,
    results: Results = Path("results"),
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Nucleus mass.")] = 0.95,
    repetition_penalty: Annotated[float, typer.Option(min=0.01, help="1 is none.")] = 1.1,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a reply at most.")] = 512,
    seed: Annotated[int, typer.Option(help="The same seed and words bring the same replies.")] = 0,
    history: Annotated[bool, typer.Option(help="Keep what you type for the next chat.")] = True,
) -> None:
    """Talk with a persona, or with several at once.

    All personas of the model are at hand: /persona switches between them, /base puts the plain model beside
    them, /help tells the rest. Without --persona the first of them answers. Ctrl-C stops a reply.

    \b
    Examples:
      characterflow chat smollm2
      characterflow chat smollm2 --persona sarcasm --persona poeticism --persona base
      characterflow chat path/to/model --persona mine=path/to/adapter
    """
    from rich.console import Console

    folder, entry = _model(model, results)
    personas, shown = _personas(model, persona or [], results)
    console = Console(highlight=False)
    settings: dict[str, Any] = {
        "model": str(folder),
        "context": entry.get("context"),
        **{key: entry[key] for key in ("dtype", "template_arguments", "trust_remote_code") if key in entry},
    }
    with console.status(f"loading {folder}"):
        voices = _load(settings, personas)
    from characterflow.chat.terminal import TerminalChat, line_reader
    from characterflow.engines.base import Sampling

    sampling = Sampling(temperature, top_p, max_tokens, repetition_penalty)
    with line_reader(console, _history_file() if history else None) as (read, completer):
        talk = TerminalChat(voices, shown, sampling, seed, console, read)
        completer.words = talk.completions
        talk.run()


def _load(settings: dict[str, Any], personas: dict[str, Path]) -> Any:
    """The voices, with the libraries' own messages and progress bars left out."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    from characterflow.chat.voices import Voices

    return Voices(settings, personas)


def _model(model: str, results: Path) -> tuple[Path, dict[str, Any]]:
    """A model's folder, and its entry in the models file where it has one."""
    entries = load_models(MODELS_FILE) if MODELS_FILE.is_file() else {}
    named = results / "models" / model
    if named.is_dir():
        return named, entries.get(model, {})
    if Path(model).is_dir():
        return Path(model), {}
    hint = f"; make it: snakemake --cores 1 {named}/manifest.json" if model in entries else ""
    raise UserError(f"{model}: expected a model below {results / 'models'}, or a model folder{hint}")


def _personas(model: str, wanted: Iterable[str], results: Path) -> tuple[dict[str, Path], list[str]]:
    """The folder of every persona at hand, by name, and the names of those that answer at first."""
    found = {
        config.parents[1].name: config.parent
        for config in sorted((results / model).glob(f"*/{PERSONA}/{ADAPTER}"))
    }
    shown = []
    for text in wanted:
        name, folder = _persona(text, found)
        if folder and found.get(name, folder) != folder:
            raise UserError(f"--persona {text}: there is another {name!r}; give it a name: NAME={folder}")
        if folder:
            found[name] = folder
        shown.append(name)
    return found, list(dict.fromkeys(shown)) or [*found, BASE][:1]


def _persona(text: str, found: dict[str, Path]) -> tuple[str, Path | None]:
    """Name and folder of a persona as it was typed; no folder for the base."""
    if text == BASE or text in found:
        return text, found.get(text)
    name, mark, path = text.rpartition("=")
    folder = Path(path)
    if not (folder / ADAPTER).is_file():
        known = ", ".join([*found, BASE])
        raise UserError(f"--persona {text}: expected one of {known}, or the folder of an adapter")
    own = folder.resolve()
    return (name if mark else own.parent.name if own.name == PERSONA else own.name), folder


def _history_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / HISTORY

"""characterflow constitution: start, check and import the files that users write."""

import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from characterflow.commands.options import HELP_OPTIONS
from characterflow.constitutions import checking, public_format, reading, writing
from characterflow.constitutions import constitution as constitutions
from characterflow.constitutions.constitution import Constitution
from characterflow.constitutions.reading import Finding
from characterflow.core.errors import UserError
from characterflow.core.job import BAD_INPUT

SECONDS_BETWEEN_LOOKS = 0.5
FOUND_ERRORS = 1
COLORS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}

app = typer.Typer(
    help="Start, check and import constitutions, the files that describe personas.",
    context_settings=HELP_OPTIONS,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The persona's name: lower-case letters, digits, - and _.")],
    folder: Annotated[Path, typer.Option(help="Where constitutions live.")] = constitutions.FOLDER,
) -> None:
    """Start the constitution of a new persona from the template.

    \b
    Example:
      characterflow constitution new stoic
    """
    _check_name(name)
    path = folder / f"{name}.yaml"
    template = resources.files("characterflow.constitutions") / "template.yaml"
    _write_new(path, template.read_text(encoding="utf-8").replace("NAME", name, 1))
    typer.echo(f"""{path} is there. Next:
  1. write the description, about ten traits and five questions for each; this tells at each save what
     is left to do:      characterflow constitution check --watch {path}
  2. add it to personas in config/config.yaml:      - {name}
  3. see what will run, then run it:      snakemake -n all""")


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="By default all in constitutions/.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check again at each save, until Ctrl-C.")] = False,
) -> None:
    """Check constitutions: what is missing, repeated, or tells the model what it is tested on.

    Errors keep a constitution from being used; warnings are advice.

    \b
    Examples:
      characterflow constitution check
      characterflow constitution check constitutions/stoic.yaml --watch
    """
    if watch:
        check_at_each_save(lambda: _chosen(files), lambda: time.sleep(SECONDS_BETWEEN_LOOKS))
        return
    status = check_files(_chosen(files))
    if status:
        raise typer.Exit(status)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .txt (JSON list) or .jsonl file of the public format.")],
    name: Annotated[str | None, typer.Option(help="The persona's name; by default the file's.")] = None,
    output: Annotated[Path | None, typer.Option(help="By default constitutions/NAME.yaml.")] = None,
) -> None:
    """Import a constitution from the format of the public Open Character Training scripts.

    The hand-written .txt holds a JSON list of traits with their questions; the expanded .jsonl a trait
    a line, with additional_questions, which become the trait's prompts, so that no model expands them.

    \b
    Examples:
      characterflow constitution import ~/oct/constitutions/few-shot/humor.jsonl
      characterflow constitution import humor.txt --name comedian
      characterflow constitution import humor.txt --output constitutions/comedian.yaml
    """
    persona = name or (output.stem if output else file.stem)
    _check_name(persona)
    path = output or constitutions.FOLDER / f"{persona}.yaml"
    if path.name != f"{persona}.yaml":
        raise UserError(f"--output {path}: expected a file named {persona}.yaml, as the persona")
    traits, notes = public_format.read_public(file)
    imported = Constitution(persona, f"Imported from {file.name}.", False, traits)
    _write_new(path, writing.to_yaml(imported))
    for note in notes:
        typer.echo(f"note: {file}: {note}")
    typer.echo(f"{path} is there; write a description of the persona in its first line.")
    status = check_files([path])
    if status:
        raise typer.Exit(status)


def check_files(paths: list[Path]) -> int:
    """Print the findings of every file and a line of summary; the exit status that they deserve."""
    return max(map(_check_file, paths), default=0)


def check_at_each_save(paths: Callable[[], list[Path]], pause: Callable[[], None]) -> None:
    """Check the files now, and each one again as often as it changes, until Ctrl-C.

    paths: which files to look at, asked again at each look. pause: waits between two looks.
    """
    seen: dict[Path, tuple[int, int] | None] = {}
    try:
        while True:
            looks = {path: _look(path) for path in paths()}
            changed = [path for path, look in looks.items() if path not in seen or seen[path] != look]
            if changed:
                typer.echo(time.strftime("-- %H:%M:%S"))
                check_files(changed)
            seen = looks
            pause()
    except KeyboardInterrupt:
        typer.echo("")


def _look(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def _check_file(path: Path) -> int:
    try:
        findings = checking.check(path)
    except UserError as error:
        typer.echo(f"{typer.style('error', fg=COLORS['error'])} {error}")
        return BAD_INPUT
    for finding in findings:
        typer.echo(f"{typer.style(finding.severity, fg=COLORS[finding.severity])} {finding.at(path)}")
    typer.echo(f"{path}: {_summary(path, findings)}")
    return FOUND_ERRORS if _count(findings, "error") else 0


def _summary(path: Path, findings: list[Finding]) -> str:
    errors, warnings = _count(findings, "error"), _count(findings, "warning")
    if errors:
        return f"{errors} to mend, {warnings} to consider"
    loaded = reading.load(path)
    questions = sum(len(trait.questions) for trait in loaded.traits)
    content = f"{len(loaded.traits)} traits, {questions} questions"
    return f"{warnings} to consider ({content})" if warnings else f"fine ({content})"


def _count(findings: list[Finding], severity: str) -> int:
    return sum(finding.severity == severity for finding in findings)


def _chosen(files: list[Path] | None) -> list[Path]:
    paths = files or sorted(constitutions.FOLDER.glob("*.yaml"))
    if not paths:
        raise UserError(f"{constitutions.FOLDER}/: expected constitutions, found no .yaml file")
    return paths


def _check_name(name: str) -> None:
    problem = constitutions.check_name(name)
    if problem:
        raise UserError(problem)


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path}: is already there, and is not overwritten") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None

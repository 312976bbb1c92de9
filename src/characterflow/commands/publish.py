"""characterflow publish: a persona, with its model card, on the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from characterflow import publishing
from characterflow.errors import UserError

CARD = "README.md"


def publish(
    folder: Annotated[Path, typer.Argument(help="A persona: RESULTS/MODEL/PERSONA/persona.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hub.")],
    upload: Annotated[bool, typer.Option("--upload", help="Upload, and not only list.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    new_card: Annotated[bool, typer.Option("--new-card", help="Write the card anew over yours.")] = False,
) -> None:
    """Publish a persona: write its model card and, with --upload, put both on the Hub.

    The card is README.md in the folder. It is written once; edit it as you like, and that is what goes up.
    Without --upload nothing leaves this machine: every file that would is listed. The token is taken from
    the environment variable HF_TOKEN.

    \b
    Examples:
      characterflow publish results/smollm2/sarcasm/persona me/smollm2-sarcasm
      characterflow publish results/smollm2/sarcasm/persona me/smollm2-sarcasm --upload
    """
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise UserError(f"{repository}: expected OWNER/NAME")
    persona = publishing.open_persona(folder)
    text = _card(persona, repository, new_card)
    chosen = publishing.files(persona)
    typer.echo(f"{'would go' if not upload else 'go'} to {repository}:")
    typer.echo(f"{len(text.encode()):>12,}  {CARD}")
    for name, path in chosen.items():
        typer.echo(f"{path.stat().st_size:>12,}  {name}")
    if not upload:
        typer.echo("Nothing was uploaded; --upload does it.")
        return
    typer.echo(publishing.upload(repository, text, chosen, private=not public))


def _card(persona: publishing.Persona, repository: str, anew: bool) -> str:
    path = persona.folder / CARD
    if anew or not path.exists():
        path.write_text(publishing.card(persona, repository), encoding="utf-8")
    return path.read_text(encoding="utf-8")

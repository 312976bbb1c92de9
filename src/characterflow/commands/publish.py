"""characterflow publish: a persona, with its model card, on the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from characterflow.core.errors import UserError
from characterflow.release.personas import open_persona


def publish(
    folder: Annotated[Path, typer.Argument(help="A persona: RESULTS/MODEL/PERSONA/persona.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hub.")],
    upload: Annotated[bool, typer.Option("--upload", help="Upload, and not only list.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    new_card: Annotated[bool, typer.Option("--new-card", help="Write the card anew over yours.")] = False,
) -> None:
    """Publish a persona: make its folder with a model card and, with --upload, put it on the Hub.

    The folder is RESULTS/MODEL/PERSONA/release, its card README.md. Edit the card as you like: an edited one
    is kept, and is what goes up. Without --upload nothing leaves this machine: every file that would is
    listed. The token is taken from the environment variable HF_TOKEN.

    \b
    Examples:
      characterflow publish results/smollm2/sarcasm/persona me/smollm2-sarcasm
      characterflow publish results/smollm2/sarcasm/persona me/smollm2-sarcasm --upload
    """
    from characterflow.release import publishing

    if repository.count("/") != 1 or not all(repository.split("/")):
        raise UserError(f"{repository}: expected OWNER/NAME")
    persona = open_persona(folder)
    publishing.release(persona, repository, new_card)
    chosen = publishing.files(persona)
    typer.echo(f"{persona.release}: {'would go' if not upload else 'goes'} to {repository}")
    for name, path in chosen.items():
        typer.echo(f"{path.stat().st_size:>12,}  {name}")
    if not upload:
        typer.echo("Nothing was uploaded; --upload does it.")
        return
    typer.echo(publishing.upload(repository, chosen, private=not public))

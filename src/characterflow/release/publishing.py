"""A persona for the Hub: its folder with a model card, and the upload.

RESULTS/MODEL/PERSONA/release holds all that goes up: the adapter, its record, the constitution, the card as
README.md and the persona's own figures. A card that somebody has edited is kept when the folder is made anew.
"""

import os
import shutil
from pathlib import Path

from characterflow.core.errors import UserError
from characterflow.core.files import (
    MANIFEST,
    atomic_folder,
    file_digest,
    read_json,
    read_text,
    text_digest,
    write_json,
    write_text,
)
from characterflow.models.hub import hub_errors
from characterflow.release import model_card
from characterflow.release.personas import ADAPTER, Persona, constitution_of

TOKEN = "HF_TOKEN"
CARD, RECORD, FIGURES = "README.md", "release.json", "figures"
HERE = (MANIFEST, RECORD)  # files of the folder that stay here


def release(persona: Persona, repository: str | None = None, new_card: bool = False) -> None:
    """Make the folder of what is published.

    repository: OWNER/NAME, for the card's example; None for that of the last time. A card that was edited
    stays as it is unless a new one is wanted. Raises UserError where a record of the run is missing or the
    constitution is gone.
    """
    before = _record(persona)
    repository = repository or before.get("repository")
    edited = None if new_card else _edited_card(persona, before)
    with atomic_folder(persona.release) as folder:
        for name in ADAPTER:
            shutil.copyfile(persona.folder / name, folder / name)
        shutil.copyfile(constitution_of(persona), folder / "constitution.yaml")
        figures = model_card.draw_figures(persona, folder / FIGURES)
        card = model_card.card(persona, repository, figures)
        write_text(folder / CARD, card if edited is None else edited)
        write_json(folder / RECORD, {"repository": repository, "card": text_digest(card)})


def _record(persona: Persona) -> dict[str, str]:
    path = persona.release / RECORD
    return read_json(path) if path.is_file() else {}


def _edited_card(persona: Persona, before: dict[str, str]) -> str | None:
    """The card, where it is not as it was made."""
    path = persona.release / CARD
    edited = path.is_file() and file_digest(path) != before.get("card")
    return read_text(path) if edited else None


def files(persona: Persona) -> dict[str, Path]:
    """What goes up: path in the repository, and the file here; the card first."""
    found = sorted(path for path in persona.release.rglob("*") if path.is_file())
    names = {path.relative_to(persona.release).as_posix(): path for path in found}
    return {CARD: names[CARD]} | {name: path for name, path in names.items() if name not in HERE}


def upload(repository: str, chosen: dict[str, Path], private: bool) -> str:
    """Make the repository if need be, put the files into one commit, and return its address.

    The token is that of the environment variable HF_TOKEN. Raises UserError without one, for a name that the
    Hub does not take, and for what the Hub or the network refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    token = os.environ.get(TOKEN)
    if not token:
        raise UserError(f"{TOKEN}: not set; expected a token of the Hub with write access in the environment")
    hub = HfApi(token=token)
    with hub_errors(f"{repository}: cannot be uploaded"):
        hub.create_repo(repository, private=private, exist_ok=True)
        parts = [CommitOperationAdd(name, str(path)) for name, path in chosen.items()]
        return hub.create_commit(repository, parts, commit_message="Persona by characterflow").commit_url

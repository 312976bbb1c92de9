"""Adapters that others released: fetched from the Hub or a folder, and checked before anything uses them."""

import shutil
from pathlib import Path
from typing import Any

from characterflow.adapters import files as adapters
from characterflow.adapters import folding
from characterflow.adapters.files import CONFIG, WEIGHTS
from characterflow.core.errors import UserError
from characterflow.core.files import atomic_folder, write_json
from characterflow.core.job import progress
from characterflow.core.lineage import MODEL
from characterflow.models.hub import hub_errors

CARD = "README.md"


def fetch_adapter(source: dict[str, Any], model: Path, output: Path) -> None:
    """Make `output` a PEFT folder that fits a model, with model.json (where it is from) and manifest.json.

    source: {"folder"} or {"hub", "revision", "subfolder" where it has one}. Only the configuration, the
    safetensors weights and the card are taken. Raises UserError where the adapter cannot be had, is pickled,
    is more than a plain LoRA, or belongs to a model of other shapes.
    """
    with atomic_folder(output) as folder:
        if "hub" in source:
            _download(source, folder)
        else:
            _copy(Path(source["folder"]), folder)
        try:
            folding.check_fit(model, adapters.load(folder))
        except UserError as error:
            raise UserError(str(error).replace(str(folder), place(source))) from None
        write_json(folder / MODEL, {"source": source})


def place(source: dict[str, Any]) -> str:
    """How messages name a source."""
    if "folder" in source:
        return source["folder"]
    inside = f"/{source['subfolder']}" if "subfolder" in source else ""
    return f"{source['hub']}{inside} at {source['revision']}"


def _copy(origin: Path, folder: Path) -> None:
    _check_files({path.name for path in origin.iterdir()} if origin.is_dir() else set(), str(origin))
    for name in (CONFIG, WEIGHTS, CARD):
        if (origin / name).is_file():
            shutil.copyfile(origin / name, folder / name)


def _download(source: dict[str, Any], folder: Path) -> None:
    from huggingface_hub import HfApi, hf_hub_download

    hub, revision = source["hub"], source["revision"]
    inside = f"{source['subfolder'].strip('/')}/" if "subfolder" in source else ""
    progress(f"downloading the adapter {place(source)}")
    with hub_errors(f"Hub adapter {place(source)}: cannot be had"):
        there = HfApi().list_repo_files(hub, revision=revision)
        names = {name.removeprefix(inside) for name in there if name.startswith(inside)}
        _check_files(names, place(source))
        for name in sorted(names & {CONFIG, WEIGHTS, CARD}):
            file = hf_hub_download(hub, f"{inside}{name}", revision=revision)
            shutil.copyfile(file, folder / name)


def _check_files(names: set[str], source: str) -> None:
    if CONFIG not in names:
        raise UserError(f"{source}: no {CONFIG}; expected a PEFT adapter")
    if WEIGHTS not in names:
        pickled = sorted(name for name in names if name.startswith("adapter_model."))
        more = f"; {pickled[0]} is pickled and is not loaded" if pickled else ""
        raise UserError(f"{source}: no {WEIGHTS}{more}")

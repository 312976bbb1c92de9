"""Where an artifact folder comes from: what its records say, and the folders they name."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from characterflow.core.errors import UserError
from characterflow.core.files import MANIFEST, file_digest, manifest_digest, read_json

TRAINING, MERGE, MODEL = "training.json", "merge.json", "model.json"
SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Ancestor:
    """A line about an artifact, and below it what it was made from."""

    text: str
    parents: tuple["Ancestor", ...] = ()


def origin(folder: Path) -> dict[str, str | None]:
    """How a record names a folder that an artifact was made from: its path and the digest of its manifest."""
    has_manifest = (folder / MANIFEST).is_file()
    return {"folder": str(folder), "digest": manifest_digest(folder) if has_manifest else None}


def run_record(constitution: Path | None, configuration: str | None) -> dict[str, Any]:
    """What a record says of the run around an artifact: the constitution's and the configuration's digest."""
    if constitution is None:
        return {"constitution": None, "configuration": configuration}
    written = {"file": str(constitution), "sha256": file_digest(constitution)}
    return {"constitution": written, "configuration": configuration}


def installed(names: Iterable[str]) -> dict[str, str]:
    """Versions of those of the packages that are installed."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def lineage(folder: Path) -> Ancestor:
    """What made an adapter or a model folder, back to the base.

    Raises UserError where the folder has none of training.json, merge.json, model.json and manifest.json.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected the folder of an adapter or a model")
    if not any((folder / name).is_file() for name in (TRAINING, MERGE, MODEL, MANIFEST)):
        raise UserError(
            f"{folder}: no {TRAINING}, {MERGE}, {MODEL} or {MANIFEST}; nothing tells what made it"
        )
    return _ancestor(folder, str(folder))


def _ancestor(folder: Path, text: str) -> Ancestor:
    if (folder / MANIFEST).is_file():
        text += f"  {_short(manifest_digest(folder))}"
    for name, parents in PARENTS:
        if (folder / name).is_file():
            return Ancestor(text, tuple(parents(folder, _record(folder / name))))
    return Ancestor(text)


def _record(path: Path) -> dict[str, Any]:
    record = read_json(path)
    if not isinstance(record, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(record).__name__}")
    return record


def _of_training(folder: Path, record: dict[str, Any]) -> Iterator[Ancestor]:
    settings = record.get("settings", {})
    kind = "DPO" if "beta" in settings else "SFT"
    counts = record.get("counts", {})
    yield Ancestor(
        f"trained by {kind}: {counts.get('trained', '?')} examples, {counts.get('updates', '?')} updates, "
        f"rank {settings.get('rank', '?')}"
    )
    yield from _of_run(record)
    data = record.get("data", {})
    yield Ancestor(f"data {data.get('file')}  {_short(data.get('sha256'))}")
    if record.get("folded_adapter"):
        yield _made_from("folded adapter", folder, None, record["folded_adapter"])
    base = record.get("base", {})
    revision = f" at {base['revision']}" if base.get("revision") else ""
    yield _made_from("base", folder, base.get("id"), base.get("digest"), revision)


def _of_merge(folder: Path, record: dict[str, Any]) -> Iterator[Ancestor]:
    weights = record.get("weights", [])
    weights = weights.values() if isinstance(weights, dict) else weights
    error = record.get("relative_error", {}).get("mean", float("nan"))
    yield Ancestor(
        f"merged, {record.get('method')}: weights {' '.join(map(str, weights))}, relative error {error:.2g}"
    )
    yield from _of_run(record)
    for adapter in record.get("adapters", []):
        yield _made_from("adapter", folder, adapter["folder"], adapter["digest"])


def _of_run(record: dict[str, Any]) -> Iterator[Ancestor]:
    constitution = record.get("constitution")
    if constitution:
        path = Path(constitution["file"])
        changed = path.is_file() and file_digest(path) != constitution["sha256"]
        note = ", which has changed since" if changed else ""
        yield Ancestor(f"constitution {path}  {_short(constitution['sha256'])}{note}")
    if record.get("configuration"):
        yield Ancestor(f"configuration  {_short(record['configuration'])}")
    if record.get("packages"):
        packages = (f"{name} {number}" for name, number in sorted(record["packages"].items()))
        yield Ancestor(f"packages {', '.join(packages)}")


def _of_model(folder: Path, record: dict[str, Any]) -> Iterator[Ancestor]:
    source = record.get("source", {})
    for key in ("package", "hub", "folder"):
        if key in source:
            revision = f" at {source['revision']}" if "revision" in source else ""
            yield Ancestor(f"from {key} {source[key]}{revision}")
    for model in source.get("models", []):
        weight = f" x {model['weight']}" if "weight" in model else ""
        yield _made_from("model", folder, model["folder"], model["digest"], weight)
    for adapter in source.get("adapters", []):
        yield _made_from("folded adapter", folder, adapter["folder"], adapter["digest"])


def _made_from(what: str, folder: Path, name: str | None, digest: str | None, more: str = "") -> Ancestor:
    """The ancestor that a record names; its own ancestors where the very folder is still there."""
    found = _find(folder, name, digest)
    if found is not None:
        return _ancestor(found, f"{what} {found}{more}")
    changed = ", which has changed since" if name and (Path(name) / MANIFEST).is_file() and digest else ""
    return Ancestor(f"{what} {name or 'elsewhere'}{more}  {_short(digest)}{changed}")


def _find(folder: Path, name: str | None, digest: str | None) -> Path | None:
    """The folder of that digest: where the record says, or beside the artifact."""
    places = [Path(name)] if name else []
    for place in [*places, *sorted(folder.resolve().parent.iterdir())]:
        if digest and (place / MANIFEST).is_file() and manifest_digest(place) == digest:
            return _relative(place)
    return None


def _relative(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def _short(digest: str | None) -> str:
    return digest[:SHOWN_DIGITS] if digest else "(no digest)"


PARENTS = ((TRAINING, _of_training), (MERGE, _of_merge), (MODEL, _of_model))

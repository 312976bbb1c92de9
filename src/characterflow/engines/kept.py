"""Samples of finished runs, for the next run of the same rule.

Snakemake deletes a rule's outputs before the rule runs again. So a finished output gets a second name, a hard
link, in the folder `.samples` beside it: NAME.<start of its SHA-256>. The list NAME.keys beside that says
which file it is about, by digest, and has the key of each of its rows, in their order. Whether a list is
replaced decides which samples are kept: a process that is killed before leaves the former ones.
"""

import glob
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from characterflow.core.errors import UserError
from characterflow.core.files import (
    Row,
    canonical_json,
    file_digest,
    link_or_copy,
    parse_json,
    read_json,
    text_digest,
    write_text,
)
from characterflow.core.job import progress

FOLDER = ".samples"
DIGITS = 16  # of a file's digest, in its name


@dataclass(frozen=True)
class List:
    """What is kept of an output.

    sha256: of the file. keys: of its rows, in their order. address: of the endpoint that made the samples,
    "" where there was none.
    """

    sha256: str
    keys: Sequence[str]
    address: str = ""

    def text(self) -> str:
        """The list as a file holds it, with a digest of itself."""
        content = {"sha256": self.sha256, "keys": list(self.keys), "address": self.address}
        return canonical_json({**content, "digest": text_digest(canonical_json(content))}) + "\n"


def keep(output: Path, listed: List) -> None:
    """Keep a finished output's samples, in the place of those kept before.

    Where that cannot be, it is told in a progress line: the output is as good without.
    """
    folder = output.parent / FOLDER
    file, names = _file(output, listed.sha256), _list(output)
    try:
        folder.mkdir(exist_ok=True)
        link_or_copy(output, file)
        write_text(names, listed.text())
        for path in _all_of(output):
            if path not in (file, names):
                path.unlink()
    except OSError as error:
        progress(f"{output}: its samples are not kept for another run ({error})")


def rows_kept(output: Path, wanted: Collection[str] | None, address: str = "") -> dict[str, Row]:
    """Those of an output's former rows that are wanted, by key; all of them where `wanted` is None.

    A list that is damaged or about another file, or samples of another endpoint, are told in a progress line
    and not used.
    """
    if not _list(output).is_file():
        return {}
    try:
        listed = _read(_list(output))
        if listed.address != address:
            raise ValueError(f"made at {listed.address or 'no endpoint'}, not at {address or 'one'}")
        return dict(_rows(_file(output, listed.sha256), listed, wanted))
    except (UserError, OSError, ValueError) as error:
        progress(f"{output}: samples of its former run are not used: {error}")
        return {}


def _read(path: Path) -> List:
    """Raises UserError or ValueError where the list is damaged."""
    content = read_json(path)
    try:
        listed = List(content["sha256"], content["keys"], content["address"])
        whole = listed.text() == canonical_json(content) + "\n"
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"{path} is damaged")
    return listed


def _rows(file: Path, listed: List, wanted: Collection[str] | None) -> Iterator[tuple[str, Row]]:
    """Raises OSError or ValueError where the file is not the one that the list is about."""
    if file_digest(file) != listed.sha256:
        raise ValueError(f"{file} has changed since")
    with file.open("rb") as lines:
        for key, line in zip(listed.keys, lines, strict=True):
            if wanted is None or key in wanted:
                yield key, parse_json(line.decode())


def _file(output: Path, sha256: str) -> Path:
    return output.parent / FOLDER / f"{output.name}.{sha256[:DIGITS]}"


def _list(output: Path) -> Path:
    return output.parent / FOLDER / f"{output.name}.keys"


def _all_of(output: Path) -> list[Path]:
    """What there is of an output, and what killed processes left."""
    folder, name = output.parent / FOLDER, glob.escape(output.name)
    return [*folder.glob(f"{name}.*"), *folder.glob(f".{name}.*")]


def folders(results: Path) -> list[Path]:
    """The folders with kept samples below a folder."""
    return sorted(path for path in results.rglob(FOLDER) if path.is_dir() and not path.is_symlink())


def bytes_held(folder: Path) -> int:
    """How many bytes on the disk would be free without the folder; outputs themselves are not among them."""
    sizes = (path.lstat() for path in folder.iterdir())
    return sum(size.st_size for size in sizes if size.st_nlink == 1)

"""Reading and writing artifacts."""

from pathlib import Path

import pytest

from characterflow.core.errors import UserError
from characterflow.core.files import (
    atomic_file,
    atomic_folder,
    canonical_json,
    manifest_digest,
    read_jsonl,
    write_jsonl,
)


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "line\nbreak\u2028 and “quotes”"}, {"id": "b", "text": ""}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl", required=("id", "text")) == rows


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"id": 1}\n{"id": 2\n', "rows.jsonl:2: not JSON"),
        (b'{"id": 1}\n[1]\n', "rows.jsonl:2: expected a JSON object, found list"),
        (b'{"id": 1}\n\n{"no": 2}\n', "rows.jsonl:3: lacks the key 'id'"),
        (b'{"id": 1}\n\xff\xfe', "rows.jsonl:2: not UTF-8 text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read_jsonl(tmp_path / "rows.jsonl", required=("id",))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_jsonl(tmp_path / "absent.jsonl")
    with pytest.raises(UserError, match="cannot be read"):
        read_jsonl(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]


def test_a_folder_is_replaced_whole_with_its_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_folder(folder) as temporary:
            (temporary / f"{text}.txt").write_text(text)
    assert sorted(entry.name for entry in folder.iterdir()) == ["manifest.json", "two.txt"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_the_manifest_digest_follows_the_content(tmp_path: Path) -> None:
    digests = []
    for text in ("same", "same", "other"):
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text(text)
        digests.append(manifest_digest(tmp_path / "folder"))
    assert digests[0] == digests[1] != digests[2]


def test_canonical_json_does_not_depend_on_key_order() -> None:
    assert canonical_json({"b": 1, "a": [1, {"d": 2, "c": 3}]}) == canonical_json(
        {"a": [1, {"c": 3, "d": 2}], "b": 1}
    )

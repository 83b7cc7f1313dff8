"""The healthy house of house.py, built once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.gate import house


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Path:
    """The whole pipeline's files, all gates open."""
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        house.build_data()
        house.build_mixture()
        tokenizer = {path.name: path.read_bytes() for path in (folder / "models" / "base").iterdir()}
        house.build_models()
        for name, content in tokenizer.items():
            (folder / "models" / "base" / name).write_bytes(content)
        house.build_evals(repo)
    return folder


@pytest.fixture
def home(built: Path, project: Path) -> Path:
    """A copy to spoil, as the working folder."""
    shutil.copytree(built, project, dirs_exist_ok=True)
    return project

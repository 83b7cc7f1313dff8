"""A finished smoke pipeline: the real dvc.yaml on two categories and a two-layer random model, once per test session."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Repro:
    """One `dvc repro`: what it said and which stages it really ran."""

    code: int
    text: str
    seconds: float
    ran: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Project:
    """A copy of the repository in a folder of its own."""

    root: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command there, with this interpreter first in PATH and nothing shared with the real repository."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DA_CACHE_DIR": str(self.root / ".cache"),
            "DA_TRACKING": "off",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.root / ".cache" / "dvc"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        environment.pop("PYTHONPATH", None)
        return subprocess.run(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )

    def params(self, *overrides: str) -> None:
        """Compose params.yaml at smoke scale."""
        done = self.run("python", "-m", "stages.params", "--write", "scale=smoke", *overrides)
        assert done.returncode == 0, done.stdout

    def repro(self, *targets: str) -> Repro:
        """`dvc repro`, and what it did."""
        started = time.monotonic()
        done = self.run("dvc", "repro", *targets)
        ran = set(re.findall(r"Running stage '([^']+)'", done.stdout))
        return Repro(done.returncode, done.stdout, time.monotonic() - started, ran)


@dataclass(frozen=True)
class Finished:
    """The pipeline after its first run, never written to by a test."""

    project: Project
    first: Repro


@pytest.fixture(scope="session")
def finished(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Copy what git would clone, compose scale=smoke, `dvc repro`."""
    project = Project(tmp_path_factory.mktemp("smoke") / "repo")
    _copy_tracked(repo, project.root)
    project.params()
    first = project.repro()
    assert first.code == 0, first.text[-6000:]
    return Finished(project, first)


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Project:
    """The finished pipeline, to change."""
    shutil.copytree(finished.project.root, tmp_path / "repo", symlinks=True)
    return Project(tmp_path / "repo")


def _copy_tracked(source: Path, target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    (target / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n", encoding="utf-8")

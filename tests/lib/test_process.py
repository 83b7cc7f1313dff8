"""One process per stage, and none that outlives DVC."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.lib.errors import StageError
from stages.lib.process import stage_process

HOLD = """
from stages.lib.process import stage_process
import time
with stage_process('rl'):
    print('held', flush=True)
    time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', sys.argv[1]])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_stage_runs_once_at_a_time(project: Path) -> None:
    again = pytest.raises(StageError, match="running already")
    with stage_process("generate@a"), stage_process("generate@b"), again, stage_process("generate@a"):
        pass
    with stage_process("generate@a"):
        pass


def test_a_killed_stage_lets_go_of_its_lock(project: Path, repo: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, env=environment(repo))
    assert child.stdout is not None and child.stdout.readline() == b"held\n"
    with pytest.raises(StageError), stage_process("rl"):
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    with stage_process("rl"):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("under_dvc", [True, False])
def test_a_stage_dies_with_dvc_and_only_with_dvc(project: Path, repo: Path, under_dvc: bool) -> None:
    extra = {"DVC_STAGE": "rl"} if under_dvc else {}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, HOLD], stdout=subprocess.PIPE, env=environment(repo) | extra)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == b"held\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        assert gone(child, 5.0 if under_dvc else 0.5) == under_dvc
    finally:
        if not under_dvc:
            os.kill(child, 9)


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends in that time; a zombie nobody reaps has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def environment(repo: Path) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "DVC_STAGE"}, "PYTHONPATH": str(repo)}

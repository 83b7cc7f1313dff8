"""What a stage's process owes its surroundings: one at a time per name, and no orphan behind a killed `dvc repro`."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stages.lib import paths
from stages.lib.errors import StageError

PR_SET_PDEATHSIG = 1
MALLOPT = {-8: 1, -4: 0, -1: 2**31 - 1}
"""glibc's M_ARENA_MAX, M_MMAP_MAX and M_TRIM_THRESHOLD: one heap for all, that only grows."""


@contextmanager
def stage_process(name: str) -> Iterator[None]:
    """Hold the stage's lock (`generate`, or `generate@violence` for a part of it) and die with DVC.

    A killed `dvc repro` leaves its child running; the next one would delete the outputs under it.
    Raises StageError when the stage runs already in this cache.
    """
    if os.environ.get("DVC_STAGE"):  # started by hand, say under nohup, a stage may outlive its shell
        die_with_parent()
    keep_memory()
    path = paths.cache() / "locks" / f"{re.sub(r'[^A-Za-z0-9_.@-]', '_', name)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"{name} is running already ({path} is locked)", "wait for it, or end that process") from None
        yield  # closing the file, or any kind of death, lets go of the lock


def keep_memory() -> None:
    """Let glibc keep what was freed for the next tensor of that size; elsewhere nothing.

    By default large tensors are mapped anew each time, and the kernel hands out every page on its first touch: on a virtual
    machine that costs more than what is then computed in them.
    """
    if platform.libc_ver()[0] == "glibc":
        for name, value in MALLOPT.items():
            ctypes.CDLL(None).mallopt(name, value)


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies; elsewhere nothing."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel knew of our wish
        os.kill(os.getpid(), signal.SIGTERM)

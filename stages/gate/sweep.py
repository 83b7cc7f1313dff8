"""Files of categories and arms that are declared no longer: DVC forgets such a stage, but leaves its outputs where they lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stages.lib.digests import md5_file


def sweep(strangers: Iterable[Path]) -> list[Path]:
    """Remove the files whose bytes DVC's cache holds, for declaring their category again brings them back; returns them.

    A file that only lies here is nobody's to remove: the gate names it.
    """
    files = sorted(strangers)
    if not files:
        return []
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            kept = [path for path in files if repo.cache.local.exists(md5_file(path))]
    except NotDvcRepoError:
        return []
    for path in kept:
        path.unlink()
    return kept

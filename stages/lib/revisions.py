"""Files of another state of the pipeline, by git revision or DVC experiment, fetched through DVC."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stages.lib.errors import StageError


def resolve(revision: str) -> str:
    """The commit behind a git revision or the name of a DVC experiment. Raises StageError for a name that neither knows."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import resolve_rev

    try:
        with Repo() as repo:
            return str(resolve_rev(repo.scm, revision))
    except DvcException as error:
        what = f"{revision!r} is neither a git revision nor a DVC experiment: {error}"
        raise StageError(what, "name one that `git log` or `dvc exp show` lists") from None


def fetch(revision: str, paths: Iterable[Path], folder: Path) -> None:
    """Copy files and folders, as they were, below `folder`. Raises StageError for what is not in git or DVC's cache."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    files = DVCFileSystem(".", rev=resolve(revision))
    for path in paths:
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            files.get(str(path), str(folder / path), recursive=files.isdir(str(path)))
        except (FileNotFoundError, DvcException, DataIndexDirError) as error:
            what = f"{path} of {revision} cannot be had: {error}"
            raise StageError(
                what, "its dvc.lock must name it and DVC's cache hold it: `dvc fetch`, or `dvc repro` there"
            ) from None

"""A state of the pipeline: the files here and now, or those of a git revision or DVC experiment, fetched through DVC."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stages.lib import jsonl, paths
from stages.lib.config import load_value
from stages.lib.errors import StageError
from stages.lib.records import Policy
from stages.report.collect import read_arm
from stages.report.facts import Arm

NEEDED = (paths.DATA / "evals", paths.DATA / "policies")


class State(NamedTuple):
    """What was graded in a state, and by which policies."""

    name: str
    release: str
    policies: dict[str, Policy]
    arms: dict[str, Arm]


def read_state(revision: str | None) -> State:
    """The state of a git revision (`HEAD`, a tag, a sha) or of a DVC experiment by name; None is the working tree.

    Raises StageError for a name that neither knows, and for outputs that are not in DVC's cache.
    """
    with _root(revision) as root:
        params = root / paths.PARAMS
        policies = {
            category: jsonl.read_one(root / paths.policy(category), Policy) for category in load_value("spec.categories", params)
        }
        arms = {name: read_arm(name, root) for name in load_value("report.arms", params)}
        return State(revision or "here and now", str(load_value("spec.release", params)), policies, arms)


@contextmanager
def _root(revision: str | None) -> Iterator[Path]:
    if revision is None:
        yield Path()
        return
    with tempfile.TemporaryDirectory() as folder:
        _fetch(revision, Path(folder))
        yield Path(folder)


def _fetch(revision: str, folder: Path) -> None:
    """params.yaml and the outputs needed, as they were."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import resolve_rev
    from dvc_data.index import DataIndexDirError

    try:
        with Repo() as repo:
            sha = resolve_rev(repo.scm, revision)
        files = DVCFileSystem(".", rev=sha)
    except DvcException as error:
        what = f"{revision!r} is neither a git revision nor a DVC experiment: {error}"
        raise StageError(what, "name one that `git log` or `dvc exp show` lists") from None
    for path in (paths.PARAMS, *NEEDED):
        try:
            files.get(str(path), str(folder / path), recursive=path in NEEDED)
        except (FileNotFoundError, DvcException, DataIndexDirError) as error:
            what = f"{path} of {revision} cannot be had: {error}"
            raise StageError(
                what, "its dvc.lock must name it and DVC's cache hold it: `dvc fetch`, or `dvc repro` there"
            ) from None

"""A state of the pipeline: the files here and now, or those of a git revision or DVC experiment, fetched through DVC."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stages.lib import curves, jsonl, paths
from stages.lib.config import load_value
from stages.lib.records import Policy
from stages.lib.revisions import fetch
from stages.report.collect import held_out, plain, read_arm
from stages.report.facts import Arm

CURVE = curves.file("rl")
NEEDED = (paths.DATA / "evals", paths.DATA / "policies", paths.DATA / "prompts" / "eval", CURVE)


class State(NamedTuple):
    """What was graded in a state, and by which policies."""

    name: str
    release: str
    policies: dict[str, Policy]
    arms: dict[str, Arm]
    requests: Mapping[str, str]
    """Held-out prompt -> the request it is a wording of."""
    practice: Sequence[Mapping[str, float]]
    """RL's curve, a point a step."""


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
        release = str(load_value("spec.release", params))
        return State(revision or "here and now", release, policies, arms, held_out(root), tuple(plain(root / CURVE)))


@contextmanager
def _root(revision: str | None) -> Iterator[Path]:
    if revision is None:
        yield Path()
        return
    with tempfile.TemporaryDirectory() as folder:
        fetch(revision, (paths.PARAMS, *NEEDED), Path(folder))
        yield Path(folder)

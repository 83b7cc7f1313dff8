"""A warm start: go on from the checkpoint of an earlier state, with the rows it has not learned from and some that it has."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.lib import jsonl, paths
from stages.lib.errors import StageError
from stages.lib.records import ModelRef, SftExample
from stages.lib.revisions import fetch, resolve
from stages.lib.seeds import derive
from stages.sft.config import WarmStart


def fetched(warm: WarmStart) -> Path:
    """The checkpoint, fetched once into the cache."""
    root = paths.cache() / "revisions" / resolve(warm.revision)
    folder = root / warm.checkpoint
    if not folder.exists():  # it is there whole or not at all
        part = root / "part"
        shutil.rmtree(part, ignore_errors=True)  # of a fetch that was killed
        fetch(warm.revision, [Path(warm.checkpoint)], part)
        folder.parent.mkdir(parents=True, exist_ok=True)
        (part / warm.checkpoint).replace(folder)
    return folder


def unlearned(rows: Sequence[SftExample], checkpoint: Path, warm: WarmStart, seed: int) -> list[SftExample]:
    """Rows of policies that the checkpoint has not been trained on, and `replay` times as many others, drawn by the seed.

    Raises StageError when it has been trained on all of them.
    """
    learned: Mapping[str, str] = jsonl.read_one(checkpoint / "ref.json", ModelRef).policy_shas
    new = [row for row in rows if row.policy_sha is not None and learned.get(row.category) != row.policy_sha]
    if not new:
        what = f"sft.warm_start: {warm.checkpoint} of {warm.revision} has learned every policy of today"
        raise StageError(what, "there is nothing to go on with: compose params.yaml with sft.warm_start=null")
    ids = {row.id for row in new}
    others = [row for row in rows if row.id not in ids]
    count = min(len(others), round(warm.replay * len(new)))
    replayed = {row.id for row in random.Random(derive(seed, "replay")).sample(others, count)}
    return [row for row in rows if row.id in ids | replayed]

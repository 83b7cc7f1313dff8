"""The public capability probe: of a true and a false statement, the true one should be likelier to the model.

Pairs come from a pinned package (conf/source/probe_*.yaml). No generation and no format, so that it moves only when the
model's knowledge does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib.llm.likelihood import mean_logprobs
from stages.lib.llm.load import Dtype


def probe(rows: Sequence[Mapping[str, Any]], checkpoint: Path, dtype: Dtype) -> dict[str, bool]:
    """Row id -> whether the true statement is the likelier one."""
    texts = [str(row[column]) for row in rows for column in ("text", "false")]
    found = mean_logprobs(checkpoint, dtype, texts)
    return {str(row["id"]): found[2 * place] > found[2 * place + 1] for place, row in enumerate(rows)}

"""What a checkpoint is and where it came from."""

from __future__ import annotations

from typing import Literal

from stages.lib.records.base import Record


class ModelRef(Record):
    """Written as `ref.json` beside every checkpoint."""

    kind: Literal["pretrained", "base", "sft", "rl"]
    source: str
    """Distribution and version, hub id and revision, or path."""
    sha: str
    """sha256 over the weight files' sha256, in name order."""
    parents: tuple[str, ...]
    """shas of the models and data files it was made from."""
    policy_shas: dict[str, str]
    """Category -> sha of the policy it was trained on; empty before sft."""

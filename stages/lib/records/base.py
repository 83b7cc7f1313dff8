"""What every record is: frozen, closed to unknown keys, identified by its content."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen row. Unknown keys are errors, so a file written by another version of the code is never half-read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def content_id(*parts: Any) -> str:
    """16 hex digits of the sha256 of `parts` as canonical JSON: the same content has the same id on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")

"""Knobs of the base model."""

from __future__ import annotations

from stages.lib.config import Section
from stages.lib.pretrained import PretrainedConfig


class BaseConfig(Section):
    """Which model everything starts from."""

    pretrained: PretrainedConfig
    reader: bool
    """Merge the reader's adapter: for models too small to follow a policy unaided."""

"""What the `report` section of params.yaml may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.lib.config import Section

Share = Annotated[float, Field(ge=0, le=1)]


class ChampionConfig(Section):
    """The released checkpoint, where DVC finds it."""

    revision: str = Field(min_length=1)
    arm: str


class ReleaseConfig(Section):
    """What a checkpoint must reach to be registered."""

    limits: dict[str, Share]
    """`suite.metric` -> least value. Of the candidates that reach all, the one with the highest mean of these is registered."""
    champion: ChampionConfig | None
    """None before there is one. A candidate must not be worse than it on any row of the table, beyond the intervals."""
    max_collateral: Share
    """Share of the prompts whose clause nobody edited since the champion that may be answered by another type of response."""


class ReportConfig(Section):
    """Which arms are shown and compared, and what a checkpoint must reach to be registered."""

    arms: tuple[str, ...] = Field(min_length=1)
    """In the order of the table's columns; the last one is the pipeline's result."""
    compare: tuple[tuple[str, str], ...]
    """(before, after) pairs put into words."""
    examples: int = Field(ge=0)
    """How often a disallowed and an allowed request are shown with every arm's reply, drawn by hash, category by category."""
    failures: int = Field(ge=0)
    """Wrong replies of the last arm shown, drawn likewise."""
    model_name: str
    """Name in the model registry."""
    candidates: dict[str, str]
    """Arm -> checkpoint folder that may be registered."""
    release: ReleaseConfig

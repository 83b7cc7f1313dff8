"""What the `filter` section of params.yaml may hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.lib.config import Section

Grade = Annotated[float, Field(ge=0, le=2)]


class MinScore(Section):
    """The least aggregated grade to keep a completion, by criterion; 0 switches one off."""

    compliance: Grade
    correctness: Grade
    helpfulness: Grade
    reasoning: Grade


class FilterConfig(Section):
    """Threshold and aggregate live here: moving them costs no judge call."""

    aggregate: Literal["min", "mean", "median"]
    """Over the k runs. The minimum asks every run to agree, as the paper does."""
    min_score: MinScore

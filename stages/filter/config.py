"""What the `filter` section of params.yaml may hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.lib.config import Section

Grade = Annotated[float, Field(ge=0, le=2)]


Aggregate = Literal["min", "mean", "median"]


class Aggregates(Section):
    """How a criterion's grades of the k runs become one. `min` asks every run to agree, as the paper does."""

    compliance: Aggregate
    correctness: Aggregate
    helpfulness: Aggregate
    reasoning: Aggregate


class MinScore(Section):
    """The least aggregated grade to keep a completion, by criterion; 0 switches one off."""

    compliance: Grade
    correctness: Grade
    helpfulness: Grade
    reasoning: Grade


class FilterConfig(Section):
    """Threshold and aggregate live here: moving them costs no judge call."""

    aggregate: Aggregates
    min_score: MinScore
    min_certainty: float = Field(ge=0, le=1)
    """How sure each of the k runs must be of the outcome it expects; 0 asks nothing. Runs that have no certainty pass."""

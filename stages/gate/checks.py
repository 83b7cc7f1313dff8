"""The words suites are written in: each is one great-expectations expectation with the reason it exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

Suite = dict[str, list["Check"]]
"""Table name -> its checks."""


class Check(BaseModel):
    """One expectation and why it is there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    kwargs: dict[str, Any]
    why: str

    @property
    def columns(self) -> list[str]:
        """The columns it reads."""
        return [str(self.kwargs[key]) for key in ("column", "column_A", "column_B") if key in self.kwargs]


def rows(least: int, why: str) -> Check:
    """At least so many rows. Every table's first check: all others hold of an empty table."""
    return Check(type="expect_table_row_count_to_be_between", kwargs={"min_value": max(1, least)}, why=why)


def present(column: str) -> Check:
    """No nulls. The engine adds it for every column, since all other checks pass over nulls."""
    return Check(type="expect_column_values_to_not_be_null", kwargs={"column": column}, why="a null would pass every other check")


def unique(column: str, why: str) -> Check:
    """No value twice."""
    return Check(type="expect_column_values_to_be_unique", kwargs={"column": column}, why=why)


def among(column: str, values: Iterable[Any], why: str, share: float = 1.0) -> Check:
    """Values of this set only, in at least `share` of the rows."""
    kwargs = {"column": column, "value_set": list(values), "mostly": round(share, 9)}
    return Check(type="expect_column_values_to_be_in_set", kwargs=kwargs, why=why)


def holds(column: str, why: str, share: float = 1.0) -> Check:
    """True in at least `share` of the rows."""
    return among(column, [True], why, share)


def band(column: str, low: float, high: float, why: str) -> list[Check]:
    """True in no less than `low` and no more than `high` of the rows."""
    return [among(column, [True], why, low), among(column, [False], why, 1 - high)]


def between(column: str, low: float | None, high: float | None, why: str) -> Check:
    """Numbers within limits; not-a-number counts as null and fails as that."""
    limits = {key: value for key, value in (("min_value", low), ("max_value", high)) if value is not None}
    return Check(type="expect_column_values_to_be_between", kwargs={"column": column, **limits}, why=why)


def written(column: str, why: str) -> Check:
    """Texts that are not empty."""
    return Check(type="expect_column_values_to_match_regex", kwargs={"column": column, "regex": r"\S"}, why=why)


def like(column: str, regex: str, why: str) -> Check:
    """Texts of one form."""
    return Check(type="expect_column_values_to_match_regex", kwargs={"column": column, "regex": regex}, why=why)


def covers(column: str, values: Iterable[Any], why: str) -> Check:
    """Every one of these values occurs."""
    kwargs = {"column": column, "value_set": list(values)}
    return Check(type="expect_column_distinct_values_to_contain_set", kwargs=kwargs, why=why)


def kinds(column: str, least: int, most: int | None, why: str) -> Check:
    """How many different values occur."""
    limits = {"min_value": least} | ({"max_value": most} if most is not None else {})
    return Check(type="expect_column_unique_value_count_to_be_between", kwargs={"column": column, **limits}, why=why)


def ordered(low: str, high: str, why: str) -> Check:
    """`low` is not above `high` in any row."""
    kwargs = {"column_A": high, "column_B": low, "or_equal": True}
    return Check(type="expect_column_pair_values_a_to_be_greater_than_b", kwargs=kwargs, why=why)

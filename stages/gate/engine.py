"""The one door to great-expectations and pandas: rows and checks in, plain findings out.

Great-expectations passes vacuously in three ways (an unknown expectation is dropped, an empty table holds everything, nulls
are passed over); each is closed here. Its ids and timestamps are left behind: the same rows give the same findings.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from stages.gate.checks import Check, present

Row = Mapping[str, Any]
MOST_IDS = 50


class Finding(BaseModel):
    """What one check found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    """Expectation and column."""
    limits: dict[str, Any]
    why: str
    ok: bool
    rows: int
    unexpected: int
    """Rows that do not hold, tolerated or not."""
    ids: tuple[str, ...]
    """Their ids, the first 50."""
    observed: Any = None
    error: str = ""


class VacuousError(RuntimeError):
    """A suite that would pass without looking: a mistake in this room, not in the data."""


def inspect(table: Sequence[Row], checks: Sequence[Check]) -> list[Finding]:
    """Every check on the rows, in the order declared, then a null check for each column they read."""
    if not checks or checks[0].type != "expect_table_row_count_to_be_between":
        raise VacuousError("a suite begins with a row count: everything else holds of an empty table")
    columns = dict.fromkeys(column for check in checks for column in ("id", *check.columns))
    declared = [*checks, *(present(column) for column in columns)]
    if not table:
        return [_finding(check, {"success": False}, "not evaluated: no rows", 0) for check in declared]
    results = _validate(table, declared)
    return [_finding(check, results[place], _error(results[place]), len(table)) for place, check in enumerate(declared)]


def _validate(table: Sequence[Row], declared: Sequence[Check]) -> dict[int, dict[str, Any]]:
    import pandas
    from great_expectations import ExpectationSuite

    context, source = _context()
    suite = context.suites.add(
        ExpectationSuite(name=f"suite {_count()}", expectations=[_expectation(*pair) for pair in enumerate(declared)])
    )
    if len(suite.expectations) != len(declared):
        raise VacuousError(f"{len(declared)} expectations declared, {len(suite.expectations)} kept: one has an unknown type")
    asset = source.add_dataframe_asset(f"table {_count()}")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        {"dataframe": pandas.DataFrame([dict(row) for row in table])}
    )
    shape = {"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]}
    results = [result.to_json_dict() for result in batch.validate(suite, result_format=shape).results]
    by_place = {result["expectation_config"]["meta"]["place"]: result for result in results}
    source.delete_asset(asset.name)
    if set(by_place) != set(range(len(declared))):
        raise VacuousError(f"{len(declared)} expectations declared, {len(by_place)} evaluated")
    return by_place


def _expectation(place: int, check: Check) -> dict[str, Any]:
    return {"type": check.type, "kwargs": check.kwargs, "meta": {"place": place, "why": check.why}}


@functools.lru_cache(maxsize=1)
def _context() -> tuple[Any, Any]:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context, context.data_sources.add_pandas("tables")


_made = iter(range(1 << 62))


def _count() -> int:
    return next(_made)


def _finding(check: Check, result: Mapping[str, Any], error: str, count: int) -> Finding:
    found = result.get("result") or {}
    ids = [str(entry["id"]) for entry in found.get("unexpected_index_list") or []]
    return Finding(
        check=" ".join([check.type.removeprefix("expect_"), *check.columns]),
        limits={key: value for key, value in check.kwargs.items() if not key.startswith("column")},
        why=check.why,
        ok=bool(result["success"]) and not error,
        rows=count,
        unexpected=int(found.get("unexpected_count") or 0),
        ids=tuple(sorted(set(ids))[:MOST_IDS]),
        observed=_short(found.get("observed_value")),
        error=error,
    )


def _short(value: Any) -> Any:
    return sorted(map(str, value))[:MOST_IDS] if isinstance(value, list) else value


def _error(result: Mapping[str, Any]) -> str:
    info = result.get("exception_info") or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    messages = [
        str(entry.get("exception_message")) for entry in entries if isinstance(entry, Mapping) and entry.get("raised_exception")
    ]
    return "; ".join(messages)[:300]

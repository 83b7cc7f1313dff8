"""The ways great-expectations passes without looking are closed."""

from __future__ import annotations

import pytest

from stages.gate.checks import Check, among, between, holds, ordered, present, rows, unique
from stages.gate.engine import Row, VacuousError, inspect

ROWS = [{"id": "a", "n": 1, "ok": True}, {"id": "b", "n": 2, "ok": False}]


def test_a_suite_without_a_row_count_is_refused() -> None:
    for checks in ([], [unique("id", "")]):
        with pytest.raises(VacuousError):
            inspect(ROWS, checks)


def test_an_empty_table_fails_every_check() -> None:
    assert not any(found.ok for found in inspect([], [rows(1, ""), unique("id", ""), holds("ok", "")]))


def test_a_row_count_of_zero_cannot_be_asked_for() -> None:
    assert rows(0, "").kwargs["min_value"] == 1


def test_a_misspelt_expectation_is_refused() -> None:
    wrong = Check(type="expect_column_values_to_be_uniqe", kwargs={"column": "id"}, why="")
    with pytest.raises(VacuousError, match="unknown type"):
        inspect(ROWS, [rows(1, ""), wrong])


def test_a_missing_column_fails_and_says_so() -> None:
    found = inspect(ROWS, [rows(1, ""), holds("absent", "")])
    assert not found[1].ok and "absent" in found[1].error


def test_nulls_fail_although_the_check_passes_over_them() -> None:
    table: list[Row] = [*ROWS, {"id": "c", "n": None, "ok": True}, {"id": "d", "n": float("nan"), "ok": True}]
    found = {each.check: each for each in inspect(table, [rows(1, ""), between("n", 0, 9, "")])}
    assert found["column_values_to_be_between n"].ok
    nulls = found[f"{present('n').type.removeprefix('expect_')} n"]
    assert not nulls.ok and nulls.ids == ("c", "d")


def test_rows_that_fail_are_named_and_tolerated_ones_too() -> None:
    strict, lenient, pair = inspect(ROWS, [rows(1, ""), holds("ok", ""), holds("ok", "", 0.5), ordered("ok", "n", "")])[1:4]
    assert (strict.ok, strict.ids) == (False, ("b",))
    assert (lenient.ok, lenient.ids, lenient.unexpected) == (True, ("b",), 1)
    assert pair.ok


def test_the_same_rows_give_the_same_findings() -> None:
    checks = [rows(1, ""), unique("id", ""), among("n", [1, 2], "")]
    assert inspect(ROWS, checks) == inspect(ROWS, checks)

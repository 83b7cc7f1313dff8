"""The reader of requests.jsonl: each mistake it refuses, with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.lib.errors import StageError
from stages.prompts.requests import read_requests, refuse_duplicates
from tests.prompts.samples import lines, policy, request_line, write_lines

HERE = Path("requests.jsonl")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(rows: list[dict[str, Any]], message: str) -> None:
    write_lines(HERE, rows)
    with pytest.raises(StageError, match=message) as error:
        read_requests(HERE, policy())
    assert error.value.remedy


def test_reads_in_order_of_the_file() -> None:
    write_lines(HERE, lines())
    requests = read_requests(HERE, policy())
    assert [request.line.clause for request in requests] == [line["clause"] for line in lines()]
    assert requests[0].where == "requests.jsonl:1"


def test_missing_and_empty_file() -> None:
    with pytest.raises(StageError, match=r"requests\.jsonl does not exist"):
        read_requests(HERE, policy())
    refused([], r"requests\.jsonl: holds no request")


def test_truncated_line() -> None:
    whole = "\n".join(json.dumps(line) for line in lines())
    HERE.write_text(whole[:-20], encoding="utf-8")
    with pytest.raises(StageError, match=rf"requests\.jsonl:{len(lines())}: .*Invalid JSON") as error:
        read_requests(HERE, policy())
    assert "mend that line" in error.value.remedy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clause": "GA9"}, r":1: clause 'GA9' is not in the policy `garden`"),
        ({"clause": None}, r":1: clause None is not in the policy"),
        ({"split": "test"}, r":1: split"),
        ({"colour": "red"}, r":1: colour"),
        ({"conversation": []}, r":1: the turns are none"),
        ({"conversation": [{"role": "user", "content": " "}]}, r":1: a turn is empty"),
        ({"conversation": [{"role": "system", "content": "Hi"}]}, r":1: the turns are \['system'\]"),
        ({"conversation": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, r":1: the turns are"),
        ({"pair": "ga-1"}, r":1: pair 'ga-1' must be two requests of one split"),
    ],
)
def test_wrong_line(changes: dict[str, Any], message: str) -> None:
    first, *rest = lines()
    refused([{**first, **changes}, *rest], message)


def test_pair_across_splits() -> None:
    rows = [{**line, "pair": "ga-1" if index in (0, 3) else None} for index, line in enumerate(lines())]
    assert {rows[0]["split"], rows[3]["split"]} == {"train", "eval"}
    refused(rows, r":1, .*:4: pair 'ga-1' must be two requests of one split")


def test_both_splits_are_needed() -> None:
    refused([line for line in lines() if line["split"] == "train"], "no request has split 'eval'")


def test_benign_requests_name_no_clause() -> None:
    write_lines(HERE, lines())
    with pytest.raises(StageError, match="a benign request names clause 'GA1'"):
        read_requests(HERE, None)


def test_duplicates_in_other_spelling_and_other_files() -> None:
    write_lines(HERE, lines())
    write_lines(
        Path("other.jsonl"), [request_line("GA1", "train", "x y"), request_line("GA1", "eval", "Pull  the WEED 0 please")]
    )
    requests = [*read_requests(HERE, policy()), *read_requests(Path("other.jsonl"), policy())]
    with pytest.raises(StageError, match=r"other\.jsonl:2: the same conversation stands at requests\.jsonl:1"):
        refuse_duplicates(requests)

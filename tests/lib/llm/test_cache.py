"""The request cache: nothing is paid twice, not even across a kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, Request
from stages.lib.llm.cache import Cached
from stages.lib.llm.scripted import Scripted
from stages.lib.records import Message, Sampling

GREEDY = Sampling(temperature=0.0, max_new_tokens=8)
WARM = Sampling(temperature=1.0, max_new_tokens=8)


def ask(text: str, index: int = 0) -> Request:
    return Request(messages=(Message(role="user", content=text),), sample_index=index)


def echo(request: Request) -> str:
    return f"{request.messages[-1].content} {request.sample_index} \u2028 ü"


def test_the_second_call_costs_nothing(tmp_path: Path) -> None:
    asked = [ask(str(number)) for number in range(5)]
    first = Cached(Scripted(echo), tmp_path)
    texts = first.generate(asked, GREEDY, 7)
    inner = Scripted(echo)
    second = Cached(inner, tmp_path)
    assert second.generate(asked[::-1], GREEDY, 7) == texts[::-1]
    assert (first.rows_new, first.rows_cached, second.rows_new, second.rows_cached) == (5, 0, 0, 5)
    assert inner.asked == []


def test_only_what_is_missing_is_asked_and_the_order_is_kept(tmp_path: Path) -> None:
    Cached(Scripted(echo), tmp_path).generate([ask("b")], GREEDY, 7)
    inner = Scripted(echo)
    done = Cached(inner, tmp_path).generate([ask("a"), ask("b"), ask("c"), ask("a")], GREEDY, 7)
    assert [generation.text[0] for generation in done] == ["a", "b", "c", "a"]
    assert [request.messages[0].content for request in inner.asked] == ["a", "c"]


def test_every_part_of_the_request_is_in_the_key(tmp_path: Path) -> None:
    def new_rows(request: Request, sampling: Sampling, seed: int, model: str = "m", salt: str = "") -> int:
        cached = Cached(Scripted(echo, model), tmp_path, salt)
        cached.generate([request], sampling, seed)
        return cached.rows_new

    assert new_rows(ask("a"), WARM, 7) == 1
    assert new_rows(ask("a"), WARM, 7) == 0
    assert new_rows(ask("b"), WARM, 7) == 1
    assert new_rows(ask("a", 1), WARM, 7) == 1
    assert new_rows(ask("a"), WARM, 8) == 1
    assert new_rows(ask("a"), WARM.model_copy(update={"top_p": 0.5}), 7) == 1
    assert new_rows(ask("a"), WARM, 7, model="n") == 1
    assert new_rows(ask("a"), WARM, 7, salt="float32") == 1
    assert new_rows(ask("a"), GREEDY, 7) == 1
    assert new_rows(ask("a"), GREEDY, 8) == 0, "a greedy text does not depend on the seed"


def test_greedy_draws_of_one_request_are_one_call(tmp_path: Path) -> None:
    asked = [ask("a", index) for index in range(3)]
    for sampling, calls in ((GREEDY, 1), (WARM, 3)):
        cached = Cached(Scripted(echo), tmp_path)
        assert len(cached.generate(asked, sampling, 7)) == 3
        assert cached.rows_new == calls


def test_a_failure_is_never_kept(tmp_path: Path) -> None:
    broken = Scripted(lambda request: Generation(text="", truncated=False, error="HTTP 500"))
    assert Cached(broken, tmp_path).generate([ask("a")], GREEDY, 7)[0].error == "HTTP 500"
    assert Cached(Scripted(echo), tmp_path).generate([ask("a")], GREEDY, 7)[0].error is None


def test_a_torn_last_line_is_asked_again(tmp_path: Path) -> None:
    asked = [ask(str(number)) for number in range(4)]
    texts = Cached(Scripted(echo), tmp_path).generate(asked, GREEDY, 7)
    (segment,) = tmp_path.rglob("*.jsonl")
    whole = segment.read_bytes()
    for cut in (3, 20, 70):
        segment.write_bytes(whole[:-cut])
        again = Cached(Scripted(echo), tmp_path)
        assert again.generate(asked, GREEDY, 7) == texts
        assert again.rows_new == 1
        for other in set(tmp_path.rglob("*.jsonl")) - {segment}:
            other.unlink()


def test_what_was_answered_before_an_error_is_kept(tmp_path: Path) -> None:
    def third_fails(request: Request) -> str:
        if request.messages[0].content == "2":
            raise KeyboardInterrupt
        return echo(request)

    asked = [ask(str(number)) for number in range(4)]
    with pytest.raises(KeyboardInterrupt):
        Cached(Scripted(third_fails), tmp_path).generate(asked, GREEDY, 7)
    again = Cached(Scripted(echo), tmp_path)
    again.generate(asked, GREEDY, 7)
    assert (again.rows_cached, again.rows_new) == (2, 2)


WORKER = """
import sys, time
from pathlib import Path
from stages.lib.llm.cache import Cached
from stages.lib.llm.scripted import Scripted
from stages.lib.records import Message, Sampling
from stages.lib.llm.backend import Request

store, bill = Path(sys.argv[1]), Path(sys.argv[2])

def pay(request):
    with bill.open("a") as lines:
        lines.write(request.messages[0].content + "\\n")
    time.sleep(0.03)
    return "answer " + request.messages[0].content

asked = [Request(messages=(Message(role="user", content=str(n)),)) for n in range(40)]
done = Cached(Scripted(pay), store).generate(asked, Sampling(temperature=0.0, max_new_tokens=8), 7)
assert [d.text for d in done] == [f"answer {n}" for n in range(40)]
"""


def test_after_a_kill_nothing_is_paid_twice(tmp_path: Path) -> None:
    bill, command = tmp_path / "bill", [sys.executable, "-c", WORKER, str(tmp_path / "store"), str(tmp_path / "bill")]
    for paid in (8, 20):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not bill.exists() or len(bill.read_text().splitlines()) < paid:
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    charges = bill.read_text().splitlines()
    twice = [number for number in set(charges) if charges.count(number) > 1]
    assert set(charges) == {str(number) for number in range(40)}
    assert len(twice) <= 2, "only the request in flight at each kill may be asked again"
    rows = [json.loads(line) for path in (tmp_path / "store").rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert len({row["key"] for row in rows}) == len(rows) == 40


def test_a_spent_budget_stops_and_keeps_what_was_paid(tmp_path: Path) -> None:
    asked = [ask(text) for text in ("a", "b", "c")]
    with pytest.raises(StageError, match=r"budget of 2 .* 1 are still"):
        Cached(Scripted(echo), tmp_path, budget=2).generate(asked, GREEDY, 7)
    again = Cached(Scripted(echo), tmp_path, budget=1)
    assert [done.text[0] for done in again.generate(asked, GREEDY, 7)] == ["a", "b", "c"]
    assert (again.rows_new, again.rows_cached) == (1, 2)
    assert again.known([ask("a"), ask("c"), ask("z")], GREEDY, 7) == 2

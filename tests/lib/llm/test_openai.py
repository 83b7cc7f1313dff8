"""The client of OpenAI-compatible servers, against a real server on 127.0.0.1."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, Request
from stages.lib.llm.config import LlmConfig
from stages.lib.llm.openai import OpenAi, Patience, read_response, wait_for
from stages.lib.records import Message, Sampling

pytest.importorskip("openai")

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=8)
QUICK = Patience(attempts=4, first_wait=0.01, longest_wait=0.02, timeout=0.5, failures_in_a_row=3)


class Server(ThreadingHTTPServer):
    """Answers `plan[user text]` in turn, then echoes; counts calls and how many are open at once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.bodies: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.times: list[float] = []
        self.open = self.most_open = 0
        self.delay = 0.0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    """One chat completion."""

    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
            self.server.calls[text] += 1
            self.server.bodies.append(body)
            self.server.times.append(time.monotonic())
            planned = self.server.plan.get(text, [])
            status, headers = planned.pop(0) if planned else (200, {})
        time.sleep(float(headers.pop("sleep", self.server.delay)))
        with self.server.lock:
            self.server.open -= 1
        self._send(status, headers, f"echo {text}")

    def _send(self, status: int, headers: dict[str, str], text: str) -> None:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        content = json.dumps(answer if status == 200 else {"error": {"message": "no"}}).encode()
        try:
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            pass  # the client gave up waiting, as a test means it to

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """A running one."""
    running = Server()
    threading.Thread(target=partial(running.serve_forever, poll_interval=0.01), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def client(url: str, concurrency: int = 4, patience: Patience = QUICK) -> OpenAi:
    from openai import AsyncOpenAI

    connect = partial(AsyncOpenAI, base_url=url, api_key="k", max_retries=0, timeout=patience.timeout)
    return OpenAi(connect, "m", concurrency, patience)


def ask(*texts: str) -> list[Request]:
    return [Request(messages=(Message(role="user", content=text),)) for text in texts]


def test_order_is_kept_and_concurrency_is_bounded(server: Server) -> None:
    server.delay = 0.02
    texts = [str(number) for number in range(20)]
    seen: dict[int, Generation] = {}
    done = client(server.url, concurrency=3).generate(ask(*texts), SAMPLING, 7, lambda place, what: seen.update({place: what}))
    assert [generation.text for generation in done] == [f"echo {text}" for text in texts]
    assert [seen[place] for place in range(20)] == done
    assert 2 <= server.most_open <= 3


def test_the_whole_sampling_is_sent(server: Server) -> None:
    client(server.url).generate(ask("a"), SAMPLING, 7)
    (body,) = server.bodies
    assert {name: body[name] for name in ("model", "temperature", "top_p", "max_tokens")} == {
        "model": "m",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 8,
    }
    assert isinstance(body["seed"], int)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_failure_is_retried(server: Server, status: int) -> None:
    server.plan["a"] = [(status, {}), (status, {})]
    backend = client(server.url)
    assert backend.generate(ask("a"), SAMPLING, 7)[0].text == "echo a"
    assert backend.attempts == server.calls["a"] == 3


def test_a_timeout_is_retried(server: Server) -> None:
    server.plan["a"] = [(200, {"sleep": "1.0"})]
    assert client(server.url).generate(ask("a"), SAMPLING, 7)[0].text == "echo a"
    assert server.calls["a"] == 2


def test_retry_after_is_honoured(server: Server) -> None:
    server.plan["a"] = [(429, {"Retry-After": "0.4"})]
    client(server.url).generate(ask("a"), SAMPLING, 7)
    first, second = server.times
    assert second - first >= 0.4


def test_a_request_that_fails_for_good_is_a_value_of_its_own(server: Server) -> None:
    server.plan["bad"] = [(400, {})]
    server.plan["dead"] = [(500, {})] * 9
    good, bad, dead = client(server.url).generate(ask("good", "bad", "dead"), SAMPLING, 7)
    assert good.error is None
    assert bad.error is not None and bad.text == "" and server.calls["bad"] == 1
    assert dead.error is not None and server.calls["dead"] == QUICK.attempts


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_set_up_stops_at_once(server: Server, status: int) -> None:
    texts = [str(number) for number in range(50)]
    server.plan = {text: [(status, {})] for text in texts}
    with pytest.raises(StageError, match="DA_LLM_API_KEY"):
        client(server.url).generate(ask(*texts), SAMPLING, 7)
    assert sum(server.calls.values()) <= 8


def test_a_dead_server_stops_the_stage() -> None:
    with pytest.raises(StageError, match="in a row"):
        client("http://127.0.0.1:9/v1", concurrency=1).generate(ask("a", "b", "c", "d"), SAMPLING, 7)


def test_reasoning_in_its_own_field_goes_back_into_think_tags() -> None:
    def response(finish: str = "stop", **message: str | None) -> Any:
        return SimpleNamespace(choices=[SimpleNamespace(finish_reason=finish, message=SimpleNamespace(**message))])

    wanted = Generation(text="<think>why</think>so", truncated=False)
    assert read_response(response(content="so", reasoning_content="why")) == wanted
    assert read_response(response(content="so", reasoning="why")) == wanted
    assert read_response(response(content="<think>why</think>so", reasoning="why")) == wanted
    assert read_response(response("length", content=None)) == Generation(text="", truncated=True)
    for nothing in (response(content=None), SimpleNamespace(choices=[]), SimpleNamespace()):
        with pytest.raises(ValueError, match="no"):
            read_response(nothing)


def test_waiting_grows_and_ignores_absurd_wishes() -> None:
    patience = Patience()
    assert wait_for(0, {"retry-after": "7"}, patience) == 7
    assert wait_for(0, {"retry-after": "86400"}, patience) < 1
    assert wait_for(0, {"retry-after": "soon"}, patience) < 1
    assert max(wait_for(20, {}, patience) for _ in range(50)) <= patience.longest_wait + 0.1


def test_endpoint_and_key_come_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DA_LLM_BASE_URL", server.url)
    monkeypatch.setenv("DA_LLM_API_KEY", "secret")
    backend = OpenAi.from_environment(LlmConfig(backend="openai", model="m", batch_size=2, dtype="bfloat16"))
    assert backend.generate(ask("a"), SAMPLING, 7)[0].text == "echo a"

"""Any OpenAI-compatible server: asynchronous, bounded, patient.

Endpoint and key come from DA_LLM_BASE_URL and DA_LLM_API_KEY. Retried: no connection, timeouts, 408, 409, 429 and 5xx, with
full jitter, or for as long as Retry-After asks. 401, 403 and 404 stop the stage: they mean the set-up, not the request. Any
other failure is a value of that request. When many requests in a row fail for good, the server is held to be gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, OnResult, Request, plain, request_seed
from stages.lib.llm.config import LlmConfig
from stages.lib.records import Message, Sampling, content_id
from stages.lib.transcript import CLOSE, write_reply

RETRIED = {408, 409, 429}
SET_UP = {401, 403, 404}
DEFAULT_URL = "http://127.0.0.1:8000/v1"


class Patience(NamedTuple):
    """How long a failing server is borne with."""

    attempts: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = 120.0
    timeout: float = 600.0
    failures_in_a_row: int = 20
    """Requests that failed for good, one after another, before the stage gives up."""


class Failure(NamedTuple):
    """One attempt that brought no text."""

    what: str
    again: bool
    """Whether another attempt may help."""
    headers: Mapping[str, str]


class OpenAi:
    """A served model. Its identity is the name it is served by."""

    def __init__(self, connect: Callable[[], Any], model: str, concurrency: int, patience: Patience | None = None) -> None:
        self.model_sha = content_id("openai", model)
        self.attempts = 0
        self._connect = connect  # a client belongs to one event loop, and each `generate` runs its own
        self._model = model
        self._concurrency = concurrency
        self._patience = patience or Patience()
        self._failed_in_a_row = 0

    @classmethod
    def from_environment(cls, llm: LlmConfig) -> OpenAi:
        """The server the environment names."""
        patience = Patience()
        try:
            from openai import AsyncOpenAI
        except ImportError:
            raise StageError("llm: backend is openai, but the client is not installed", "pip install '.[api]'") from None
        url, key = os.environ.get("DA_LLM_BASE_URL", DEFAULT_URL), os.environ.get("DA_LLM_API_KEY", "none")
        connect = partial(AsyncOpenAI, base_url=url, api_key=key, max_retries=0, timeout=patience.timeout)
        return cls(connect, llm.model, llm.batch_size, patience)

    def render(self, messages: Sequence[Message]) -> str:
        """The messages as JSON: the template is the server's own."""
        return json.dumps(plain(messages), ensure_ascii=False)

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int, on_result: OnResult | None = None
    ) -> list[Generation]:
        """All requests, at most `concurrency` in flight."""
        return asyncio.run(self._all(requests, sampling, seed, on_result))

    async def _all(
        self, requests: Sequence[Request], sampling: Sampling, seed: int, on_result: OnResult | None
    ) -> list[Generation]:
        done: dict[int, Generation] = {}
        waiting = iter(enumerate(requests))
        async with self._connect() as client:

            async def worker() -> None:
                for place, request in waiting:  # one iterator, many workers: a queue without a queue
                    done[place] = await self._one(client, request, sampling, seed)
                    if on_result is not None:
                        on_result(place, done[place])

            await _together([worker() for _ in range(min(self._concurrency, len(requests)))])
        return [done[place] for place in range(len(requests))]

    async def _one(self, client: Any, request: Request, sampling: Sampling, seed: int) -> Generation:
        """The reply, or after the last attempt the failure as a value."""
        body = self._body(request, sampling, seed)
        failure = Failure("no attempt was made", again=False, headers={})
        for attempt in range(self._patience.attempts):
            self.attempts += 1
            outcome = await self._attempt(client, body)
            if isinstance(outcome, Generation):
                self._failed_in_a_row = 0
                return outcome
            failure = outcome
            if not failure.again:
                break
            if attempt + 1 < self._patience.attempts:
                await asyncio.sleep(wait_for(attempt, failure.headers, self._patience))
        return self._give_up(failure.what)

    async def _attempt(self, client: Any, body: dict[str, Any]) -> Generation | Failure:
        from openai import APIConnectionError, APIError, APIStatusError

        try:
            return read_response(await client.chat.completions.create(**body))
        except APIStatusError as error:
            status = error.status_code
            if status in SET_UP:
                what = f"the server answers HTTP {status} for model {self._model!r}: {_short(error)}"
                raise StageError(what, _SET_UP_REMEDY) from None
            return Failure(f"HTTP {status}: {_short(error)}", status in RETRIED or status >= 500, error.response.headers)
        except APIConnectionError as error:  # timeouts are among these
            return Failure(_short(error), again=True, headers={})
        except (APIError, ValueError) as error:  # a body that is no chat completion
            return Failure(_short(error), again=False, headers={})

    def _body(self, request: Request, sampling: Sampling, seed: int) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": plain(request.messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": request_seed(seed, self.render(request.messages), request),
        }

    def _give_up(self, failure: str) -> Generation:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= self._patience.failures_in_a_row:
            raise StageError(f"{self._failed_in_a_row} requests in a row failed for good, last: {failure}", _GONE_REMEDY)
        return Generation(text="", truncated=False, error=failure)


_SET_UP_REMEDY = "check llm.*.model in conf, DA_LLM_BASE_URL (it ends in /v1) and DA_LLM_API_KEY"
_GONE_REMEDY = "see whether the server at DA_LLM_BASE_URL is alive and run again: what was answered is in the cache"


def read_response(response: Any) -> Generation:
    """Text and finish of a chat completion; reasoning that came in a field of its own goes back into think tags.

    Raises ValueError when it holds no text at all: an empty reply must not be taken for an answer.
    """
    choices = getattr(response, "choices", None)
    if not choices:
        raise ValueError("the response holds no choices")
    message = choices[0].message
    text = message.content or ""
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    truncated = choices[0].finish_reason == "length"
    if reasoning and CLOSE not in text:
        text = write_reply(reasoning.strip(), text)
    if not text and not truncated:
        raise ValueError("the response holds no text")
    return Generation(text=text, truncated=truncated)


def wait_for(attempt: int, headers: Mapping[str, str], patience: Patience) -> float:
    """Seconds until the next attempt: what the server asks for, else exponential with full jitter."""
    try:
        asked = float(headers.get("retry-after", ""))
    except ValueError:
        asked = 0.0
    if 0 < asked <= patience.longest_retry_after:
        return asked
    return random.uniform(0, min(patience.longest_wait, patience.first_wait * 2**attempt)) + patience.first_wait / 10


async def _together(workers: list[Any]) -> None:
    """Run all; the first error ends the others before it is raised."""
    tasks = [asyncio.ensure_future(worker) for worker in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

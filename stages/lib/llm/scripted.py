"""A backend whose texts are given, for tests and for wiring a pipeline without a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from stages.lib.llm.backend import Generation, OnResult, Request, plain
from stages.lib.records import Message, Sampling

NO_ANSWER = "<think>No clause covers it: comply.</think>Sure, here is an answer."


class Scripted:
    """Answers by a function; keeps what it was asked in `asked`."""

    def __init__(self, answer: Callable[[Request], str | Generation] | None = None, model_sha: str = "scripted") -> None:
        self.model_sha = model_sha
        self.asked: list[Request] = []
        self._answer = answer or (lambda request: NO_ANSWER)

    def render(self, messages: Sequence[Message]) -> str:
        """The messages as JSON."""
        return json.dumps(plain(messages), ensure_ascii=False)

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int, on_result: OnResult | None = None
    ) -> list[Generation]:
        """One answer per request, at once."""
        done = []
        for index, request in enumerate(requests):
            self.asked.append(request)
            answer = self._answer(request)
            done.append(answer if isinstance(answer, Generation) else Generation(text=answer, truncated=False))
            if on_result is not None:
                on_result(index, done[-1])
        return done

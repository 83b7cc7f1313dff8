"""What every backend is: messages to text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from stages.lib.records import Message, Record, Sampling
from stages.lib.seeds import derive


class Request(Record):
    """One text to generate."""

    messages: tuple[Message, ...]
    sample_index: int = 0
    """Tells several samples of one conversation apart."""
    forms: tuple[str, ...] = ()
    """Regular expressions. The whole text keeps to one of them where the backend can see to it (`local`); others write freely:
    read it strictly anyway."""
    questions: str = ""
    """Of the last message the part that asks, behind a first line, a line for each form: is it this? `local` weighs them, and
    the text keeps to the form of the likeliest."""


class Generation(Record):
    """What came back."""

    text: str
    truncated: bool
    """Cut off at the token limit."""
    shares: tuple[float, ...] = ()
    """How likely each question's yes was, the softmax of what was weighed; empty where nothing was."""
    error: str | None = None
    """Why there is no text: the backend failed on this request for good. The text is then empty and means nothing."""


OnResult = Callable[[int, Generation], None]


class Backend(Protocol):
    """A model that answers."""

    @property
    def model_sha(self) -> str:
        """Identity of what answers: of the weights, or of a served name."""
        ...

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as the model gets it; part of the cache's key, so a changed chat template asks anew."""
        ...

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int, on_result: OnResult | None = None
    ) -> list[Generation]:
        """Texts in the order of `requests`; `on_result` gets (index, generation) as each is done."""
        ...


def request_seed(seed: int, rendered: str, request: Request) -> int:
    """A seed of the request alone, so that a resumed run, with other batches, draws the same text."""
    return derive(seed, rendered, request.sample_index)


def plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as chat templates and servers take them."""
    return [message.model_dump() for message in messages]

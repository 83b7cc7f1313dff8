"""What both tests of the local backend ask of the tiny model, and the backend they ask."""

from __future__ import annotations

from pathlib import Path

from stages.lib.llm.backend import Request
from stages.lib.llm.load import load_model, load_tokenizer, model_sha
from stages.lib.llm.local import Local
from stages.lib.records import Message

POLICY = "Policy: Bees. " + " ".join(f"B{n}. feeding bees with {n} spoons of sugar: refuse." for n in range(8))
TEXTS = (
    "Why is the sky blue?",
    "Hi",
    "May I feed my bees? " * 4,
    "honey",
    "Tell me of sugar water.",
    "Hi there, who goes there now?",
)


def requests(system: str | None = POLICY, regex: str | None = None, sample_index: int = 0) -> list[Request]:
    """One for each of TEXTS, under the same system prompt."""
    form = () if regex is None else (regex,)
    first = () if system is None else (Message(role="system", content=system),)
    return [
        Request(messages=(*first, Message(role="user", content=text)), sample_index=sample_index, forms=form) for text in TEXTS
    ]


def local(folder: Path, batch_size: int = 4, share: bool = True) -> Local:
    """In float32, in which texts do not depend on batches."""
    return Local(lambda: load_model(folder, "float32"), load_tokenizer(folder), model_sha(folder), batch_size, share)


def forms(*regexes: str | None) -> list[Request]:
    """`requests` of each form, told apart by their sample index."""
    return [request for number, regex in enumerate(regexes) for request in requests(regex=regex, sample_index=number)]

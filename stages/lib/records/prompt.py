"""A request to the model: a conversation that ends on a user's turn."""

from __future__ import annotations

from typing import Literal

from stages.lib.records.base import Record


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Record):
    """One conversation in one wording."""

    id: str
    """Hash of category and messages."""
    request_id: str
    """Hash of the unwrapped conversation: all wordings of one request share it, and it is what train and eval are split by."""
    category: str
    split: Literal["train", "eval"]
    wrapper: str | None
    """Id of the wrapper around the last turn; None for the plain request."""
    wrapper_kind: Literal["plain", "harmless", "jailbreak"]
    clause: str | None
    """Gold clause id. Only ever used to measure: no training row and no filter reads it."""
    pair: str | None
    """Both sides of a contrast pair share this name."""
    messages: tuple[Message, ...]
    asked: bool = True
    """Whether a reply to it is asked for. Of a train prompt that is not, `mix` makes rows with the reply to the plain wording."""

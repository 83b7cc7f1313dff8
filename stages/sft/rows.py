"""Examples -> tokens with labels, checked: nothing is cut, and the prompt is what the model will see when it answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

from stages.lib.errors import StageError
from stages.lib.records import SftExample
from stages.lib.training import IGNORE
from stages.lib.transcript import write_reply


class Row(TypedDict):
    """What the trainer takes."""

    input_ids: list[int]
    labels: list[int]


def encode_all(examples: Iterable[SftExample], tokenizer: Any, max_length: int) -> list[Row]:
    """Every example as a row. One that would be cut is an error that names it: a cut target has lost its answer."""
    rows = []
    for example in examples:
        row = encode(example, tokenizer)
        if len(row["input_ids"]) > max_length:
            what = f"data/sft: row {example.id} has {len(row['input_ids'])} tokens, sft.max_length is {max_length}"
            raise StageError(what, "raise sft.max_length, or let mix drop long conversations")
        rows.append(row)
    return rows


def encode(example: SftExample, tokenizer: Any) -> Row:
    """One example: the prompt without loss, then think block, answer and end of turn; the think block alone without an answer."""
    prompt = [message.model_dump() for message in example.messages]
    reply = {"role": "assistant", "content": write_reply(example.deliberation, example.answer)}
    asked = render(tokenizer, prompt, True)
    whole = render(tokenizer, [*prompt, reply], False)
    if whole[: len(asked)] != asked:
        what = f"data/sft: row {example.id}: the rendered prompt is no token prefix of prompt and target"
        raise StageError(what, "use a chat template that renders a prompt alike with and without a reply, think block kept")
    end = _end_of_turn(whole, len(asked), tokenizer, example)
    if not example.answer:  # the turn goes on behind the think block
        end -= 1
    return {"input_ids": whole[:end], "labels": [IGNORE] * len(asked) + whole[len(asked) : end]}


def render(tokenizer: Any, messages: list[dict[str, str]], open_turn: bool) -> list[int]:
    """A conversation as tokens, by the model's own template."""
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=open_turn, return_dict=False))


def _end_of_turn(ids: list[int], start: int, tokenizer: Any, example: SftExample) -> int:
    """Behind the token that ends the turn: what templates write after it is never generated, so it is not learned."""
    if tokenizer.eos_token_id not in ids[start:]:
        what = f"data/sft: row {example.id}: the chat template does not end a reply with {tokenizer.eos_token!r}"
        raise StageError(what, "the model would not learn to stop: set the tokenizer's eos_token to the template's end of turn")
    return ids.index(tokenizer.eos_token_id, start) + 1

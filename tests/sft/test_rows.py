"""What carries loss, and what stops the stage before it trains on something else."""

from __future__ import annotations

from typing import Any

import pytest

from stages.lib.errors import StageError
from stages.lib.llm.load import load_tokenizer
from stages.lib.records import Message, SftExample
from stages.sft.rows import IGNORE, encode, encode_all
from tests.training.tiny import TEMPLATE, make_tiny


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(make_tiny(tmp_path_factory.mktemp("tiny")))


def example(*turns: str) -> SftExample:
    roles = ("user", "assistant")
    messages = tuple(Message.model_validate({"role": roles[place % 2], "content": text}) for place, text in enumerate(turns))
    return SftExample(
        id="e1", prompt_id="p", completion_id="c", category="bees", source="policy", messages=messages,
        deliberation="The request: honey. No clause covers it: comply.", answer="Sure, here it is.", policy_sha="s",
    )  # fmt: skip


@pytest.mark.parametrize("turns", [("Give me honey.",), ("Hello.", "Hi there.", "Give me honey.")])
def test_loss_falls_on_think_block_answer_and_end_of_turn_alone(tokenizer: Any, turns: tuple[str, ...]) -> None:
    row = encode(example(*turns), tokenizer)
    learned = [token for token in row["labels"] if token != IGNORE]
    wanted = "<think>The request: honey. No clause covers it: comply.</think>Sure, here it is.<|im_end|>"
    assert tokenizer.decode(learned) == wanted
    assert row["input_ids"][-len(learned) :] == learned
    prompt = tokenizer.decode(row["input_ids"][: -len(learned)])
    assert prompt.endswith("<|im_start|>user\nGive me honey.<|im_end|>\n<|im_start|>assistant\n")


def test_a_row_without_answer_ends_with_the_think_block_and_does_not_learn_to_end_the_turn(tokenizer: Any) -> None:
    row = encode(example("Hi.").model_copy(update={"answer": ""}), tokenizer)
    learned = tokenizer.decode([token for token in row["labels"] if token != IGNORE])
    assert learned == "<think>The request: honey. No clause covers it: comply.</think>"
    whole = encode(example("Hi."), tokenizer)["input_ids"]
    assert whole[: len(row["input_ids"])] == row["input_ids"], "what is learned is no beginning of what is generated"


def test_think_tags_survive_decoding_without_special_tokens(tokenizer: Any) -> None:
    row = encode(example("Hi."), tokenizer)
    assert tokenizer.decode(row["input_ids"], skip_special_tokens=True).count("<think>") == 1


def test_a_row_that_would_be_cut_is_named(tokenizer: Any) -> None:
    length = len(encode(example("Hi."), tokenizer)["input_ids"])
    assert encode_all([example("Hi.")], tokenizer, length)
    with pytest.raises(StageError, match=rf"row e1 has {length} tokens(?s:.)*sft\.max_length"):
        encode_all([example("Hi.")], tokenizer, length - 1)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (TEMPLATE.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n/no_think\n{% endif %}"), "prefix"),
        ("{% for message in messages %}{{ message['content'] }}\n{% endfor %}", "does not end a reply"),
    ],
)
def test_a_template_that_breaks_the_target_is_refused(tokenizer: Any, template: str, words: str) -> None:
    shipped, tokenizer.chat_template = tokenizer.chat_template, template
    try:
        with pytest.raises(StageError, match=words):
            encode(example("Hi."), tokenizer)
    finally:
        tokenizer.chat_template = shipped

"""The question that is likeliest to be answered yes decides the form, whatever it is read together with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stages.lib.llm import decode
from stages.lib.llm.backend import Request
from stages.lib.llm.load import load_model, load_tokenizer
from stages.lib.llm.weigh import question_places, yes_over_no
from stages.lib.records import Message, Sampling
from tests.lib.llm.asked import POLICY, TEXTS, forms, local
from tests.lib.llm.test_guide import FORM, LONG, token_by_token

TITLES = ("feeding bees", "old honey (and wax)", "the blue sky", "sugar water", "something else")


def asking(count: int, text: str, behind: str = "") -> Request:
    """About `count` of the titles, of which each has a form that names it and leaves something open."""
    titles = (*TITLES[: count - 1], TITLES[-1])
    questions = "\n".join(["Which is it?", *(f"- {title}?" for title in titles)])
    content = f"{text}\n\n{questions}{behind}"
    return Request(
        messages=(Message(role="system", content=POLICY), Message(role="user", content=content)),
        forms=tuple(rf"about {re.escape(title)}: ([ab]{{3,9}}|[cd]{{2}})\." for title in titles),
        questions=questions,
    )


def likeliest(folder: Path, request: Request) -> int:
    """The number of the question that is likeliest to be answered yes."""
    weights = weighed(folder, request)
    return weights.index(max(weights))


def weighed(folder: Path, request: Request) -> list[float]:
    """By one pass for each question, over the prompt cut off behind it."""
    import torch

    model, tokenizer = load_model(folder, "float32"), load_tokenizer(folder)
    text = tokenizer.apply_chat_template(
        [each.model_dump() for each in request.messages], tokenize=False, add_generation_prompt=True
    )
    scores = []
    for line in request.questions.splitlines()[1:]:
        ids = tokenizer(text[: text.index(line) + len(line)], add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logits = model(ids).logits[0, -1]
        yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in (" yes", " no"))
        differ = next(place for place in range(len(yes)) if yes[place] != no[place])
        scores.append(float(logits[yes[differ]] - logits[no[differ]]))
    return scores


REQUESTS = [
    asking(count, text, behind) for text in TEXTS for count, behind in ((2, ""), (5, "\nreply: Sure, honey."), (4, " "), (5, ""))
]


@pytest.mark.parametrize(("batch", "share", "chunk"), [(64, True, 2048), (5, True, 40), (7, False, 90), (1, True, 2048)])
def test_the_likeliest_question_decides(tiny: Path, monkeypatch: pytest.MonkeyPatch, batch: int, share: bool, chunk: int) -> None:
    monkeypatch.setattr("stages.lib.llm.decode.CHUNK", chunk)
    done = local(tiny, batch, share).generate(REQUESTS, LONG, 7)
    chosen = [request.forms[likeliest(tiny, request)] for request in REQUESTS]
    assert [text.text for text in done] == [token_by_token(tiny, *pair) for pair in zip(REQUESTS, chosen, strict=True)]
    assert len(set(chosen)) > 2, "a model that always says the same would prove nothing"


def test_it_does_where_the_cache_is_that_of_transformers(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = local(tiny).generate(REQUESTS, LONG, 7)
    monkeypatch.setattr("stages.lib.llm.load.PLAIN", frozenset())
    assert local(tiny).generate(REQUESTS, LONG, 7) == expected


def test_requests_that_ask_share_a_batch_with_those_that_do_not(tiny: Path) -> None:
    mixed = [request for pair in zip(forms(FORM, None), REQUESTS, strict=False) for request in pair]
    assert local(tiny, 64).generate(mixed, LONG, 7) == [local(tiny, 1).generate([each], LONG, 7)[0] for each in mixed]


def test_a_form_that_leaves_no_choice_ends_the_text(tiny: Path) -> None:
    fixed = [request.model_copy(update={"forms": tuple(f"form {n}" for n in range(len(request.forms)))}) for request in REQUESTS]
    done = local(tiny, 64).generate(fixed, Sampling(temperature=0.0, max_new_tokens=20), 7)
    assert [text.text for text in done] == [f"form {likeliest(tiny, request)}" for request in fixed]


def test_what_follows_from_a_question_is_read_no_further_and_apart_from_what_is_open(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []
    model, tokenizer = local(tiny, 64), load_tokenizer(tiny)
    decoding = decode.decode

    def watched(prefixes: Any, rows: Any, *args: Any) -> None:
        batches.append([tokenizer.decode(row) for row in rows])
        decoding(prefixes, rows, *args)

    monkeypatch.setattr(decode, "decode", watched)
    fixed = [request.model_copy(update={"forms": tuple(f"form {n}" for n in range(len(request.forms)))}) for request in REQUESTS]
    model.generate([*REQUESTS, *fixed], Sampling(temperature=0.0, max_new_tokens=20), 7)
    for batch in batches:
        assert len({text.endswith("- something else?") for text in batch}) == 1, "one is decoded, the other only read"
    assert sum(text.endswith("- something else?") for batch in batches for text in batch) == len(fixed)


def test_the_questions_shares_are_told(tiny: Path) -> None:
    import torch

    told = [each.shares for each in local(tiny, 5).generate(REQUESTS, LONG, 7)]
    for request, shares in zip(REQUESTS, told, strict=True):
        torch.testing.assert_close(shares, torch.tensor(weighed(tiny, request)).softmax(-1).tolist(), atol=2e-4, rtol=0)
    assert local(tiny).generate(forms(FORM), LONG, 7)[0].shares == ()


def test_a_question_without_a_form_is_refused(tiny: Path) -> None:
    short = REQUESTS[0].model_copy(update={"forms": REQUESTS[0].forms[:1]})
    with pytest.raises(ValueError, match="2 questions for 1 forms"):
        local(tiny).generate([short], LONG, 7)


def test_questions_end_at_their_marks(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    questions = "Which is it?\n- a?\n- b (c)?\n- d?"
    text = f"- a?\n{questions}\n- e?"
    read = tokenizer(text, return_offsets_mapping=True)
    places = question_places(text, questions, read["offset_mapping"])
    ends = [read["offset_mapping"][place][1] for place in places]
    start = text.index(questions)
    assert [text[start:end] for end in ends] == ["Which is it?\n- a?", "Which is it?\n- a?\n- b (c)?", questions]
    with pytest.raises(ValueError, match="not found"):
        question_places(text, "- f?", read["offset_mapping"])


def test_yes_over_no_is_what_the_head_says(tiny: Path) -> None:
    import torch

    model, tokenizer = load_model(tiny, "float32"), load_tokenizer(tiny)
    hidden = torch.randn(32)
    scores = model.lm_head(hidden)
    yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in (" yes", " no"))
    pairs = [(a, b) for a, b in zip(yes, no, strict=False) if a != b]
    torch.testing.assert_close(hidden @ yes_over_no(model, tokenizer), scores[pairs[0][0]] - scores[pairs[0][1]])

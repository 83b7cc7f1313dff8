"""A guided text keeps to its regular expression, and jumping over what is forced changes no choice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer

from stages.lib.llm.backend import Request
from stages.lib.llm.load import load_model, load_tokenizer
from stages.lib.records import Sampling
from tests.lib.llm.asked import POLICY, forms, local, requests

LONG = Sampling(temperature=0.0, max_new_tokens=200)
FORM = r"clause: (feeding bees|old honey|why the sky is blue, and nothing but the sky)\. (ab|[a-f]{3,6})\ngrade: [0-9]"
OTHER = r"(sugar|water|To comply, begin with a plain word)[.!?]{2}"


def token_by_token(folder: Path, request: Request, form: str = "") -> str:
    """Greedy, one at a time, every token asked for: no cache, no jumps."""
    import torch

    model, tokenizer = load_model(folder, "float32"), load_tokenizer(folder)
    turns = [message.model_dump() for message in request.messages]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")["input_ids"]
    matcher, start = (
        LLMatcher(from_tokenizer(tokenizer), LLMatcher.grammar_from_regex(form or "|".join(request.forms))),
        ids.shape[1],
    )
    while not matcher.is_stopped():
        forced = matcher.compute_ff_tokens()  # the tokens that a forced text is cut into are part of what is compared
        if forced:
            token = forced[0]
        else:
            with torch.inference_mode():
                scores = model(ids).logits[0, -1]
            allowed = torch.tensor(list(matcher.compute_logit_bias()), dtype=torch.bool)
            token = int(scores.masked_fill(~allowed, float("-inf")).argmax())
        assert matcher.consume_token(token)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return str(tokenizer.decode(ids[0, start:], skip_special_tokens=True))


@pytest.mark.parametrize(
    ("stride", "patience", "chunk", "block"), [(4, 8, 2048, 64), (1, 1, 30, 1), (0, 3, 90, 16), (99, 8, 1, 5)]
)
def test_texts_keep_to_the_form_and_are_those_of_the_plain_loop(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, stride: int, patience: int, chunk: int, block: int
) -> None:
    for name, value in (
        ("decode.STRIDE", stride),
        ("decode.PATIENCE", patience),
        ("decode.CHUNK", chunk),
        ("prefix.BLOCK", block),
    ):
        monkeypatch.setattr(f"stages.lib.llm.{name}", value)
    asked = [*forms(FORM, OTHER), *requests(POLICY + " And nothing else.", FORM)]
    done = local(tiny, 64).generate(asked, LONG, 7)
    assert all(
        re.fullmatch("|".join(request.forms), text.text) and not text.truncated for request, text in zip(asked, done, strict=True)
    )
    assert len({text.text for text in done}) > 4, "a form that leaves no choice would prove nothing"
    assert [text.text for text in done] == [token_by_token(tiny, request) for request in asked]


def test_a_form_is_kept_though_it_repeats_what_is_said(tiny: Path) -> None:
    once = LONG.model_copy(update={"no_repeat_ngram_size": 1})
    done = local(tiny, 64).generate(forms(r"(a|b)(a|b)(a|b)(a|b)(a|b)"), once, 7)
    assert all(re.fullmatch("[ab]{5}", text.text) for text in done)


def test_free_and_guided_requests_share_a_batch(tiny: Path) -> None:
    asked = forms(FORM, None, OTHER)
    alone = [local(tiny, 1).generate([request], LONG, 7)[0] for request in asked]
    assert local(tiny, 64).generate(asked, LONG, 7) == alone


def test_guided_draws_belong_to_the_request(tiny: Path) -> None:
    drawn = LONG.model_copy(update={"temperature": 1.5})
    asked = forms(FORM, OTHER, FORM)
    whole = local(tiny, 64).generate(asked, drawn, 7)
    assert local(tiny, 3).generate(asked[4:], drawn, 7) == whole[4:]
    assert all(re.fullmatch("|".join(request.forms), text.text) for request, text in zip(asked, whole, strict=True))
    assert whole != local(tiny, 64).generate(asked, drawn, 8)


def test_the_model_is_asked_for_the_choices_alone(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.lib.llm import decode

    widths: list[int] = []
    real = decode._go_on

    def counted(model: Any, cache: Any, ids: Any, mask: Any) -> Any:
        widths.append(ids.shape[1])
        return real(model, cache, ids, mask)

    monkeypatch.setattr(decode, "_go_on", counted)
    (done,) = local(tiny, 64).generate(forms(r"[ab]the rest is long and can be said in this one way only [cd]")[:1], LONG, 7)
    assert len(widths) == 1 and widths[0] > 10
    assert done.text[1:-1] == "the rest is long and can be said in this one way only "


def test_what_leaves_no_choice_is_not_asked_for(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr("stages.lib.llm.decode._read", fail)
    said: list[int] = []
    asked = forms(r"No clause covers it\.")
    done = local(tiny, 64).generate(asked, LONG, 7, lambda place, _: said.append(place))
    assert {text.text for text in done} == {"No clause covers it."} and sorted(said) == list(range(len(asked)))


def test_a_guided_text_ends_at_the_limit(tiny: Path) -> None:
    short = Sampling(temperature=0.0, max_new_tokens=5)
    done = local(tiny, 64).generate(forms(FORM), short, 7)
    assert all(text.truncated and "clause: ".startswith(text.text[:3]) for text in done)


def test_what_is_no_expression_is_refused(tiny: Path) -> None:
    with pytest.raises(ValueError, match=r"\(unclosed"):
        local(tiny, 64).generate(forms("(unclosed"), LONG, 7)

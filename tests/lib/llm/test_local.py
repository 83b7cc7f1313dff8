"""The local backend: a shared prefix, batches and resumption change no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, Request
from stages.lib.llm.load import load_model, load_tokenizer, model_sha
from stages.lib.llm.local import Local, common_prefix
from stages.lib.llm.prefix import BLOCK, NAME, PrefixCache, Prefixes, pad, prefill
from stages.lib.records import Message, Sampling
from tests.lib.llm.asked import POLICY, local, requests


def plain_texts(folder: Path, asked: list[Request], sampling: Sampling) -> list[str]:
    """One at a time through `model.generate`: no shared cache, no padding. As embeddings, the prompt does not count as said."""
    import torch

    model, tokenizer = load_model(folder, "float32"), load_tokenizer(folder)
    texts = []
    for request in asked:
        turns = [message.model_dump() for message in request.messages]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
        with torch.inference_mode():
            output = model.generate(
                inputs_embeds=model.get_input_embeddings()(prompt["input_ids"]),
                attention_mask=prompt["attention_mask"],
                max_new_tokens=sampling.max_new_tokens,
                no_repeat_ngram_size=sampling.no_repeat_ngram_size,
                do_sample=False,
            )
        texts.append(tokenizer.decode(output[0], skip_special_tokens=True))
    return texts


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_shared_prefix_gives_the_texts_of_plain_generate(tiny: Path, greedy: Sampling, batch_size: int) -> None:
    asked = requests()
    wanted = plain_texts(tiny, asked, greedy)
    assert len(set(wanted)) > 2, "a model that always says the same would prove nothing"
    assert [done.text for done in local(tiny, batch_size).generate(asked, greedy, 7)] == wanted
    assert [done.text for done in local(tiny, batch_size, share=False).generate(asked, greedy, 7)] == wanted


@pytest.mark.parametrize(("chunk", "leave", "block"), [(1, 1.0, 1), (40, 0.5, 3), (100, 0.0, 16)])
def test_texts_do_not_depend_on_how_a_batch_is_worked_through(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, leave: float, block: int
) -> None:
    for name, value in (("decode.CHUNK", chunk), ("decode.LEAVE", leave), ("prefix.BLOCK", block)):
        monkeypatch.setattr(f"stages.lib.llm.{name}", value)
    asked = [*requests(), *requests(POLICY + " And nothing else."), *requests(None)]
    longer = Sampling(temperature=0.0, max_new_tokens=40)
    wanted = plain_texts(tiny, asked, longer)
    assert len({len(text) for text in wanted}) > 3, "rows must end at different times"
    assert [done.text for done in local(tiny, 64).generate(asked, longer, 7)] == wanted


@pytest.mark.filterwarnings("ignore:Passing `no_repeat_ngram_size`")
def test_no_sequence_is_said_twice_where_that_is_asked_for(tiny: Path) -> None:
    asked = [*requests(), *requests(None)]
    free = Sampling(temperature=0.0, max_new_tokens=40)
    once = free.model_copy(update={"no_repeat_ngram_size": 2})
    wanted = plain_texts(tiny, asked, once)
    assert wanted != plain_texts(tiny, asked, free), "a model that never repeats itself would prove nothing"
    assert [done.text for done in local(tiny, 64).generate(asked, once, 7)] == wanted


def test_a_row_is_reported_as_it_ends_and_not_with_its_batch(tiny: Path) -> None:
    sampling = Sampling(temperature=0.0, max_new_tokens=40)
    order: list[int] = []
    done = local(tiny, 64).generate(requests(), sampling, 7, lambda place, _: order.append(place))
    lengths = [len(done[place].text) for place in order]
    assert sorted(order) == list(range(len(done))) and lengths[0] == min(lengths) < max(lengths)


@pytest.mark.parametrize("batch_size", [2, 7, 64])
def test_a_batch_may_span_policies_of_any_length(tiny: Path, greedy: Sampling, batch_size: int) -> None:
    longer = POLICY.replace("sugar", "brown syrup, molasses and other sweet things")
    asked = [*requests(), *requests(longer)[:1], *requests(None), *requests(POLICY + longer)]
    assert [done.text for done in local(tiny, batch_size=batch_size).generate(asked, greedy, 7)] == plain_texts(
        tiny, asked, greedy
    )


def test_the_shared_part_is_prefilled_once(tiny: Path, greedy: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = local(tiny, batch_size=2)
    lengths: list[int] = []

    def counted(model: Any, prefixes: list[tuple[int, ...]], pad_id: int) -> Any:
        lengths.extend(map(len, prefixes))
        return prefill(model, prefixes, pad_id)

    monkeypatch.setattr("stages.lib.llm.prefix.prefill", counted)
    backend.generate(requests(), greedy, 7)
    backend.generate(requests(), greedy, 8)  # as in a step of RL after the other
    assert len(lengths) == 1 and lengths[0] > len(backend.tokenizer(POLICY)["input_ids"])


def test_rows_hold_no_copy_of_what_they_share(tiny: Path) -> None:
    import torch

    backend = local(tiny)
    prefixes = Prefixes(backend.model, backend.tokenizer.pad_token_id)
    with prefixes.rows([(5, 6, 7, 8), (5, 6, 7, 8), (9, 10)], 3) as cache, torch.no_grad():
        assert backend.model.config._attn_implementation == NAME
        mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]])
        positions = torch.tensor([[4, 5], [4, 5], [2, 3]])
        out = backend.model(
            input_ids=torch.tensor([[11, 12]] * 3), attention_mask=mask, position_ids=positions, past_key_values=cache
        )
        layer = cache.layers[0]
        assert [keys.shape[:3] for keys in layer.prefix_keys] == [(1, 2, 4), (1, 2, 2)]
        assert layer.keys.shape[:3] == (3, backend.model.config.num_key_value_heads, 3 + BLOCK)
    assert backend.model.config._attn_implementation == "sdpa"
    for row, tokens in ((0, [5, 6, 7, 8, 11, 12]), (2, [9, 10, 11, 12])):
        with torch.no_grad():
            alone = backend.model(input_ids=torch.tensor([tokens])).logits[0, -2:]
        torch.testing.assert_close(out.logits[row], alone, atol=1e-5, rtol=1e-4)


def test_what_a_batch_leaves_in_memory_does_not_reach_the_next(tiny: Path) -> None:
    longer, backend = Sampling(temperature=0.0, max_new_tokens=40), local(tiny, 64)
    wide, narrow = [*requests(), *requests(POLICY + " And nothing else.")], requests(None)[:2]
    wanted = [plain_texts(tiny, asked, longer) for asked in (wide, narrow, wide)]
    assert [[done.text for done in backend.generate(asked, longer, 7)] for asked in (wide, narrow, wide)] == wanted


def test_memory_holds_the_latest_beginnings(tiny: Path, greedy: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.lib.llm.prefix.KEPT", 1)
    backend = local(tiny)
    asked = [*requests(), *requests(POLICY + " And nothing else.")]
    assert [done.text for done in backend.generate(asked, greedy, 7)] == plain_texts(tiny, asked, greedy)
    assert len(backend._prefixes._read) == 1


def test_other_attention_gets_the_cache_of_transformers(tiny: Path, greedy: Sampling) -> None:
    asked = requests()
    backend = local(tiny)
    wanted = [done.text for done in backend.generate(asked, greedy, 7)]
    backend.model.config._attn_implementation = "eager"
    with Prefixes(backend.model, backend.tokenizer.pad_token_id).rows([()], 3) as cache:
        assert not isinstance(cache, PrefixCache)
    assert [done.text for done in backend.generate(asked, greedy, 7)] == wanted


def test_a_draw_belongs_to_the_request_and_not_to_its_batch(tiny: Path) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9, max_new_tokens=12)
    asked = [Request(messages=request.messages, sample_index=index) for request in requests() for index in range(2)]
    whole = local(tiny, batch_size=8).generate(asked, sampling, 7)
    rest = local(tiny, batch_size=3).generate(asked[5:], sampling, 7)
    assert rest == whole[5:]
    assert len({done.text for done in whole}) == len(whole)
    assert local(tiny, batch_size=8).generate(asked, sampling, 8) != whole


def test_draws_follow_the_softmax() -> None:
    import torch

    from stages.lib.llm.draw import Draw

    scores = torch.tensor([[2.0, 1.0, 0.0, -9.0]]).repeat(4000, 1)
    drawn = Draw(Sampling(temperature=2.0, max_new_tokens=1), list(range(4000)), "cpu")(scores, range(4000))
    wanted = torch.softmax(scores[0] / 2.0, 0)
    assert torch.allclose(torch.bincount(drawn, minlength=4) / 4000, wanted, atol=0.03)


def test_results_are_reported_once_each_by_place(tiny: Path, greedy: Sampling) -> None:
    seen: dict[int, Generation] = {}
    done = local(tiny, batch_size=2).generate(requests(), greedy, 7, lambda place, generation: seen.update({place: generation}))
    assert [seen[place] for place in range(len(done))] == done


def test_a_text_that_ends_is_not_truncated(tiny: Path, greedy: Sampling) -> None:
    backend = local(tiny)
    stop = backend.tokenizer.eos_token_id
    assert backend._read([70, 71, stop]) == Generation(text=backend.tokenizer.decode([70, 71]), truncated=False)
    assert backend._read([70] * 12).truncated


def test_think_tags_survive_decoding(tiny: Path, greedy: Sampling) -> None:
    backend = local(tiny)
    written = backend.tokenizer("<think>a</think>b", add_special_tokens=False)["input_ids"]
    assert backend._read([*written, backend.tokenizer.eos_token_id]).text == "<think>a</think>b"


def test_weights_are_not_read_until_they_are_needed(tiny: Path) -> None:
    def fail() -> None:
        raise AssertionError("loaded")

    backend = Local(fail, load_tokenizer(tiny), "sha", 4)
    assert backend.render((Message(role="user", content="Hi"),)).endswith("<|im_start|>assistant\n")
    assert backend.generate([], Sampling(temperature=0.0, max_new_tokens=4), 7) == []


def test_common_prefix_leaves_a_token_to_each() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 3]]) == 2
    assert common_prefix([[1, 2, 3], [2, 3]]) == 0
    assert common_prefix([[1, 2, 3, 4], [1, 2, 5], [1, 2]]) == 1
    assert common_prefix([[1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 3, 3]]) == 2


def test_padding_stands_before_and_behind_the_prefix() -> None:
    ids, mask = pad([[1, 2, 3], [1, 2, 4, 5], [6, 7]], [2, 2, 1], 0, "cpu")
    assert ids.tolist() == [[1, 2, 0, 3], [1, 2, 4, 5], [0, 6, 0, 7]]
    assert mask.tolist() == [[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 0, 1]]


def test_the_sha_is_of_the_weights(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    assert model_sha(tmp_path) == model_sha(tiny)
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert model_sha(tmp_path) != model_sha(tiny)


@pytest.mark.parametrize("what", ["absent", "pickle"])
def test_a_folder_without_safetensors_is_refused(tmp_path: Path, what: str) -> None:
    if what == "pickle":
        (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(StageError, match="remedy"):
        load_model(tmp_path / "no" if what == "absent" else tmp_path, "float32")

"""A packed branch is what the same lesson would be alone."""

from __future__ import annotations

import copy

import pytest

from stages.reader.pack import IGNORE, MULTIPLE, Encoded, Pack, common_prefix, pack, packed_attention
from stages.reader.train import loss_of, workers

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def model():  # type: ignore[no-untyped-def]
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1
        )
    ).eval()


LESSONS = [
    Encoded([1, 2, 3, 4, 10, 11], [20, 21, 22], [1.0] * 3),
    Encoded([1, 2, 3, 4, 12], [23, 24], [1.0, 0.25]),
    Encoded([1, 2, 3, 4, 13, 14, 15], [25], [1.0]),
]


UNLIKE = [lesson._replace(prompt=[place, *lesson.prompt]) for place, lesson in enumerate(LESSONS)]


@pytest.mark.parametrize("lessons", [LESSONS, UNLIKE, LESSONS[:1]])
def test_packed_logits_equal_those_of_each_lesson_alone(model, lessons: list[Encoded]) -> None:  # type: ignore[no-untyped-def]
    packed = pack(lessons)
    alone = []
    for lesson in lessons:
        ids = torch.tensor([lesson.prompt + lesson.target])
        alone.append(model(input_ids=ids).logits[0, len(lesson.prompt) - 1 : -1])
    with packed_attention(model):
        together = model(input_ids=packed.input_ids, position_ids=packed.position_ids, segments=packed.segments).logits[0]
    rows = together[packed.labels[0] != IGNORE]
    torch.testing.assert_close(rows, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_labels_are_exactly_the_targets() -> None:
    packed = pack(LESSONS)
    assert packed.labels[packed.labels != IGNORE].tolist() == [token for lesson in LESSONS for token in lesson.target]
    assert packed.weights[packed.labels != IGNORE].tolist() == [weight for lesson in LESSONS for weight in lesson.weights]
    assert packed.segments[:-1] == (4, *(len(lesson.prompt) - 4 + len(lesson.target) - 1 for lesson in LESSONS))
    assert packed.input_ids.shape[1] == sum(packed.segments) == MULTIPLE


def test_the_shared_prefix_never_takes_a_whole_prompt() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 3]]) == 2
    assert common_prefix([[1, 2, 3], [2, 3]]) == 0


def test_packs_side_by_side_teach_what_they_teach_in_turn(model) -> None:  # type: ignore[no-untyped-def]
    from peft import LoraConfig, get_peft_model

    learner = get_peft_model(copy.deepcopy(model), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    packs = [pack(LESSONS), pack(UNLIKE), pack(LESSONS[1:])]

    def gradients(batch: Pack):  # type: ignore[no-untyped-def]
        return torch.autograd.grad(loss_of(learner, batch)[0], weights)

    with packed_attention(learner.get_base_model()):
        in_turn = list(map(gradients, packs))
        side_by_side = list(workers(3).map(gradients, packs))
    for one, other in zip(in_turn, side_by_side, strict=True):
        for mine, its in zip(one, other, strict=True):
            assert torch.equal(mine, its) and mine.abs().sum() > 0

"""A packed branch is what the same lesson would be alone."""

from __future__ import annotations

import copy

import pytest

from stages.lib.llm.branches import branching
from stages.lib.training import IGNORE
from stages.reader.pack import MULTIPLE, Encoded, pack
from stages.reader.train import read

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
    Encoded([1, 2, 3, 4, 10, 11], [20, 21, 22], [1.0] * 3, [4, 5], 1),
    Encoded([1, 2, 3, 4, 12], [23, 24], [1.0, 0.25], [], 0),
    Encoded([1, 2, 3, 4, 13, 14, 15], [25], [1.0], [4, 5, 6], 0),
    Encoded([1, 2, 3, 4, 16, 17, 18], [], [], [5, 6], 0),
]


UNLIKE = [
    lesson._replace(prompt=[place, *lesson.prompt], questions=[question + 1 for question in lesson.questions])
    for place, lesson in enumerate(LESSONS)
]


@pytest.mark.parametrize("lessons", [LESSONS, UNLIKE, LESSONS[:1]])
def test_what_is_read_of_a_pack_is_what_is_read_of_each_lesson_alone(model, lessons: list[Encoded]) -> None:  # type: ignore[no-untyped-def]
    direction = torch.linspace(-1, 1, 32)
    packed = pack(lessons)
    with branching(model):
        together = read(Adapted(model), packed, direction)
    logits, scores = [], []
    for lesson in lessons:
        ids = torch.tensor([lesson.prompt + lesson.target])
        hidden = model.model(input_ids=ids).last_hidden_state[0]
        logits.append(model.lm_head(hidden[len(lesson.prompt) - 1 : -1] if lesson.target else hidden[:0]))
        scores += [hidden[lesson.questions] @ direction] if lesson.questions else []
    weights, targets = (
        torch.tensor([each for row in rows for each in row]) for rows in zip(*(lesson[2:0:-1] for lesson in lessons), strict=True)
    )
    log_probs = torch.cat(logits).log_softmax(-1)
    loss = -(log_probs[range(len(targets)), targets] * weights).sum() / weights.sum()
    rights = [lesson.right for lesson in lessons if lesson.questions]
    loss = loss - sum(row.log_softmax(-1)[right] for row, right in zip(scores, rights, strict=True)) / len(rights)
    torch.testing.assert_close(together.loss, loss, atol=1e-5, rtol=1e-4)
    assert together.is_top1.tolist() == (log_probs.argmax(-1) == targets).tolist()
    for mine, row in zip(together.scores, scores, strict=True):
        torch.testing.assert_close(mine[: len(row)], row, atol=1e-5, rtol=1e-4)
        assert mine[len(row) :].eq(float("-inf")).all()


class Adapted:
    """A plain model where one with adapters is expected."""

    def __init__(self, model) -> None:  # type: ignore[no-untyped-def]
        self.get_base_model = lambda: model


def test_labels_are_exactly_the_targets() -> None:
    packed = pack(LESSONS)
    assert packed.labels[packed.labels != IGNORE].tolist() == [token for lesson in LESSONS for token in lesson.target]
    assert packed.weights[packed.labels != IGNORE].tolist() == [weight for lesson in LESSONS for weight in lesson.weights]
    assert packed.segments[:-1] == (4, *(len(lesson.prompt) - 4 + len(lesson.target[1:]) for lesson in LESSONS))
    assert packed.input_ids.shape[1] == sum(packed.segments) == MULTIPLE


def test_lean_adapters_teach_what_plain_ones_teach(model) -> None:  # type: ignore[no-untyped-def]
    from peft import LoraConfig, get_peft_model

    from stages.lib.cpu_training import lean_adapters

    learner = get_peft_model(copy.deepcopy(model), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    direction, packed = torch.linspace(-1, 1, 32), pack(LESSONS)

    def gradients():  # type: ignore[no-untyped-def]
        return torch.autograd.grad(read(learner, packed, direction).loss, weights)

    with branching(learner.get_base_model()):
        plain = gradients()
        lean_adapters(learner)
        for one, other in zip(plain, gradients(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-2)
            assert one.abs().sum() > 0

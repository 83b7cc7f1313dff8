"""Several lessons on one rule set as one sequence: the shared prefix once, then branches that cannot see each other.

A rule set is most of a lesson's tokens. Sharing it the way the local backend shares it when generating makes a lesson
several times cheaper to train on, and shows the model exactly what it will see: one request behind one policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.lib.llm.weigh import question_places

if TYPE_CHECKING:
    import torch

    from stages.reader.roles import Lesson

IGNORE = -100
MULTIPLE = 64
"""L is padded to a multiple: the CPU's matrix kernels are compiled anew for every length they have not seen."""
ATTENTION = "prefix_and_branches"
OUT_OF_FOCUS = 0.25
"""Loss weight of target tokens that the rule set does not decide."""


class Encoded(NamedTuple):
    """One lesson as token ids."""

    prompt: list[int]
    target: list[int]
    weights: list[float]
    """Loss weight of every target token."""
    questions: list[int]
    """Places of the prompt at which its questions end."""
    right: int
    """Which of them is to be answered yes."""


class Pack(NamedTuple):
    """A packed sequence of L tokens; every tensor has a leading batch dimension of 1."""

    input_ids: torch.Tensor
    """[1, L]"""
    position_ids: torch.Tensor
    """[1, L]; every branch restarts behind the prefix."""
    segments: tuple[int, ...]
    """Lengths of the prefix, of every branch, and of the padding behind them; they add up to L."""
    labels: torch.Tensor
    """[1, L]; the token to predict at each position, IGNORE where none is."""
    weights: torch.Tensor
    """[1, L]; the loss weight at each position, 0 where nothing is predicted."""
    questions: torch.Tensor
    """[lessons with questions, most questions of one]; their positions, IGNORE behind the last."""
    right: torch.Tensor
    """[lessons with questions]; the column of the one to be answered yes."""


def encode(lesson: Lesson, tokenizer: Any) -> Encoded:
    """Prompt through the model's own chat template, target up to and with the end-of-turn token.

    A lesson without a target ends with its last question.
    """
    turns = [message.model_dump() for message in lesson.request.messages]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    prompt = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = list(prompt["input_ids"]), []
    if lesson.request.questions:
        places = question_places(text, lesson.request.questions, prompt["offset_mapping"])
    if not lesson.target:
        return Encoded(ids[: places[-1] + 1], [], [], places, lesson.right)
    target = tokenizer(lesson.target, add_special_tokens=False, return_offsets_mapping=True)
    weights = [1.0 if lesson.focus[0] <= start < lesson.focus[1] else OUT_OF_FOCUS for start, _ in target["offset_mapping"]]
    return Encoded(ids, [*target["input_ids"], tokenizer.eos_token_id], [*weights, 1.0], places, lesson.right)


def pack(lessons: Sequence[Encoded]) -> Pack:
    """Pack lessons behind their longest common prefix."""
    import torch

    shared = common_prefix([lesson.prompt for lesson in lessons])
    ids, positions, labels, weights = list(lessons[0].prompt[:shared]), list(range(shared)), [IGNORE] * shared, [0.0] * shared
    segments, questions = [shared], []
    for lesson in lessons:
        branch = [*lesson.prompt[shared:], *lesson.target[:-1]]
        unscored = len(branch) - len(lesson.target)
        questions.append([place - shared + len(ids) for place in lesson.questions])
        ids += branch
        positions += range(shared, shared + len(branch))
        labels += [IGNORE] * unscored + lesson.target
        weights += [0.0] * unscored + lesson.weights
        segments.append(len(branch))
    padding = -len(ids) % MULTIPLE
    if padding:
        segments.append(padding)
    asked = [(row, lesson.right) for row, lesson in zip(questions, lessons, strict=True) if row]
    most = max((len(row) for row, _ in asked), default=0)
    return Pack(
        input_ids=torch.tensor([ids + [0] * padding]),
        position_ids=torch.tensor([positions + [0] * padding]),
        segments=tuple(segments),
        labels=torch.tensor([labels + [IGNORE] * padding]),
        weights=torch.tensor([weights + [0.0] * padding]),
        questions=torch.tensor([row + [IGNORE] * (most - len(row)) for row, _ in asked], dtype=torch.long).view(len(asked), most),
        right=torch.tensor([right for _, right in asked], dtype=torch.long),
    )


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Let `model` attend by segments: the prefix to itself, every branch to the prefix and itself.

    The segments of the pack under way are passed to the model's forward as `segments`. Computing only these blocks costs
    a third of one masked square over the whole pack.
    """
    from transformers import AttentionInterface

    before = model.config._attn_implementation
    AttentionInterface.register(ATTENTION, _attend)
    model.config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, segments: tuple[int, ...], **_: Any
) -> tuple[Any, None]:
    """query [1, heads, L, d], key and value [1, kv heads, L, d] -> [1, L, heads, d].

    Plain matrix products over branches padded to one length: a CPU runs them faster than the fused kernel's backward pass.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    kv, groups = key.shape[1], query.shape[1] // key.shape[1]
    (first, *asked), (first_key, *keys), (first_value, *values) = (each[0].split(segments, dim=1) for each in (query, key, value))
    parts = []
    if segments[0]:
        whole = first_key.repeat_interleave(groups, dim=0)[None], first_value.repeat_interleave(groups, dim=0)[None]
        parts.append(scaled_dot_product_attention(first[None], whole[0], whole[1], is_causal=True)[0])
    longest, width = max(segments[1:]), query.shape[-1]
    rows = _stacked(asked, longest).unflatten(1, (kv, groups)).flatten(2, 3)  # heads that share keys side by side
    seen, told = (
        torch.cat([each.expand(len(own), -1, -1, -1), _stacked(own, longest)], dim=2)
        for each, own in ((first_key, keys), (first_value, values))
    )
    later = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1).repeat(groups, 1)
    scores = (rows * width**-0.5) @ seen.transpose(2, 3)
    scores[..., segments[0] :].masked_fill_(later, float("-inf"))
    found = (scores.softmax(-1) @ told).view(len(asked), kv * groups, longest, width)
    parts += [row[:, :length] for row, length in zip(found.unbind(), segments[1:], strict=True)]
    return torch.cat(parts, dim=1).transpose(0, 1).unsqueeze(0).contiguous(), None


def _stacked(branches: Sequence[Any], longest: int) -> Any:
    """Branches [heads, tokens, d] -> [branches, heads, longest, d], padded behind: what is there, no earlier token looks at."""
    import torch

    return torch.stack([torch.nn.functional.pad(branch, (0, 0, 0, longest - branch.shape[1])) for branch in branches])


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix, at least one token short of the shortest sequence."""
    first, limit = sequences[0], min(map(len, sequences)) - 1
    for place in range(limit):
        if any(sequence[place] != first[place] for sequence in sequences):
            return place
    return limit

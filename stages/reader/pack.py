"""Several lessons on one rule set as one sequence: the shared prefix once, then branches that cannot see each other.

A rule set is most of a lesson's tokens. Sharing it the way the local backend shares it when generating makes a lesson
several times cheaper to train on, and shows the model exactly what it will see: one request behind one policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

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


def encode(messages: Sequence[Any], target: str, focus: tuple[int, int], tokenizer: Any) -> Encoded:
    """Prompt through the model's own chat template, target up to and with the end-of-turn token."""
    turns = [message.model_dump() for message in messages]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    tokens = tokenizer(target, add_special_tokens=False, return_offsets_mapping=True)
    weights = [1.0 if focus[0] <= start < focus[1] else OUT_OF_FOCUS for start, _ in tokens["offset_mapping"]]
    return Encoded(list(prompt), [*tokens["input_ids"], tokenizer.eos_token_id], [*weights, 1.0])


def pack(lessons: Sequence[Encoded]) -> Pack:
    """Pack lessons behind their longest common prefix."""
    import torch

    shared = common_prefix([lesson.prompt for lesson in lessons])
    ids, positions, labels, weights = list(lessons[0].prompt[:shared]), list(range(shared)), [IGNORE] * shared, [0.0] * shared
    segments = [shared]
    for lesson in lessons:
        branch = [*lesson.prompt[shared:], *lesson.target[:-1]]
        unscored = len(lesson.prompt) - shared - 1
        ids += branch
        positions += range(shared, shared + len(branch))
        labels += [IGNORE] * unscored + lesson.target
        weights += [0.0] * unscored + lesson.weights
        segments.append(len(branch))
    padding = -len(ids) % MULTIPLE
    if padding:
        segments.append(padding)
    return Pack(
        input_ids=torch.tensor([ids + [0] * padding]),
        position_ids=torch.tensor([positions + [0] * padding]),
        segments=tuple(segments),
        labels=torch.tensor([labels + [IGNORE] * padding]),
        weights=torch.tensor([weights + [0.0] * padding]),
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

    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    prefix = segments[0]
    parts = (
        [scaled_dot_product_attention(query[:, :, :prefix], key[:, :, :prefix], value[:, :, :prefix], is_causal=True)[0]]
        if prefix
        else []
    )
    asked, own_keys, own_values = (_stacked(tensor[0], segments) for tensor in (query, key, value))
    heads, count, longest, width = asked.shape
    asked = asked * width**-0.5
    later = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
    to_prefix = (asked.flatten(1, 2) @ key[0, :, :prefix].transpose(1, 2)).view(heads, count, longest, prefix)
    to_itself = (asked @ own_keys.transpose(2, 3)).masked_fill(later, float("-inf"))
    shares = torch.cat([to_prefix, to_itself], dim=-1).softmax(-1)
    found = (shares[..., :prefix].flatten(1, 2) @ value[0, :, :prefix]).view(heads, count, longest, width)
    found = found + shares[..., prefix:] @ own_values
    parts += [found[:, place, :length] for place, length in enumerate(segments[1:])]
    return torch.cat(parts, dim=1).transpose(0, 1).unsqueeze(0).contiguous(), None


def _stacked(tensor: Any, segments: tuple[int, ...]) -> Any:
    """[heads, L, d] -> the branches [heads, branches, longest, d], padded behind: what is there, no earlier token looks at."""
    import torch

    longest = max(segments[1:])
    branches = tensor.split(segments, dim=1)[1:]
    return torch.stack([torch.nn.functional.pad(branch, (0, 0, 0, longest - branch.shape[1])) for branch in branches], dim=1)


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix, at least one token short of the shortest sequence."""
    first, limit = sequences[0], min(map(len, sequences)) - 1
    for place in range(limit):
        if any(sequence[place] != first[place] for sequence in sequences):
            return place
    return limit

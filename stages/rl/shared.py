"""A prompt read once for all its replies, in the pass that learns too.

The rows of a group begin alike. Laid end to end behind one copy of their prompt, each reply seeing the prompt and itself,
they give the same hidden states and the same gradients from less than half of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple


class Packed(NamedTuple):
    """Rows laid out for one pass."""

    ids: Any
    """int64 [groups, length], padded on the right with 0."""
    positions: Any
    """int64 [groups, length]: a reply's go on from its prompt's."""
    part: Any
    """int64 [groups, length]: 0 is the prompt, 1, 2, ... its replies, -1 padding."""
    places: Any
    """int64 [rows, columns]: where in the flattened groups a row's token stands; 0 for padding."""


def pack(ids: Any, mask: Any, columns: int) -> Packed:
    """Rows [rows, columns of ids] of which the first `columns` hold the prompt, padded on the left, and the rest the reply."""
    import torch

    prompts = [tuple(row[keep].tolist()) for row, keep in zip(ids[:, :columns], mask[:, :columns].bool(), strict=True)]
    replies = [row[keep].tolist() for row, keep in zip(ids[:, columns:], mask[:, columns:].bool(), strict=True)]
    groups = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    lines: list[list[tuple[int, int, int]]] = [[(token, place, 0) for place, token in enumerate(prompt)] for prompt in groups]
    starts = []
    for prompt, reply in zip(prompts, replies, strict=True):
        line = lines[groups[prompt]]
        starts.append(len(line))
        number = line[-1][2] + 1 if line else 1
        line += [(token, len(prompt) + place, number) for place, token in enumerate(reply)]
    length = max(map(len, lines))
    laid = torch.tensor([line + [(0, 0, -1)] * (length - len(line)) for line in lines], device=ids.device)
    places = torch.zeros_like(ids)
    for row, (prompt, reply, start) in enumerate(zip(prompts, replies, starts, strict=True)):
        first = groups[prompt] * length
        places[row, mask[row].bool()] = torch.tensor(
            [*range(first, first + len(prompt)), *range(first + start, first + start + len(reply))], device=ids.device
        )
    return Packed(laid[..., 0], laid[..., 1], laid[..., 2], places)


def visible(part: Any, dtype: Any) -> Any:
    """What each token may see, [groups, 1, length, length]: its own part and the prompt, never what comes later. 0 or -inf."""
    import torch

    mine, other = part[:, :, None], part[:, None, :]
    length = part.shape[1]
    seen = ((mine == other) | (other == 0)) & torch.ones(length, length, dtype=torch.bool, device=part.device).tril()
    return torch.zeros(seen.shape, dtype=dtype, device=part.device).masked_fill(~seen, torch.finfo(dtype).min)[:, None]


@contextmanager
def shared_prompts(model: Any, columns: int) -> Iterator[None]:
    """Let the causal language model's trunk read rows that begin alike in one piece; `columns` of a row are its prompt."""
    trunk = model.base_model
    plain = trunk.forward

    def forward(input_ids: Any, attention_mask: Any, **kwargs: Any) -> Any:
        packed = pack(input_ids, attention_mask, columns)
        mask = visible(packed.part, trunk.get_input_embeddings().weight.dtype)
        output = plain(input_ids=packed.ids, attention_mask=mask, position_ids=packed.positions, **kwargs)
        output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[packed.places]
        return output

    trunk.forward = forward
    try:
        yield
    finally:
        trunk.forward = plain


def alike(prompts: Sequence[Any]) -> bool:
    """Whether any two prompts of [rows, columns] are one."""
    return len({tuple(prompt.tolist()) for prompt in prompts}) < len(prompts)

"""Several lessons on one rule set as one sequence: the shared prefix once, then branches that cannot see each other.

A rule set is most of a lesson's tokens. Sharing it the way the local backend shares it when generating makes a lesson
several times cheaper to train on, and shows the model exactly what it will see: one request behind one policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.lib.llm.local import common_prefix
from stages.lib.llm.weigh import question_places
from stages.lib.training import IGNORE

if TYPE_CHECKING:
    import torch

    from stages.reader.roles import Lesson

MULTIPLE = 64
"""L is padded to a multiple: the CPU's matrix kernels are compiled anew for every length they have not seen."""
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

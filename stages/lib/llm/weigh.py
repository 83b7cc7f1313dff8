"""Questions in a prompt, weighed by how much likelier the model is to answer each yes than no.

The prompt goes on behind a question as if nobody had answered. So one pass reads all of them, and no answer costs a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def question_places(text: str, questions: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The token at which each question ends.

    `questions` is part of `text`, a line each behind a first line that asks for nothing; `offsets` are the spans of the tokens.
    Raises ValueError where `text` does not hold them.
    """
    at = text.rindex(questions)
    places, token = [], 0
    for line in questions.splitlines(keepends=True):
        at += len(line)
        last = at - (2 if line.endswith("\n") else 1)
        while offsets[token][1] <= last:
            token += 1
        places.append(token)
    return places[1:]


def yes_over_no(model: Any, tokenizer: Any) -> Any:
    """[d]: its product with a hidden state is by how much the model would rather say yes than no."""
    words = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in (" yes", " no"))
    yes, no = next(pair for pair in zip(*words, strict=False) if pair[0] != pair[1])
    weight = model.get_output_embeddings().weight
    return weight[yes] - weight[no]

"""A cheap point of the learning curve: next-token accuracy where the rule set decides, on unseen domains."""

from __future__ import annotations

import random
from typing import Any

from stages.lib.seeds import derive
from stages.reader.pack import IGNORE
from stages.reader.roles import judge_lesson, reason_lesson
from stages.reader.train import loss_of, make_pack
from stages.reader.world import World, draw_rule_set

PACKS = 8


def curve_point(model: Any, tokenizer: Any, world: World, seed: int) -> dict[str, float]:
    """Loss and accuracy of both roles, given the right words before each token (no generation: seconds, not minutes)."""
    import torch

    point: dict[str, float] = {}
    for role, make, count, key in (("reasoner", reason_lesson, 6, "clause"), ("judge", judge_lesson, 4, "grades")):
        losses, right = [], []
        for number in range(PACKS):
            rng = random.Random(derive(seed, "curve", role, number))
            rules = draw_rule_set(world, rng)
            batch = make_pack([make(rules, world, rng) for _ in range(count)], tokenizer)
            with torch.no_grad():
                loss, logits = loss_of(model, batch)
            losses.append(float(loss))
            right += _decisions(batch, logits, tokenizer, role)
        point[f"{role}_loss"] = round(sum(losses) / PACKS, 4)
        point[f"{role}_{key}"] = round(sum(right) / max(len(right), 1), 3)
    return point


def _decisions(batch: Any, logits: Any, tokenizer: Any, role: str) -> list[bool]:
    """Reasoner: the token behind " about"; judge: the digits behind a colon."""
    where = batch.labels[0] != IGNORE
    labels, inputs = batch.labels[0, where].tolist(), batch.input_ids[0, where].tolist()
    guesses = logits.argmax(-1).tolist()
    about = tokenizer(" about", add_special_tokens=False)["input_ids"][0]
    digits = {tokenizer(digit, add_special_tokens=False)["input_ids"][-1] for digit in "012"}
    rows = zip(labels, inputs, guesses, strict=True)
    if role == "reasoner":
        return [label == guess for label, token, guess in rows if token == about]
    return [label == guess for label, token, guess in rows if label in digits and tokenizer.decode([token]).endswith((":", " "))]

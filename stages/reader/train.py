"""The training loop: a plain one, because no trainer packs lessons behind a shared prefix."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stages.lib.llm.weigh import yes_over_no
from stages.lib.seeds import derive
from stages.lib.training import IGNORE
from stages.reader.config import ReaderConfig
from stages.reader.pack import Pack, encode, pack
from stages.reader.roles import Lesson, helpful_lesson, judge_lesson, reason_lesson
from stages.reader.world import Case, World, draw_rule_set

CLIP = 1.0
FLOOR = 0.02
"""Share of the learning rate that the last step has."""
SHOWN = 0.15
"""Share of the requests for an example that the policy gives: what is the same is found before what is alike."""
MAX_TOKENS = 2200
"""Lessons that would make a pack longer are left out of it: attention costs grow with the square."""


def lessons_for(world: World, answers: list[tuple[Case, str]], config: ReaderConfig, seed: int, number: int) -> list[Lesson]:
    """The lessons of pack `number`: a pure function of the seed, so a resumed run sees the same stream."""
    rng = random.Random(derive(seed, "pack", number))
    role = rng.choices(list(config.role_weights), list(config.role_weights.values()))[0]
    count = config.lessons_per_pack[role]
    if role == "helpful":
        return [helpful_lesson(case, text, world, rng) for case, text in rng.sample(answers, min(count, len(answers)))]
    rules = draw_rule_set(world, rng)
    make = reason_lesson if role == "reasoner" or (role == "weigher" and rng.random() < 0.5) else judge_lesson
    lessons = [make(rules, world, rng, SHOWN) for _ in range(count)]
    return [lesson._replace(target="") for lesson in lessons] if role == "weigher" else lessons


def make_pack(lessons: list[Lesson], tokenizer: Any) -> Pack:
    """Encode and pack, dropping trailing lessons that exceed MAX_TOKENS."""
    encoded = [encode(lesson, tokenizer) for lesson in lessons]
    packed = pack(encoded)
    while packed.input_ids.shape[1] > MAX_TOKENS and len(encoded) > 1:
        encoded.pop()
        packed = pack(encoded)
    return packed


class Read(NamedTuple):
    """What a model makes of a pack."""

    loss: Any
    """Cross-entropy of the questions, of which one is right, as a mean over the lessons; to it is added the weighted mean of
    the target tokens'."""
    is_top1: Any
    """[target tokens]: whether the model would have said it."""
    scores: Any
    """[lessons with questions, most questions of one]: see `yes_over_no`."""


def read(model: Any, batch: Pack, direction: Any) -> Read:
    """One pass; the head runs only where there is a target. `direction` is of `yes_over_no`."""
    from torch.nn.functional import cross_entropy

    from stages.lib.cpu_training import score_tokens

    core, device = model.get_base_model(), direction.device
    hidden = core.model(
        input_ids=batch.input_ids.to(device), position_ids=batch.position_ids.to(device), segments=batch.segments, use_cache=False
    ).last_hidden_state[0]
    absent = (batch.questions == IGNORE).to(device)
    scores = (hidden[batch.questions.clamp(min=0).to(device)].float() @ direction.float()).masked_fill(absent, float("-inf"))
    loss = cross_entropy(scores, batch.right.to(device)) if len(scores) else 0.0
    where = batch.labels[0] != IGNORE
    labels, weights = batch.labels[0, where].to(device), batch.weights[0, where].to(device)
    log_probs, _, is_top1 = score_tokens(hidden[where.to(device)], core.lm_head.weight, labels)
    if len(labels):
        loss = loss - (log_probs * weights).sum() / weights.sum()
    return Read(loss, is_top1, scores)


def train(
    model: Any,
    tokenizer: Any,
    world: World,
    answers: list[tuple[Case, str]],
    config: ReaderConfig,
    seed: int,
    folder: Path,
    measure: Callable[[Any], dict[str, float]],
) -> Iterator[dict[str, float]]:
    """Train LoRA `model` in place and yield points of the learning curve. Resumes from `folder` after a kill."""
    import torch

    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    number, spent, tokens, curve = _resume(model, optimizer, folder)
    yield from curve
    running, started = [], time.monotonic()
    direction = yes_over_no(model, tokenizer)
    while number < config.packs:
        rate = learning_rate(number / config.packs, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for place in range(config.packs_per_step):
            batch = make_pack(lessons_for(world, answers, config, seed, number + place), tokenizer)
            loss = read(model, batch, direction).loss
            (loss / config.packs_per_step).backward()
            running.append(float(loss.detach()))
            tokens += batch.input_ids.shape[1]
        number += config.packs_per_step
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if number % config.measure_every < config.packs_per_step or number >= config.packs:
            seconds = spent + time.monotonic() - started
            point = {
                "packs": number,
                "tokens": tokens,
                "seconds": round(seconds),
                "loss": round(sum(running) / len(running), 4),
                **measure(model),
            }
            running = []
            curve = [*curve, point]
            _save(
                model,
                optimizer,
                folder,
                {"number": number, "spent": spent + time.monotonic() - started, "tokens": tokens, "curve": curve},
            )
            yield point


def learning_rate(progress: float, config: ReaderConfig) -> float:
    """Linear warm-up, then a cosine down to `FLOOR`."""
    if progress < config.warmup:
        return config.learning_rate * (progress + 1e-3) / config.warmup
    return config.learning_rate * (FLOOR + (1 - FLOOR) / 2 * (1 + math.cos(math.pi * progress)))


def _save(model: Any, optimizer: Any, folder: Path, state: dict[str, Any]) -> None:
    import torch
    from peft import get_peft_model_state_dict

    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "checkpoint.tmp"
    torch.save({"adapter": get_peft_model_state_dict(model), "optimizer": optimizer.state_dict(), "state": state}, temporary)
    temporary.replace(folder / "checkpoint.pt")


def _resume(model: Any, optimizer: Any, folder: Path) -> tuple[int, float, int, list[dict[str, float]]]:
    import torch
    from peft import set_peft_model_state_dict

    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0, 0, []
    saved = torch.load(path, weights_only=True)
    set_peft_model_state_dict(model, saved["adapter"])
    optimizer.load_state_dict(saved["optimizer"])
    state = saved["state"]
    return state["number"], state["spent"], state["tokens"], state["curve"]

"""The training loop: a plain one, because no trainer packs lessons behind a shared prefix."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stages.lib.seeds import derive
from stages.reader.config import ReaderConfig
from stages.reader.pack import IGNORE, MULTIPLE, Pack, encode, pack
from stages.reader.roles import Lesson, helpful_lesson, judge_lesson, reason_lesson
from stages.reader.world import Case, World, draw_rule_set

CLIP = 1.0
FLOOR = 0.02
"""Share of the learning rate that the last step has."""
SHOWN = 0.15
"""Share of the requests for an example that the policy gives: what is the same is found before what is alike."""
MAX_TOKENS = 1100
"""Lessons that would make a pack longer are left out of it: attention costs grow with the square."""


def lessons_for(world: World, answers: list[tuple[Case, str]], config: ReaderConfig, seed: int, number: int) -> list[Lesson]:
    """The lessons of pack `number`: a pure function of the seed, so a resumed run sees the same stream."""
    rng = random.Random(derive(seed, "pack", number))
    role = rng.choices(list(config.role_weights), list(config.role_weights.values()))[0]
    count = config.lessons_per_pack[role]
    if role == "helpful":
        return [helpful_lesson(case, text, world, rng) for case, text in rng.sample(answers, min(count, len(answers)))]
    rules = draw_rule_set(world, rng)
    make = reason_lesson if role == "reasoner" else judge_lesson
    return [make(rules, world, rng, SHOWN) for _ in range(count)]


def make_pack(lessons: list[Lesson], tokenizer: Any) -> Pack:
    """Encode and pack, dropping trailing lessons that exceed MAX_TOKENS."""
    encoded = [encode(lesson.messages, lesson.target, lesson.focus, tokenizer) for lesson in lessons]
    packed = pack(encoded)
    while packed.input_ids.shape[1] > MAX_TOKENS and len(encoded) > 1:
        encoded.pop()
        packed = pack(encoded)
    return packed


def loss_of(model: Any, batch: Pack) -> tuple[Any, Any]:
    """(weighted mean cross-entropy over the target tokens, their logits); the head runs only where there is one."""
    import torch

    core = model.get_base_model()
    device = next(model.parameters()).device
    where = _padded((batch.labels[0] != IGNORE).nonzero()[:, 0])
    labels, weights = batch.labels[0, where].clamp(min=0), batch.weights[0, where]
    with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False):  # the cache is shared between threads
        hidden = core.model(
            input_ids=batch.input_ids.to(device), position_ids=batch.position_ids.to(device), segments=batch.segments
        ).last_hidden_state
        logits = core.lm_head(hidden[0, where.to(device)])
    losses = torch.nn.functional.cross_entropy(logits.float(), labels.to(device), reduction="none")
    weights = weights.to(device)
    return (losses * weights).sum() / weights.sum(), logits[: int((batch.labels[0] != IGNORE).sum())]


def _padded(where: Any) -> Any:
    """Target positions, filled up to a multiple with position 0, which carries no weight."""
    import torch

    return torch.cat([where, where.new_zeros(-len(where) % MULTIPLE)])


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

    def gradients_of(batch: Pack) -> tuple[float, tuple[Any, ...]]:
        loss, _ = loss_of(model, batch)
        return float(loss.detach()), torch.autograd.grad(loss, weights)

    threads = workers(config.packs_per_step)
    while number < config.packs:
        rate = learning_rate(number / config.packs, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batches = [
            make_pack(lessons_for(world, answers, config, seed, number + place), tokenizer)
            for place in range(config.packs_per_step)
        ]
        for batch, (loss, gradients) in zip(batches, threads.map(gradients_of, batches), strict=True):
            for parameter, gradient in zip(weights, gradients, strict=True):
                gradient = gradient / config.packs_per_step
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            running.append(loss)
            tokens += batch.input_ids.shape[1]
            number += 1
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


def workers(packs: int) -> ThreadPoolExecutor:
    """A thread and a core per pack of a step: two packs side by side keep both busy, one pack does not."""
    import torch

    cores = torch.get_num_threads()
    count = 1 if torch.cuda.is_available() else max(1, min(packs, cores))
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(max(1, cores // count),))


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

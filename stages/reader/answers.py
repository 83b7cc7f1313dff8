"""What the pretrained model answers to harmless requests by itself: the targets of the helpful role."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from stages.lib.jsonl import write_json
from stages.reader.measure import REFUSAL
from stages.reader.world import Case, World

BATCH = 42
MAX_NEW_TOKENS = 56


def self_answers(model: Any, tokenizer: Any, world: World, count: int, seed: int, folder: Path) -> list[tuple[Case, str]]:
    """(case, answer of at most two sentences) for up to `count` cases; written once to `folder`, as generating costs a minute."""
    path = folder / "answers.json"
    if not path.exists():
        write_json(path, _ask(model, tokenizer, world, count, seed))
    raw = [(Case(*case), two_sentences(text)) for case, text in json.loads(path.read_text(encoding="utf-8"))]
    return [(case, text) for case, text in raw if usable(text)]


def two_sentences(text: str) -> str:
    """The first two complete sentences; empty when there is none."""
    return "".join(re.findall(r"[^.!?]+[.!?]+(?=\s|$)", " ".join(text.split()))[:2]).strip()


def usable(text: str) -> bool:
    """Five to 45 words, no refusal, no list cut off behind its number."""
    return 5 <= len(text.split()) <= 45 and not REFUSAL.search(text) and not re.search(r"as an ai|\d\.$", text, re.IGNORECASE)


def _ask(model: Any, tokenizer: Any, world: World, count: int, seed: int) -> list[tuple[Case, str]]:
    import torch
    from tqdm import tqdm

    cases = [case for domain in world.domains for rule in domain.rules for case in rule.cases]
    cases = sorted(random.Random(seed).sample(cases, min(count, len(cases))), key=lambda case: len(case.short))
    said: list[tuple[Case, str]] = []
    for start in tqdm(range(0, len(cases), BATCH), desc="pretrained answers", unit="batch"):
        chosen = cases[start : start + BATCH]
        batch = tokenizer.apply_chat_template(
            [[{"role": "user", "content": case.short}] for case in chosen],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
        ).to(model.device)
        with torch.no_grad():
            out = model.generate(**batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        texts = [tokenizer.decode(row, skip_special_tokens=True) for row in out[:, batch["input_ids"].shape[1] :]]
        said += zip(chosen, texts, strict=True)
    return said

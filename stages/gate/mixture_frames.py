"""What the trainers will read -> tables with one column per question, on the text as the tokenizer renders it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from stages.gate.overlap import Index
from stages.gate.world import BENIGN, Rows, Tables, World
from stages.lib import jsonl, paths
from stages.lib.llm.load import load_tokenizer
from stages.lib.policy_text import Detail, render_policy
from stages.lib.records import Policy, RlTask, SftExample, content_id
from stages.lib.transcript import REASON_INSTRUCTIONS, write_reply

TRAIN, VALIDATION = paths.DATA / "sft" / "train.jsonl", paths.DATA / "sft" / "validation.jsonl"
TASKS = paths.DATA / "rl" / "tasks.jsonl"
DETAILS: tuple[Detail, ...] = ("brief", "full")
SPEC_WORDS = 6
"""So many words of a policy in a row are the policy."""


def files(_: World, __: str) -> tuple[Path, ...]:
    """Everything mix writes."""
    return (TRAIN, VALIDATION, TASKS)


def mixture(world: World, _: str) -> Tables:
    """Tables targets, validation, tasks."""
    train, validation = (list(jsonl.read_many(path, SftExample)) for path in (TRAIN, VALIDATION))
    tokenizer = load_tokenizer(paths.model("base"))
    trained = {world.train_ids.get(row.prompt_id, row.prompt_id) for row in train}
    return {
        "targets": [_common(world, row) | _target(row, tokenizer) for row in (*train, *validation)],
        "validation": _validation(world, validation, trained),
        "tasks": [_common(world, row) for row in jsonl.read_many(TASKS, RlTask)],
    }


def spec_index(policies: dict[str, Policy]) -> Index:
    """Every line of every policy as any model is shown it, and the instructions around it."""
    index = Index(SPEC_WORDS)
    for category, policy in policies.items():
        # Examples and openings alone are what people ask and models say: they prove no leak.
        spare = [example for clause in policy.clauses for example in clause.examples]
        spare += [style.opening for style in policy.style.values()]
        for detail in DETAILS:
            for place, line in enumerate(render_policy(policy, detail).splitlines()):
                index.add(f"{category}/{detail}/{place}", line, spare)
    for line in REASON_INSTRUCTIONS.splitlines():
        index.add("instructions", line)
    return index


def _validation(world: World, validation: list[SftExample], trained: set[str]) -> Rows:
    return [
        {"id": row.id, "request_apart": world.train_ids.get(row.prompt_id, row.prompt_id) not in trained} for row in validation
    ]


def _common(world: World, row: SftExample | RlTask) -> dict[str, Any]:
    spec, held_out = _indexes(world)
    texts = [message.content for message in row.messages]
    helpful = isinstance(row, SftExample) and row.source == "helpful"
    return {
        "id": row.id,
        "declared": row.category == BENIGN if helpful else row.category in world.categories,
        "current": row.policy_sha == (None if helpful else world.shas.get(row.category)),
        "ends_on_user": bool(texts) and row.messages[-1].role == "user",
        "no_spec": not any(message.role == "system" for message in row.messages) and not any(spec.near(text) for text in texts),
        "no_eval": not any(held_out.near(message.content) for message in row.messages if message.role == "user"),
        "prompt_known": row.prompt_id in world.train_ids,
    }


def _target(row: SftExample, tokenizer: Any) -> dict[str, Any]:
    prompt = [message.model_dump() for message in row.messages]
    reply = write_reply(row.deliberation, row.answer)
    asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([*prompt, {"role": "assistant", "content": reply}], return_dict=False)
    learned = tokenizer.decode(whole[len(asked) :], skip_special_tokens=True)  # as the trainers decode it
    return {
        "content": content_id(row.messages, row.deliberation, row.answer),
        "deliberation_survives": bool(row.deliberation.strip()) and write_reply(row.deliberation, "") in learned,
        "answer_survives": row.answer in learned and (not row.answer or bool(row.answer.strip())),
        "answered": bool(row.answer),
        "prompt_is_prefix": whole[: len(asked)] == asked,
        "tokens": len(whole),
        "helpful": row.source == "helpful",
    }


@lru_cache(maxsize=1)
def _indexes(world: World) -> tuple[Index, Index]:
    return spec_index(world.policies), world.held_out(world.gate.mixture.ngram)

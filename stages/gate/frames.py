"""Files of policies and prompts -> tables with one column per question a suite asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from stages.gate.world import BENIGN, Rows, Tables, World
from stages.lib import jsonl, paths
from stages.lib.records import Policy, Prompt

SPLITS = ("train", "eval")


def policy_files(_: World, name: str) -> tuple[Path, ...]:
    """The file of one category."""
    return (paths.policy(name),)


def policies(world: World, name: str) -> Tables:
    """Tables policy, clauses, styles."""
    policy = jsonl.read_one(paths.policy(name), Policy)
    others = {world.policies[other].title for other in world.categories if other != name}
    knows = others <= set(policy.others)
    return {
        "policy": [{"id": name, "own_name": policy.category == name, "knows_others": knows, "summary": policy.summary}],
        "clauses": [{**clause.model_dump(), "examples": len(clause.examples)} for clause in policy.clauses],
        "styles": [{"id": outcome, **style.model_dump()} for outcome, style in policy.style.items()],
    }


def prompt_files(_: World, name: str) -> tuple[Path, ...]:
    """Both splits of one category."""
    return tuple(paths.prompts(split, name) for split in SPLITS)


def prompts(world: World, name: str) -> Tables:
    """Tables train, eval, coverage."""
    rows = {split: list(world.prompts(split, name)) for split in SPLITS}
    same, near = _met_in_training(world)
    train_requests = set(world.train_ids.values())
    tables = {split: [_prompt_row(world, prompt, name, split) for prompt in rows[split]] for split in SPLITS}
    for row, prompt in zip(tables["eval"], rows["eval"], strict=True):
        row |= {
            "request_apart": prompt.request_id not in train_requests,
            "text_apart": prompt.id not in same,
            "words_apart": prompt.id not in near,
        }
    return tables | {"coverage": _coverage(world, name, rows)}


def outside(world: World) -> Tables:
    """Table outside: every text of the public sets, by its place in them."""
    _, near = _met_in_training(world)
    ids = [f"{name}#{place}" for name, texts in world.outside().items() for place in range(len(texts))]
    return {"outside": [{"id": place, "words_apart": place not in near} for place in ids]}


def _prompt_row(world: World, prompt: Prompt, name: str, split: str) -> dict[str, object]:
    known = prompt.clause is None if name == BENIGN else world.policies[name].clause(prompt.clause) is not None
    return {
        "id": prompt.id,
        "own_category": prompt.category == name,
        "own_split": prompt.split == split,
        "ends_on_user": bool(prompt.messages) and prompt.messages[-1].role == "user",
        "wrapper_coherent": (prompt.wrapper is None) == (prompt.wrapper_kind == "plain"),
        "clause_known": known,
    }


def _coverage(world: World, name: str, rows: dict[str, list[Prompt]]) -> Rows:
    if name == BENIGN:
        return [{"id": split, "covered": bool(rows[split])} for split in SPLITS]
    found = Counter((prompt.clause, split) for split in SPLITS for prompt in rows[split])
    clauses = [clause.id for clause in world.policies[name].clauses]
    return [{"id": f"{clause}/{split}", "covered": found[clause, split] > 0} for clause in clauses for split in SPLITS]


@lru_cache(maxsize=1)
def _met_in_training(world: World) -> tuple[frozenset[str], frozenset[str]]:
    """Held-out ids whose words, all of them or n in a row, stand in a training prompt."""
    index = world.held_out(world.gate.prompts.ngram)
    same: set[str] = set()
    near: set[str] = set()
    for name in world.names:
        for prompt in world.prompts("train", name):
            texts = _user_turns(prompt)
            same.update(*(index.same(text) for text in texts))
            near.update(*(index.near(text) for text in texts))
    return frozenset(same), frozenset(near)


def _user_turns(prompt: Prompt) -> Sequence[str]:
    return [message.content for message in prompt.messages if message.role == "user"]

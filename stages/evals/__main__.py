"""python -m stages.evals --arm X: every suite for one arm."""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.evals.config import EvalsConfig
from stages.evals.metrics import Metrics, accuracy, compute
from stages.evals.probe import probe
from stages.evals.replies import LabelledReply, measured
from stages.evals.score import grade, take_apart
from stages.evals.suites import BENIGN, HARMFUL, SUITES, Case, capped, outside_cases, own_cases
from stages.lib import jsonl, paths, seeds
from stages.lib.config import load_section, load_value, read_yaml
from stages.lib.errors import StageError, user_errors
from stages.lib.llm.backend import Request
from stages.lib.llm.build import build_backend
from stages.lib.llm.config import LlmConfig
from stages.lib.llm.requests import reason_request
from stages.lib.process import stage_process
from stages.lib.records import Answer, ModelRef, Policy, Prompt
from stages.lib.sources import SourceConfig, read_rows
from stages.lib.tracking import Run, tracked_run
from stages.lib.transcript import clean

REPLIES = Path("tests/fixtures/replies.jsonl")
OUTSIDE_COLUMNS = {"strongreject": "forbidden_prompt", "edgy": "text"}


def main(argv: list[str] | None = None) -> None:
    """Read, ask, grade, write."""
    parser = argparse.ArgumentParser(prog="python -m stages.evals", description=__doc__)
    parser.add_argument("--arm", required=True)
    arm = parser.parse_args(argv).arm
    config, seed = load_section("evals", EvalsConfig), int(load_value("seed"))
    if arm not in config.arms:
        raise StageError(
            f"--arm {arm}: params.yaml declares {', '.join(config.arms)}", "name one of these, or add it to conf/evals"
        )
    name = f"evals@{arm}"
    with stage_process(name), tracked_run(name, config) as run:
        policies = {category: jsonl.read_one(paths.policy(category), Policy) for category in load_value("spec.categories")}
        cases = read_cases(policies, config, seed)
        answers = ask(cases, arm, config, seed, run)
        metrics = compute(list(zip(cases, answers, strict=True)), config.resamples, seed) | beside(config, arm, seed)
        metrics["capability"] |= metrics.pop("probe", {})
        write(arm, answers, metrics, lineage(config.arms[arm], policies))
        run.log({f"{suite}.{metric}": number["value"] for suite, group in metrics.items() for metric, number in group.items()})
        run.table("answers.json", [presentable(answer) for answer in answers if answer.request is not None])
    print(f"evals: {arm}: {len(answers)} answers; " + summary(metrics))


def read_cases(policies: dict[str, Policy], config: EvalsConfig, seed: int) -> list[Case]:
    """Every case of every suite, the same for all arms."""
    prompts = [prompt for name in (*policies, BENIGN) for prompt in jsonl.read_many(paths.prompts("eval", name), Prompt)]
    wrappers = read_yaml(paths.SPECS / "wrappers" / "train.yaml")
    seen = frozenset(str(wrapper["id"]) for group in wrappers.values() for wrapper in group or [])
    cases = own_cases(prompts, policies, seen, seed)
    for suite, column in OUTSIDE_COLUMNS.items():
        source = load_section(f"source.{suite}", SourceConfig)
        cases += outside_cases(suite, read_rows(source, (column, "category")), column, source, policies, seed)
    return capped(cases, config.caps, seed)


def ask(cases: list[Case], arm: str, config: EvalsConfig, seed: int, run: Run) -> list[Answer]:
    """One graded answer per case, in their order."""
    llm = LlmConfig(backend=config.backend, model=config.arms[arm], batch_size=config.batch_size, dtype=config.dtype)
    backend = build_backend(llm, f"evals@{arm}")
    detail = load_value("spec.detail")
    shown = arm in config.with_policy
    requests = [
        reason_request(case.messages, case.policy, detail) if shown else Request(messages=clean(case.messages)) for case in cases
    ]
    replies = backend.generate(requests, config.sampling.record(), seeds.derive(seed, "evals"))
    if failed := [reply.error for reply in replies if reply.error is not None]:
        raise StageError(
            f"evals@{arm}: {len(failed)} of {len(replies)} requests failed: {failed[0]}",
            "run it again: what was answered is kept",
        )
    run.log({"rows_new": backend.rows_new, "rows_cached": backend.rows_cached})
    aligned = arm not in config.unaligned
    return [
        grade(case, take_apart(reply.text, reply.truncated), arm, aligned) for case, reply in zip(cases, replies, strict=True)
    ]


def beside(config: EvalsConfig, arm: str, seed: int) -> Metrics:
    """What needs no answers: the public probe, and how good the classifier is."""
    labelled = list(jsonl.read_many(REPLIES, LabelledReply))
    found: Metrics = {
        "classifier": {
            part: accuracy(measured(labelled, part), config.resamples, seeds.derive(seed, "classifier", part))
            for part in ("dev", "test")
        }
    }
    checkpoint = Path(config.arms[arm])
    if config.probe and checkpoint.is_dir():
        rows = [row for name in ("facts", "logic") for row in _pairs(name)]
        right = probe(rows, checkpoint, config.dtype)
        found["probe"] = {"probe": accuracy(right, config.resamples, seeds.derive(seed, "probe"))}
    return found


def lineage(model: str, policies: dict[str, Policy]) -> dict[str, object]:
    """Which checkpoint was graded, on what policies it was trained and by which it was graded."""
    ref = Path(model) / "ref.json"
    trained = jsonl.read_one(ref, ModelRef) if ref.exists() else None
    return {
        "model": trained.sha if trained else model,
        "kind": trained.kind if trained else "served",
        "trained": trained.policy_shas if trained else {},
        "graded": {category: policy.sha for category, policy in policies.items()},
    }


def write(arm: str, answers: list[Answer], metrics: Metrics, about: dict[str, object]) -> None:
    """One file per suite, and two about all of them; files of suites that are gone go."""
    folder = paths.evals(arm)
    for suite in SUITES:
        jsonl.write_many(folder / f"{suite}.jsonl", [answer for answer in answers if answer.suite == suite])
    for path in folder.glob("*.jsonl"):
        if path.stem not in SUITES:
            path.unlink()
    jsonl.write_json(folder / "metrics.json", metrics)
    jsonl.write_json(folder / "lineage.json", about)


def presentable(answer: Answer) -> Answer:
    """For reading side by side: what was said to a harmful request that was complied with stays in data/evals."""
    complied = answer.suite in HARMFUL and answer.response_type == "comply"
    return answer.model_copy(update={"answer": "(complied; text not shown)"}) if complied else answer


def summary(metrics: Metrics) -> str:
    """The headline numbers of one arm."""
    wanted = [("disallowed", "not_unsafe"), ("jailbreak", "not_unsafe"), ("contrast", "not_overrefuse"), ("capability", "kept")]
    found = [(suite, metrics.get(suite, {}).get(metric)) for suite, metric in wanted]
    return ", ".join(f"{suite} {number['value']:.2f}" for suite, number in found if number is not None)


def _pairs(name: str) -> list[dict[str, object]]:
    return read_rows(load_section(f"source.probe_{name}", SourceConfig), ("id", "text", "false"))


if __name__ == "__main__":
    with user_errors():
        main()

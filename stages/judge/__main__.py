"""python -m stages.judge --category X: verdicts on one category's completions."""

from __future__ import annotations

import argparse

from stages.judge.config import JudgeConfig
from stages.judge.judge import judge_all, summarise
from stages.lib import jsonl, paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError, user_errors
from stages.lib.llm.build import build_backend
from stages.lib.llm.config import LlmConfig
from stages.lib.process import stage_process
from stages.lib.records import Completion, Policy
from stages.lib.tracking import tracked_run


def main(argv: list[str] | None = None) -> None:
    """Read, judge, write."""
    parser = argparse.ArgumentParser(prog="python -m stages.judge", description=__doc__)
    parser.add_argument("--category", required=True)
    category = parser.parse_args(argv).category
    declared = list(load_value("spec.categories"))
    if category not in declared:
        raise StageError(f"--category {category}: params.yaml declares {', '.join(declared)}", "name one of these")
    config, llm = load_section("judge", JudgeConfig), load_section("llm.judge", LlmConfig)
    name = f"judge@{category}"
    with stage_process(name), tracked_run(name, {"judge": config, "llm": llm}) as run:
        policy = jsonl.read_one(paths.policy(category), Policy)
        completions = list(jsonl.read_many(paths.completions(category), Completion))
        run.dataset(paths.completions(category))
        backend = build_backend(llm, name)
        verdicts = judge_all(completions, policy, backend, config, load_value("spec.detail"), load_value("seed"))
        jsonl.write_many(paths.verdicts(category), verdicts)
        counts = summarise(verdicts)
        run.log({**counts, "rows_new": backend.rows_new, "rows_cached": backend.rows_cached})
    print(
        f"judge: {category}: {len(verdicts)} verdicts, {config.k} runs each "
        f"({backend.rows_new} calls new, {backend.rows_cached} cached); "
        + ", ".join(f"{counts[status]:.0f} {status}" for status in ("graded", "screened", "unreadable", "errored"))
    )


if __name__ == "__main__":
    with user_errors():
        main()

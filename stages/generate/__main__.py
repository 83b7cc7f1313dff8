"""python -m stages.generate --category X: replies to one category's train prompts (or to `benign`, without a policy)."""

from __future__ import annotations

import argparse

from stages.generate.config import GenerateConfig
from stages.generate.generate import generate_all, read_as, right_clause, summarise
from stages.lib import jsonl, paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError, user_errors
from stages.lib.llm.build import build_backend
from stages.lib.llm.config import LlmConfig
from stages.lib.process import stage_process
from stages.lib.records import Policy, Prompt
from stages.lib.tracking import tracked_run

BENIGN = "benign"


def main(argv: list[str] | None = None) -> None:
    """Read, ask, write."""
    parser = argparse.ArgumentParser(prog="python -m stages.generate", description=__doc__)
    parser.add_argument("--category", required=True)
    category = parser.parse_args(argv).category
    config, llm = load_section("generate", GenerateConfig), load_section("llm.generator", LlmConfig)
    name = f"generate@{category}"
    with stage_process(name), tracked_run(name, {"generate": config, "llm": llm}) as run:
        policy = read_policy(category)
        prompts = [prompt for prompt in jsonl.read_many(paths.prompts("train", category), Prompt) if prompt.asked]
        run.dataset(paths.prompts("train", category))
        backend = build_backend(llm, name)
        completions = generate_all(prompts, policy, backend, config, load_value("spec.detail"), load_value("seed"))
        jsonl.write_many(paths.completions(category), completions)
        counts, cited = summarise(completions), read_as(prompts, completions)
        if cited:
            counts["right_clause"] = right_clause(cited)
        run.log({**counts, "rows_new": backend.rows_new, "rows_cached": backend.rows_cached})
    print(
        f"generate: {category}: {len(completions)} completions of {len(prompts)} prompts "
        f"({backend.rows_new} new, {backend.rows_cached} cached); "
        f"{counts['finish_malformed']:.0f} malformed, {counts['finish_length']:.0f} cut off"
    )
    for clause, filed in cited.items():
        print(f"  {clause} asked {filed.total()} times, read as " + ", ".join(f"{name} {n}" for name, n in filed.most_common()))


def read_policy(category: str) -> Policy | None:
    """Today's policy; None for benign requests. Raises StageError for a category that is not declared."""
    declared = list(load_value("spec.categories"))
    if category == BENIGN:
        return None
    if category not in declared:
        raise StageError(f"--category {category}: params.yaml declares {', '.join(declared)}", "name one of these, or benign")
    return jsonl.read_one(paths.policy(category), Policy)


if __name__ == "__main__":
    with user_errors():
        main()

"""python -m stages.mix: write the training sets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from stages.lib import jsonl, paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError, user_errors
from stages.lib.process import stage_process
from stages.lib.records import Completion, Decision, Policy, Prompt
from stages.lib.tracking import tracked_run
from stages.mix.config import MixConfig
from stages.mix.mix import Mixture, mix, summarise

BENIGN = "benign"


def main(argv: list[str] | None = None) -> None:
    """Read everything, mix, and only then write."""
    argparse.ArgumentParser(prog="python -m stages.mix", description=__doc__).parse_args(argv)
    config = load_section("mix", MixConfig)
    categories = [str(name) for name in load_value("spec.categories")]
    refuse_strangers(categories)
    with stage_process("mix"), tracked_run("mix", config) as run:
        policies = {name: jsonl.read_one(paths.policy(name), Policy) for name in categories}
        helpful = jsonl.read_many(paths.completions(BENIGN), Completion)
        prompts = train_prompts([*categories, BENIGN])
        mixture = mix(decisions(categories), helpful, policies, prompts, config, int(load_value("seed")))
        write(mixture)
        counts = summarise(mixture)
        run.log(counts)
        run.dataset(paths.DATA / "kept")
    print("mix: " + ", ".join(f"{count:.0f} {name}" for name, count in counts.items()))


def refuse_strangers(categories: list[str]) -> None:
    """A category that was removed leaves its file behind; what trains is what is declared."""
    strangers = sorted(path for path in paths.kept("any").parent.glob("*.jsonl") if path.stem not in categories)
    if strangers:
        raise StageError(
            f"{strangers[0]} belongs to no declared category ({', '.join(categories)})", f"delete it: rm {strangers[0]}"
        )


def decisions(categories: list[str]) -> Iterator[Decision]:
    """Every declared category's decisions; a row in the wrong file is an error."""
    for category in categories:
        for decision in jsonl.read_many(paths.kept(category), Decision):
            if decision.completion.category != category:
                what = f"{paths.kept(category)}: completion {decision.completion.id} is of {decision.completion.category}"
                raise StageError(what, f"run `dvc repro filter@{category}`")
            yield decision


def train_prompts(categories: list[str]) -> list[Prompt]:
    """All train prompts: for the split, and for the wordings nobody was asked in. Their gold clauses are not read."""
    return [prompt for name in categories for prompt in jsonl.read_many(paths.prompts("train", name), Prompt)]


def write(mixture: Mixture) -> None:
    """The three files."""
    jsonl.write_many(paths.DATA / "sft" / "train.jsonl", mixture.train)
    jsonl.write_many(paths.DATA / "sft" / "validation.jsonl", mixture.validation)
    jsonl.write_many(paths.DATA / "rl" / "tasks.jsonl", mixture.tasks)


if __name__ == "__main__":
    with user_errors():
        main()

"""python -m stages.prompts: write the prompts of every declared category and of the benign requests."""

from __future__ import annotations

import argparse

from stages.lib import jsonl, paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError, user_errors
from stages.lib.records import Policy, Prompt
from stages.lib.sources import SourceConfig, jailbreak_templates
from stages.prompts.build import BENIGN, Wrappers, build_prompts
from stages.prompts.config import PromptsConfig
from stages.prompts.requests import Request, read_extra, read_requests, refuse_duplicates, requests_of_examples
from stages.prompts.wrappers import Wrapper, choose, from_template, read_wrappers, refuse_shared

SPLITS = ("train", "eval")


def main(argv: list[str] | None = None) -> None:
    """Read everything, build everything, and only then write."""
    argparse.ArgumentParser(prog="python -m stages.prompts", description=__doc__).parse_args(argv)
    config = load_section("prompts", PromptsConfig)
    seed = int(load_value("seed"))
    policies = read_policies(list(load_value("spec.categories")))
    requests = read_all(policies, config)
    wrappers = read_lists(config, seed)
    prompts = {name: build_prompts(name, requests[name], policies.get(name), wrappers, config, seed) for name in requests}
    write(prompts)


def read_policies(categories: list[str]) -> dict[str, Policy]:
    """Today's policy of each declared category."""
    if BENIGN in categories:
        raise StageError(
            f"spec.categories: {BENIGN!r} is the name of the requests no policy covers", "name the category otherwise"
        )
    return {name: jsonl.read_one(paths.policy(name), Policy) for name in categories}


def read_all(policies: dict[str, Policy], config: PromptsConfig) -> dict[str, list[Request]]:
    """Requests of every declared category and benign ones, with extra ones and policies' examples if wanted; none twice."""
    requests = {name: read_requests(paths.SPECS / name / "requests.jsonl", policies.get(name)) for name in (*policies, BENIGN)}
    for extra in config.extra:
        found = {name: read_extra(paths.SPECS / name / f"{extra}.jsonl", policies.get(name)) for name in requests}
        if not any(found.values()):
            what = f"prompts.extra: no category has a file {extra}.jsonl"
            raise StageError(what, f"write {paths.SPECS}/<category>/{extra}.jsonl, or take the name out of conf/prompts")
        for name, group in found.items():
            requests[name] += group
    for name, policy in policies.items():
        requests[name] += requests_of_examples(policy) if config.policy_examples else []
    refuse_duplicates(request for group in requests.values() for request in group)
    return requests


def read_lists(config: PromptsConfig, seed: int) -> Wrappers:
    """Our two lists and, if wanted, outside templates; all disjoint."""
    folder = paths.SPECS / "wrappers"
    train, heldout = read_wrappers(folder / "train.yaml"), read_wrappers(folder / "eval.yaml")
    outside = choose(templates(config.pyrit_max_words), config.pyrit_templates, seed, "pyrit") if config.pyrit else []
    refuse_shared([*heldout, *outside], train, str(folder / "eval.yaml"))
    return Wrappers(train, heldout, outside)


def templates(max_words: int) -> list[Wrapper]:
    """The short enough jailbreak templates of the source `pyrit`."""
    found = jailbreak_templates(load_section("source.pyrit", SourceConfig))
    return [from_template(name, text) for name, text in found if len(text.split()) <= max_words]


def write(prompts: dict[str, list[Prompt]]) -> None:
    """One file for each split and category; files of anything undeclared go."""
    for split in SPLITS:
        for name, rows in prompts.items():
            jsonl.write_many(paths.prompts(split, name), [row for row in rows if row.split == split])
        for path in paths.prompts(split, "any").parent.glob("*.jsonl"):
            if path.stem not in prompts:
                path.unlink()
    for name, rows in prompts.items():
        counts = [sum(row.split == split for row in rows) for split in SPLITS]
        print(f"prompts: {name}: {counts[0]} train, {counts[1]} eval, of {len({row.request_id for row in rows})} requests")


if __name__ == "__main__":
    with user_errors():
        main()

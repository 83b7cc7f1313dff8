"""python -m stages.filter --category X: decide on one category's completions."""

from __future__ import annotations

import argparse

from stages.filter.config import FilterConfig
from stages.filter.filter import filter_all, summarise
from stages.lib import jsonl, paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError, user_errors
from stages.lib.process import stage_process
from stages.lib.records import Completion, Verdict
from stages.lib.tracking import tracked_run


def main(argv: list[str] | None = None) -> None:
    """Read, decide, write."""
    parser = argparse.ArgumentParser(prog="python -m stages.filter", description=__doc__)
    parser.add_argument("--category", required=True)
    category = parser.parse_args(argv).category
    declared = list(load_value("spec.categories"))
    if category not in declared:
        raise StageError(f"--category {category}: params.yaml declares {', '.join(declared)}", "name one of these")
    config = load_section("filter", FilterConfig)
    name = f"filter@{category}"
    with stage_process(name), tracked_run(name, config) as run:
        completions = list(jsonl.read_many(paths.completions(category), Completion))
        verdicts = list(jsonl.read_many(paths.verdicts(category), Verdict))
        run.dataset(paths.verdicts(category))
        decisions = filter_all(completions, verdicts, config)
        jsonl.write_many(paths.kept(category), decisions)
        counts = summarise(decisions)
        run.log(counts)
    rules = ", ".join(f"{value:.0f} {name}" for name, value in counts.items() if name not in ("rows", "kept_share"))
    print(f"filter: {category}: {len(decisions)} completions: {rules}")


if __name__ == "__main__":
    with user_errors():
        main()

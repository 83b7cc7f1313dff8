"""python -m stages.report [build | compare | change | lineage]: the report; states side by side; what moved; what came of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.lib import jsonl, paths, tracking
from stages.lib.config import load_params, load_section
from stages.lib.errors import StageError, user_errors
from stages.lib.process import stage_process
from stages.report.behaviour import changes, moved_rows, plain_change
from stages.report.behaviour_page import blocks, lead
from stages.report.beside import EXPLAINED, beside, columns
from stages.report.blocks import as_html, as_markdown
from stages.report.collect import collect
from stages.report.config import ReportConfig
from stages.report.facts import Champion, Facts, withheld
from stages.report.html import html
from stages.report.lineage import of_checkpoint, of_clause, of_example
from stages.report.markdown import markdown
from stages.report.release import chosen
from stages.report.states import read_state

HERE = "."
SHOWN_COLUMNS = ("arm", "suite", "category", "wrapper", "expected", "response_type", "request", "deliberation", "answer")


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments and run."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "lineage":
        print("\n".join(_lineage(arguments)))
    elif arguments.command == "compare":
        put_beside(arguments.states, arguments.arms)
    elif arguments.command == "change":
        compare_states(arguments.old, arguments.new, arguments.noise, arguments.json)
    else:
        build()


def build() -> None:
    """Read everything, write three files, tell the tracker."""
    config, params = load_section("report", ReportConfig), load_params()
    with stage_process("report"):
        facts = collect(config.arms, params)._replace(champion=champion(config))
        jsonl.write_text(paths.REPORTS / "report.md", markdown(facts, config))
        jsonl.write_text(paths.REPORTS / "report.html", html(facts, config))
        jsonl.write_json(paths.REPORTS / "metrics.json", metrics(facts))
        registered = publish(facts, config, params)
    print(f"report: {paths.REPORTS / 'report.md'}, {paths.REPORTS / 'report.html'}; registered: {registered}")


def put_beside(names: list[str], arms: list[str]) -> None:
    """Write reports/compare.{md,html}."""
    with stage_process("compare"):
        found = columns([read_state(None if name == HERE else name) for name in names], arms)
        title, page = "Results side by side", beside(found)
        jsonl.write_text(paths.REPORTS / "compare.md", as_markdown(title, EXPLAINED, page))
        jsonl.write_text(paths.REPORTS / "compare.html", as_html(title, EXPLAINED, page))
    print(f"report: {paths.REPORTS / 'compare.md'} and .html: {'; '.join(each.name for each in found)}")


def compare_states(old: str, new: str | None, noise: str | None, in_json: bool) -> None:
    """Write reports/spec_change.{md,html,json}, tell the tracker, print the Markdown's first lines or the JSON."""
    with stage_process("spec_change"):
        before, after = read_state(old), read_state(new)
        found = changes(before, after, read_state(noise) if noise else None)
        title, summary = "What a change of the policies moved", lead(before, after, found)
        page = blocks(before, after, found, load_section("report", ReportConfig).examples)
        facts = {each.arm: plain_change(each) for each in found}
        jsonl.write_text(paths.REPORTS / "spec_change.md", as_markdown(title, summary, page))
        jsonl.write_text(paths.REPORTS / "spec_change.html", as_html(title, summary, page))
        jsonl.write_json(paths.REPORTS / "spec_change.json", facts)
        with tracking.tracked_run("spec_change", {"old": old, "new": after.name, "noise": noise or ""}) as run:
            for arm, values in facts.items():
                run.log({f"{arm}.{name}": float(value) for name, value in values["numbers"].items()})
            run.table("moved.json", [row for each in found for row in moved_rows(each)])
    print(json.dumps(facts, indent=1) if in_json else f"{summary}\nreport: {paths.REPORTS / 'spec_change.md'} and .html")


def champion(config: ReportConfig) -> Champion | None:
    """The released checkpoint a new one is held against."""
    if (wanted := config.release.champion) is None:
        return None
    state = read_state(wanted.revision)
    if wanted.arm not in state.arms:
        what = f"report.release.champion.arm: {wanted.revision} has no arm {wanted.arm!r}"
        raise StageError(what, f"name one of its arms: {', '.join(state.arms)}")
    return Champion(f"{wanted.arm} of {wanted.revision}", state.arms[wanted.arm], state.policies)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.report", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="{build,compare,change,lineage}")
    commands.add_parser("build", help="write the report (what `dvc repro` runs, and the default)")
    tables = commands.add_parser("compare", help="the results of several states side by side, prompt by prompt against the first")
    tables.add_argument("states", nargs="+", help="git revisions with a dvc.lock, DVC experiments by name, or . for here and now")
    tables.add_argument("--arms", nargs="+", default=["sft", "sft_rl"], help="columns of each state (default: sft sft_rl)")
    compare = commands.add_parser("change", help="what moved between two states: expected, observed, missed, collateral")
    compare.add_argument("old", help="a git revision whose dvc.lock is committed, or a DVC experiment by name")
    compare.add_argument("new", nargs="?", help="the same; without it, the files here and now")
    compare.add_argument("--noise", help="another run of the old policies (another seed): what moves without any change")
    compare.add_argument("--json", action="store_true", help="for programs")
    trace = commands.add_parser(
        "lineage", help="which examples cite a clause, which checkpoints learned from them, with which scores"
    )
    one_of = trace.add_mutually_exclusive_group(required=True)
    one_of.add_argument("--clause", help="id of a clause, like VI2")
    one_of.add_argument("--example", help="id of a completion or training row, or its beginning")
    one_of.add_argument("--checkpoint", type=Path, help="folder of a checkpoint, like models/sft")
    return parser


def _lineage(arguments: argparse.Namespace) -> list[str]:
    if arguments.clause:
        return of_clause(arguments.clause)
    return of_example(arguments.example) if arguments.example else of_checkpoint(arguments.checkpoint)


def metrics(facts: Facts) -> dict[str, Any]:
    """{arm: {suite: {metric: {value, low, high, n}}}}"""
    return {
        arm.name: {
            suite: {metric: number.model_dump() for metric, number in group.items()} for suite, group in arm.metrics.items()
        }
        for arm in facts.arms
    }


def publish(facts: Facts, config: ReportConfig, params: dict[str, Any]) -> str:
    """One MLflow run for this state of the pipeline, and the best passing checkpoint in the registry."""
    datasets = [paths.DATA / name for name in ("policies", "prompts", "completions", "verdicts", "kept", "sft", "rl")]
    tables = {f"replies/{arm.name}.json": shown(facts, arm.name) for arm in facts.arms}
    tags = {f"spec.{category}": policy.sha for category, policy in facts.policies.items()} | {"spec.release": facts.release}
    run_id = tracking.log_pipeline(numbers(facts), params, datasets, tables, tags)
    best = chosen(facts, config)
    if best is None:
        return "none, no checkpoint passes the release limits"
    arm = facts.arm(best.arm)
    limited = {name: arm.value(name) for name in config.release.limits}
    version = tracking.register(config.model_name, Path(config.candidates[best.arm]), arm.lineage.model, limited, run_id)
    return f"{best.arm} as {config.model_name} version {version}" if version else f"{best.arm} passes; no registry at hand"


def numbers(facts: Facts) -> dict[str, Mapping[str, float]]:
    """Every stage's numbers, whether it ran or was cached."""
    found: dict[str, Mapping[str, float]] = {name: _floats(group) for name, group in facts.training.items()}
    for row in facts.data:
        found[f"judge@{row.category}"] = {
            "completions": row.completions,
            "screened": row.screened,
            "unread": row.unread,
            "agrees_with_gold": row.judge_agrees.value,
        }
        found[f"filter@{row.category}"] = {
            "kept": row.kept, "right_before": row.right_before.value, "right_after": row.right_after.value,
            "clause_before": row.clause_before.value, "clause_after": row.clause_after.value,
        }  # fmt: skip
    for arm in facts.arms:
        pairs = [(f"{suite}.{metric}", number) for suite, group in arm.metrics.items() for metric, number in group.items()]
        found[f"evals@{arm.name}"] = {name: number.value for name, number in pairs if number.n}
    return found | {
        f"gate@{gate.boundary}": {"ok": float(gate.ok), "checks": gate.checks, "rows": gate.rows} for gate in facts.gates
    }


def shown(facts: Facts, name: str) -> list[dict[str, Any]]:
    """Graded answers to our own requests for side-by-side reading."""
    own = [answer for answer in facts.arm(name).answers if answer.request is not None]
    told = {"answer": "(complied; text not shown)"}
    rows = [answer.model_copy(update=told) if withheld(answer) else answer for answer in own]
    return [row.model_dump(include=set(SHOWN_COLUMNS)) | row.scores for row in rows]


def _floats(group: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in group.items() if isinstance(value, int | float)}


if __name__ == "__main__":
    with user_errors():
        main()

"""python -m stages.spec [build | lint | diff | impact]: write the release's policies, check documents, compare releases."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from stages.lib import jsonl, paths
from stages.lib.config import load_section
from stages.lib.errors import StageError, user_errors
from stages.lib.records import Policy
from stages.spec import diff as comparison
from stages.spec.build import STYLE, build_policies, categories, load_policy, load_style, versions
from stages.spec.config import SpecConfig
from stages.spec.diff import release
from stages.spec.lint import estimated_tokens, lint_policy, lint_style, refuse


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments and run."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "diff":
        raise SystemExit(diff(arguments.old, arguments.new, arguments.json))
    if arguments.command == "impact":
        forecast(arguments.new, arguments.old, arguments.json)
    else:
        build(dry=arguments.command == "lint")


def build(dry: bool) -> None:
    """Read and lint the release in force; write its policies, or (`dry`) check every other document too."""
    if dry:
        lint_everything()
    config = load_section("spec", SpecConfig)
    policies = build_policies(config, paths.SPECS)
    if not dry:
        write(policies)
    for name, policy in policies.items():
        tokens = estimated_tokens(policy, config.detail)
        print(f"spec: {name} {config.categories[name]}: {len(policy.clauses)} clauses, about {tokens} tokens, sha {policy.sha}")
    print(f"spec: release {config.release}: {len(policies)} policies {'without findings' if dry else 'built'}")


def diff(old: str, new: str | None, in_json: bool) -> int:
    """Print what differs; exit code 1 when more than the layout does, 0 when not (and 2 for what cannot be read)."""
    with release(old) as before, release(new) as after:
        changes = comparison.differences(before, after)
        told = comparison.as_json(changes, before, after) if in_json else None
        print(comparison.show(changes, before, after) if told is None else json.dumps(told, indent=1))
    return 1 if comparison.substantive(changes) else 0


def forecast(new: str, old: str | None, in_json: bool) -> None:
    """Print what going over to a release would cost and move."""
    from stages.spec.impact import as_json, impact, show

    with release(old) as before, release(new) as after:
        found = impact(before, after)
        print(json.dumps(as_json(found), indent=1) if in_json else f"{before.name} -> {after.name}\n{show(found)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.spec", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="{build,lint,diff,impact}")
    commands.add_parser("build", help="write data/policies (what `dvc repro` runs, and the default)")
    commands.add_parser("lint", help="check every version of every document")
    compare = commands.add_parser("diff", help="what differs between two releases; exit code 1 if more than the layout does")
    compare.add_argument("old", help="a release of conf/spec, like v1; at a git revision: v1@HEAD; in force there: @HEAD")
    compare.add_argument("new", nargs="?", help="the same; without it, what params.yaml puts in force here and now")
    compare.add_argument("--json", action="store_true", help="for programs")
    costs = commands.add_parser("impact", help="what going over to a release costs and moves, before it is paid")
    costs.add_argument("new", help="as for diff")
    costs.add_argument("old", nargs="?", help="as for diff; without it, what params.yaml puts in force here and now")
    costs.add_argument("--json", action="store_true", help="for programs")
    return parser


def write(policies: Mapping[str, Policy]) -> None:
    """Write the declared categories and drop the files of any other."""
    for name, policy in policies.items():
        jsonl.write_one(paths.policy(name), policy)
    for path in paths.policy("any").parent.glob("*.json"):
        if path.stem not in policies:
            path.unlink()


def lint_everything() -> None:
    """Check every version of every document, in force or not; all complaints together."""
    complaints = []
    for name in [*categories(paths.SPECS), STYLE]:
        for version in versions(paths.SPECS / name):
            try:
                refuse(
                    lint_style(load_style(paths.SPECS, version))
                    if name == STYLE
                    else lint_policy(load_policy(paths.SPECS, name, version))
                )
            except StageError as error:
                complaints.append(error.what)
    if complaints:
        raise StageError("\n  ".join(complaints), "mend these lines; specs/README.md shows the form")


if __name__ == "__main__":
    with user_errors():
        main()

"""python -m stages.spec [build | lint | diff]: write the release's policies, check every document, or compare two releases."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from stages.lib import jsonl, paths
from stages.lib.config import load_section
from stages.lib.errors import StageError, user_errors
from stages.lib.records import Policy
from stages.spec.build import STYLE, build_policies, categories, load_policy, load_style, versions
from stages.spec.config import SpecConfig
from stages.spec.diff import as_json, differences, release, show, substantive
from stages.spec.lint import estimated_tokens, lint_policy, lint_style, refuse


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments and run."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "diff":
        raise SystemExit(diff(arguments.old, arguments.new, arguments.json))
    if arguments.command == "lint":
        lint_everything()
    config = load_section("spec", SpecConfig)
    policies = build_policies(config, paths.SPECS)
    if arguments.command != "lint":
        write(policies)
    for name, policy in policies.items():
        tokens = estimated_tokens(policy, config.detail)
        print(f"spec: {name} {config.categories[name]}: {len(policy.clauses)} clauses, about {tokens} tokens, sha {policy.sha}")
    done = "without findings" if arguments.command == "lint" else "built"
    print(f"spec: release {config.release}: {len(policies)} policies {done}")


def diff(old: str, new: str | None, in_json: bool) -> int:
    """Print what differs; exit code 1 when more than the layout does, 0 when not (and 2 for what cannot be read)."""
    with release(old) as before, release(new) as after:
        changes = differences(before, after)
        print(json.dumps(as_json(changes, before, after), indent=1) if in_json else show(changes, before, after))
    return 1 if substantive(changes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.spec", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="{build,lint,diff}")
    commands.add_parser("build", help="write data/policies (what `dvc repro` runs, and the default)")
    commands.add_parser("lint", help="check every version of every document")
    compare = commands.add_parser("diff", help="what differs between two releases; exit code 1 if more than the layout does")
    compare.add_argument("old", help="a release of conf/spec, like v1; at a git revision: v1@HEAD; in force there: @HEAD")
    compare.add_argument("new", nargs="?", help="the same; without it, what params.yaml puts in force here and now")
    compare.add_argument("--json", action="store_true", help="for programs")
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

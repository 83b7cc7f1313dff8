"""python -m stages.spec [build | lint]: write the release's policies, or check every version of every document."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from stages.lib import jsonl, paths
from stages.lib.config import load_section
from stages.lib.errors import StageError, user_errors
from stages.lib.records import Policy
from stages.spec.build import STYLE, build_policies, categories, load_policy, load_style, versions
from stages.spec.config import SpecConfig
from stages.spec.lint import estimated_tokens, lint_policy, lint_style, refuse


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m stages.spec", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["build", "lint"], default="build")
    command = parser.parse_args(argv).command
    if command == "lint":
        lint_everything()
    config = load_section("spec", SpecConfig)
    policies = build_policies(config, paths.SPECS)
    if command == "build":
        write(policies)
    for name, policy in policies.items():
        tokens = estimated_tokens(policy, config.detail)
        print(f"spec: {name} {config.categories[name]}: {len(policy.clauses)} clauses, about {tokens} tokens, sha {policy.sha}")
    print(f"spec: release {config.release}: {len(policies)} policies {'built' if command == 'build' else 'without findings'}")


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

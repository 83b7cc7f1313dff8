"""python -m stages.gate --boundary B: let a boundary's files through, or name the rows that may not pass."""

from __future__ import annotations

import argparse
import functools
import sys

from stages.gate.config import GateConfig
from stages.gate.gate import BOUNDARIES, Report, check, publish, strangers
from stages.gate.sweep import sweep
from stages.gate.world import World
from stages.lib import paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import user_errors
from stages.lib.process import stage_process
from stages.lib.sources import SourceConfig, read_rows
from stages.lib.tracking import tracked_run

OUTSIDE = {"strongreject": "forbidden_prompt", "edgy": "text"}
"""Outside evaluation sets and the column of their texts."""
SHOWN = 20


def main(argv: list[str] | None = None) -> None:
    """Read, check, report; exit code 1 when the gate stays shut."""
    parser = argparse.ArgumentParser(prog="python -m stages.gate", description=__doc__)
    parser.add_argument("--boundary", required=True, choices=list(BOUNDARIES))
    boundary = parser.parse_args(argv).boundary
    gate = load_section("gate", GateConfig)
    world = World(tuple(load_value("spec.categories")), gate, functools.cache(outside_texts))
    with stage_process(f"gate@{boundary}"), tracked_run(f"gate@{boundary}", getattr(gate, boundary)) as run:
        for path in sweep(strangers(boundary, world)):
            print(f"gate {boundary}: {path} belongs to nothing declared any longer: removed, DVC's cache keeps it")
        report = check(boundary, world)
        publish(report, world)
        run.log(numbers(report))
        if failures := report.failures():
            shown = [*failures[:SHOWN], *([f"and {len(failures) - SHOWN} more"] if len(failures) > SHOWN else [])]
            print(f"gate {boundary}: shut; all of it is in {paths.gate_report(boundary)}", *shown, sep="\n  ", file=sys.stderr)
            raise SystemExit(1)
    counts = numbers(report)
    print(f"gate {boundary}: {', '.join(report.names)} passed: {counts['checks']:.0f} checks on {counts['rows']:.0f} rows")


def outside_texts() -> dict[str, list[str]]:
    """The public evaluation sets, read in place."""
    sources = {name: load_section(f"source.{name}", SourceConfig) for name in OUTSIDE}
    return {name: [str(row[OUTSIDE[name]]) for row in read_rows(source, (OUTSIDE[name],))] for name, source in sources.items()}


def numbers(report: Report) -> dict[str, float]:
    """Counts for the tracker."""
    tables = [findings for each in (report.whole, *report.names.values()) for findings in each.values()]
    return {
        "ok": float(report.ok),
        "rows": sum(findings[0].rows for findings in tables),
        "checks": sum(len(findings) for findings in tables),
        "failed": sum(not finding.ok for findings in tables for finding in findings),
        **{f"{name}/malformed_{part}": rate for name, rates in report.rates.items() for part, rate in rates.items()},
    }


if __name__ == "__main__":
    with user_errors():
        main()

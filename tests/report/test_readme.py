"""The tables that are written by hand are the committed runs', cell by cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages.lib.config import load_value
from stages.report.facts import ROWS, Number
from stages.report.markdown import cell


def test_the_readme_shows_the_committed_metrics(repo: Path) -> None:
    metrics, overnight = _metrics(repo, "metrics"), _metrics(repo, "overnight")
    readme = (repo / "README.md").read_text(encoding="utf-8")
    assert list(metrics) == sorted(load_value("report.arms", repo / "params.yaml"))
    for row in ROWS:
        numbers = [metrics[arm][row.suite].get(row.metric) for arm in load_value("report.arms", repo / "params.yaml")]
        numbers.append(overnight["sft_rl"][row.suite].get(row.metric))
        cells = [cell(Number(**number) if number else None) for number in numbers]
        assert f"| {row.label} | {' | '.join(cells)} |" in readme, row.label


def test_the_findings_show_the_kinds_of_rl_as_their_page_does(repo: Path) -> None:
    page = (repo / "reports/grpo.md").read_text(encoding="utf-8").splitlines()
    findings = (repo / "reports/findings.md").read_text(encoding="utf-8")
    paired, practised = page[page.index("## Against SFT, HEAD, prompt by prompt") :], page[page.index("## RL, step by step") :]
    for kind in ("HEAD", "grpo_dapo", "grpo_kl", "grpo_dr", "grpo_base", "overnight"):
        _, *differences = _cells(next(line for line in paired if line.startswith(f"| SFT + RL, {kind} |")))
        _, steps, reward, right, *_ = _cells(next(line for line in practised if line.startswith(f"| {kind} |")))
        assert f"{steps} steps | {' | '.join([*differences, reward, right])} |" in findings, kind


def test_the_findings_hold_the_committed_metrics_against_the_aims(repo: Path) -> None:
    findings = (repo / "reports/findings.md").read_text(encoding="utf-8")
    aims = findings[findings.index("## What was aimed at") : findings.index("## The learning curve")].splitlines()
    runs = [_metrics(repo, name)["sft_rl"] for name in ("metrics", "overnight")]
    labels = {row.label: row for row in ROWS}
    shown = [line for line in aims if line.startswith("| ") and _cells(line)[0] in labels]
    assert len(shown) == 10
    for line in shown:
        label, _, laptop, _, overnight = _cells(line)
        row = labels[label]
        assert [laptop, overnight] == [f"{run[row.suite][row.metric]['value']:.2f}" for run in runs], label


def _metrics(repo: Path, name: str) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((repo / f"reports/{name}.json").read_text(encoding="utf-8"))
    return metrics


def _cells(line: str) -> list[str]:
    return [each.strip() for each in line.strip("|").split("|")]

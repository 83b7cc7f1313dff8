"""A release, tried as a DVC experiment on committed state: what it costs, what it moves, and what a removed category leaves."""

from __future__ import annotations

import json
import re

import pytest

from tests.pipeline.conftest import Project

PAID = re.compile(r"^(generate|judge)")


@pytest.fixture
def committed(copy: Project) -> Project:
    """The finished pipeline in a git repository of its own, everything committed that a user would commit."""
    (copy.root / ".dvc" / "config.local").unlink()
    for command in (
        ("git", "init", "-q"),
        ("git", "config", "user.name", "somebody"),
        ("git", "config", "user.email", "somebody@example.org"),
        ("git", "add", "-A"),
        ("git", "commit", "-qm", "before"),
        ("git", "tag", "release-1"),
    ):
        done = copy.run(*command)
        assert done.returncode == 0, done.stdout
    return copy


def test_an_experiment_pays_for_the_changed_category_and_says_what_moved(committed: Project) -> None:
    forecast = committed.run("python", "-m", "stages.spec", "diff", "v1", "v2", "--json")
    assert forecast.returncode == 1 and '"outcome changed"' in forecast.stdout
    tried = committed.run("dvc", "exp", "run", "-n", "stricter", "-S", "scale=smoke", "-S", "spec.categories.violence=v2")
    assert tried.returncode == 0, tried.stdout[-4000:]
    ran = set(re.findall(r"Running stage '([^']+)'", tried.stdout))
    assert {name for name in ran if PAID.match(name)} == {"generate@violence", "judge@violence"}, ran
    told = committed.run("python", "-m", "stages.report", "change", "HEAD", "stricter", "--noise", "HEAD", "--json")
    assert told.returncode == 0, told.stdout
    found = json.loads(told.stdout[told.stdout.index("{") :])
    assert set(found) == {"sft", "sft_rl"} and found["sft"]["numbers"]["noise"] == 0.0
    page = (committed.root / "reports/spec_change.md").read_text(encoding="utf-8")
    assert "to stricter" in page and "| VI1 making weapons or explosives | untouched |" in page
    beside = committed.run("python", "-m", "stages.report", "compare", "HEAD", "stricter", ".", "--arms", "sft")
    assert beside.returncode == 0, beside.stdout
    page = (committed.root / "reports/compare.md").read_text(encoding="utf-8")
    assert "| SFT, HEAD | SFT, stricter |\n" in page and "SFT, stricter is also SFT, here and now." in page
    assert re.search(r"\| SFT, stricter \| [+-]\d\.\d\d \[", page), "prompt by prompt against HEAD"
    warm = "sft.warm_start={revision:release-1,checkpoint:models/rl,replay:1.0}"
    settings = ("-S", "scale=smoke", "-S", "spec.categories.violence=v2", "-S", warm)
    again = committed.run("dvc", "exp", "run", "-n", "warm", *settings, "sft")
    assert again.returncode == 0, again.stdout[-4000:]
    assert not {name for name in re.findall(r"Running stage '([^']+)'", again.stdout) if PAID.match(name)}, "paid before"
    assert "sft: warm start from models/rl of release-1: " in again.stdout
    assert "models/rl" in json.loads((committed.root / "models/sft/ref.json").read_text(encoding="utf-8"))["source"]
    committed.params("spec.categories.violence=v2", "report.release.champion={revision:release-1,arm:sft}")
    held = committed.repro()  # the stage looks up the released state while `dvc repro` runs
    assert held.code == 0 and held.ran == {"report"}, held.text[-4000:]
    committed.params("spec.categories.violence=v2", "report.release.champion={revision:no,arm:sft}")
    assert "'no' is neither a git revision" in committed.repro("report").text


def test_a_removed_category_leaves_nothing_behind_and_comes_back_unpaid(committed: Project) -> None:
    folders = [committed.root / "data" / name for name in ("completions", "verdicts", "kept")]
    mine = committed.root / "data/kept/mine.jsonl"
    mine.write_text("{}\n", encoding="utf-8")
    committed.params("~spec.categories.harassment")
    done = committed.repro()
    assert done.code != 0 and "data/kept/mine.jsonl" in done.text and mine.exists(), (
        "not DVC's to bring back, so not ours to remove"
    )
    mine.unlink()
    done = committed.repro()
    assert done.code == 0, done.text[-4000:]
    assert [path for folder in folders for path in folder.glob("harassment*")] == []
    committed.params("spec.categories.harassment=v1")
    done = committed.repro()
    assert done.code == 0 and not {name for name in done.ran if PAID.match(name)}, done.text[-4000:]
    assert all((folder / "harassment.jsonl").exists() for folder in folders)

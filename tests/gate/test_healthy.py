"""On a healthy pipeline every gate opens, stamps what it saw, and says the same twice; a shut gate touches no data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from stages.gate import __main__ as command
from stages.gate.gate import BOUNDARIES, check, publish
from stages.lib import jsonl, paths
from stages.lib.records import Verdict
from tests.gate import house


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_every_gate_opens(home: Path, repo: Path, boundary: str) -> None:
    report = house.report(repo, boundary)
    assert report.failures() == [] and report.ok
    assert all(findings for tables in report.names.values() for findings in tables.values())


def test_a_stamp_is_the_sha_of_the_checked_file(home: Path, repo: Path) -> None:
    world = house.world(repo)
    publish(check("verdicts", world), world)
    data = paths.verdicts("violence").read_bytes()
    assert paths.stamp("verdicts", "violence").read_text(encoding="utf-8") == hashlib.sha256(data).hexdigest() + "\n"
    publish(check("prompts", world), world)
    lines = paths.stamp("prompts", "violence").read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in lines] == ["data/prompts/train/violence.jsonl", "data/prompts/eval/violence.jsonl"]


def test_reports_are_the_same_bytes_twice(home: Path, repo: Path) -> None:
    texts = []
    for _ in range(2):
        world = house.world(repo)
        publish(check("evals", world), world)
        texts.append(paths.gate_report("evals").read_text(encoding="utf-8"))
    assert texts[0] == texts[1] and json.loads(texts[0])["ok"]


def test_only_what_passed_is_stamped_and_no_data_is_touched(home: Path, repo: Path) -> None:
    world = house.world(repo)
    publish(check("verdicts", world), world)
    house.edit(paths.verdicts("violence"), Verdict, lambda rows: [rows[0].model_copy(update={"policy_sha": "old"}), *rows[1:]])
    before = {path: path.read_bytes() for path in home.glob("data/[!g]*/**/*") if path.is_file()}
    world = house.world(repo)
    publish(check("verdicts", world), world)
    assert not paths.stamp("verdicts", "violence").exists()
    assert paths.stamp("verdicts", "illicit").exists()
    assert before == {path: path.read_bytes() for path in home.glob("data/[!g]*/**/*") if path.is_file()}


@pytest.mark.parametrize("boundary", ["policies", "prompts", "completions", "verdicts", "kept", "mixture", "evals"])
def test_a_stranger_and_a_missing_and_an_empty_file_shut_the_whole_gate(home: Path, repo: Path, boundary: str) -> None:
    where = BOUNDARIES[boundary]
    world = house.world(repo)
    file = where.files(world, where.names(world)[0])[-1]
    stranger = file.with_name("removed" + file.suffix)
    stranger.write_bytes(file.read_bytes())
    assert "removed" in house.failures(repo, boundary)
    stranger.unlink()
    file.write_text("", encoding="utf-8")
    assert "filled" in house.failures(repo, boundary)
    file.unlink()
    found = house.report(repo, boundary)
    assert file.as_posix() in "\n".join(found.failures()) and found.names == {}


def test_the_command_names_the_rows_and_exits_with_one(
    home: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = next(jsonl.read_many(paths.verdicts("violence"), Verdict))
    house.edit(paths.verdicts("violence"), Verdict, lambda rows: rows[1:])
    monkeypatch.setattr(command, "load_section", lambda *_: house.limits(repo))
    monkeypatch.setattr(command, "load_value", lambda _: dict.fromkeys(house.CATEGORIES, "v1"))
    with pytest.raises(SystemExit) as stopped:
        command.main(["--boundary", "verdicts"])
    assert stopped.value.code == 1
    assert verdict.completion_id in capsys.readouterr().err
    assert json.loads(paths.gate_report("verdicts").read_text(encoding="utf-8"))["ok"] is False


def test_the_shipped_thresholds_fit_their_class(repo: Path) -> None:
    assert house.limits(repo).evals.outside == ("strongreject", "edgy")

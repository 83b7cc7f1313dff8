"""The stage: a release on disk becomes policies, or one error and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.lib import jsonl, paths
from stages.lib.errors import StageError
from stages.lib.policy_text import render_policy
from stages.lib.records import Policy
from stages.spec.__main__ import main
from stages.spec.build import build_policies
from stages.spec.config import SpecConfig
from tests.spec.samples import GARDEN, STYLE

PARAMS = """seed: 7
spec:
  release: v1
  style: v1
  categories: {categories}
  detail: brief
  token_budget: {budget}
"""
POND = GARDEN.replace("garden", "pond").replace("Garden", "Pond").replace("GA", "PO").replace("Weeds are", "Fish are")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("garden", GARDEN), ("pond", POND), ("style", STYLE)):
        put(tmp_path / "specs" / name / "v1.md", text)
    monkeypatch.chdir(tmp_path)
    params("{garden: v1, pond: v1}")
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def params(categories: str, budget: int = 700) -> None:
    Path("params.yaml").write_text(PARAMS.format(categories=categories, budget=budget), encoding="utf-8")


def config(**changes: Any) -> SpecConfig:
    plain = {"release": "v1", "style": "v1", "categories": {"garden": "v1", "pond": "v1"}, "detail": "brief", "token_budget": 700}
    return SpecConfig.model_validate({**plain, **changes})


def built() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("data/policies").glob("*")}


def test_builds_the_declared_and_removes_strangers(house: Path) -> None:
    put(Path("data/policies/stranger.json"), "{}")
    main([])
    assert set(built()) == {"garden.json", "pond.json"}
    policy = jsonl.read_one(paths.policy("garden"), Policy)
    assert policy.others == {"Pond": "Fish are fought, roses are cut."}
    assert policy == build_policies(config(), Path("specs"))["garden"]


def test_renders_the_same_before_and_after_writing(house: Path) -> None:
    main([])
    for name, policy in build_policies(config(), Path("specs")).items():
        assert render_policy(jsonl.read_one(paths.policy(name), Policy), "full") == render_policy(policy, "full")


def test_firewall(house: Path) -> None:
    main([])
    before = built()
    put(Path("specs/garden/v2.md"), GARDEN.replace("version: v1", "version: v2").replace("rule: Cut", "rule:\n  Cut   "))
    params("{garden: v2, pond: v1}")
    main([])
    assert built() == before, "a cosmetic edit moved a file"
    put(Path("specs/garden/v3.md"), GARDEN.replace("version: v1", "version: v3").replace("outcome: comply", "outcome: refuse"))
    params("{garden: v3, pond: v1}")
    main([])
    after = built()
    assert after["pond.json"] == before["pond.json"]
    assert after["garden.json"] != before["garden.json"]


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ("{gardn: v1}", r"unknown category 'gardn': specs/ has garden, pond"),
        ("{style: v1}", r"unknown category 'style'"),
        ("{../garden: v1}", r"unknown category '../garden'"),
        ("{garden: v9}", r"specs/garden/v9\.md does not exist; versions there: v1"),
        ("{garden: 1}", r"spec\.categories\.garden"),
        ("{}", r"spec\.categories"),
    ],
)
def test_wrong_release(house: Path, categories: str, message: str) -> None:
    params(categories)
    with pytest.raises(StageError, match=message):
        main([])
    assert built() == {}


def test_missing_style(house: Path) -> None:
    with pytest.raises(StageError, match=r"spec\.style: specs/style/v2\.md does not exist"):
        build_policies(config(style="v2"), Path("specs"))


def test_nothing_half_written(house: Path) -> None:
    put(Path("specs/pond/v1.md"), POND.replace("### PO2", "### PO1"))
    with pytest.raises(StageError, match=r"specs/pond/v1\.md:21: duplicate clause id 'PO1'"):
        main([])
    assert built() == {}


def test_token_budget(house: Path) -> None:
    with pytest.raises(StageError, match=r"spec\(garden\) takes about \d+ tokens at detail `brief`, the budget is 20"):
        build_policies(config(token_budget=20), Path("specs"))


def test_lint_reads_every_version_and_reports_all(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint"])
    assert "2 policies without findings" in capsys.readouterr().out
    assert built() == {}
    put(Path("specs/garden/v2.md"), GARDEN)
    put(Path("specs/pond/v2.md"), "nonsense")
    with pytest.raises(StageError) as error:
        main(["lint"])
    assert "specs/garden/v2.md:5: version is 'v1', the file says 'v2'" in error.value.what
    assert "specs/pond/v2.md:1: does not begin with front matter" in error.value.what


def test_text_that_is_not_utf8(house: Path) -> None:
    Path("specs/pond/v1.md").write_bytes(b"\xff\xfe")
    with pytest.raises(StageError, match=r"specs/pond/v1\.md: is not UTF-8"):
        main([])

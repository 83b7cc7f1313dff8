"""Two releases side by side: every kind of difference is named, and so is whom it reaches."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stages.lib.errors import StageError
from stages.spec.__main__ import main
from stages.spec.diff import COSMETIC, differences, reached, release, show
from tests.spec.samples import GARDEN, STYLE

POND = GARDEN.replace("garden", "pond").replace("Garden", "Pond").replace("GA", "PO").replace("Weeds are", "Fish are")
RELEASE = "release: {name}\nstyle: {style}\ncategories: {{garden: {garden}, pond: v1}}\ndetail: brief\ntoken_budget: 700\n"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("garden", GARDEN), ("pond", POND), ("style", STYLE)):
        put(f"specs/{name}/v1.md", text)
    put("conf/spec/v1.yaml", RELEASE.format(name="v1", style="v1", garden="v1"))
    put("params.yaml", "spec:\n  " + RELEASE.format(name="v1", style="v1", garden="v1").replace("\n", "\n  "))
    return tmp_path


def put(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def changed(garden: str = GARDEN, style: str = STYLE) -> tuple[list[tuple[str, str | None, str]], list[str]]:
    """(category, clause, kind) of every change, and the categories reached, once v2 has these documents."""
    put("specs/garden/v2.md", garden.replace("version: v1", "version: v2"))
    put("specs/style/v2.md", style.replace("version: v1", "version: v2"))
    put("conf/spec/v2.yaml", RELEASE.format(name="v2", style="v2", garden="v2"))
    with release("v1") as old, release("v2") as new:
        found = differences(old, new)
        return [(change.category, change.clause, change.kind) for change in found if change.kind != COSMETIC], reached(old, new)


def one_clause(old: str, new: str) -> tuple[list[tuple[str, str | None, str]], list[str]]:
    assert old in GARDEN
    return changed(GARDEN.replace(old, new))


def test_the_same_is_the_same(house: Path) -> None:
    assert changed() == ([], [])


@pytest.mark.parametrize(
    ("old", "new", "clause", "kind"),
    [
        ("outcome: refuse", "outcome: comply", "GA1", "outcome changed"),
        ("Do not fight weeds.", "Never fight weeds.", "GA1", "reworded"),
        ("They like it.", "They love it.", "GA2", "reworded"),
        ("fighting weeds", "waging war on weeds", "GA1", "reworded"),
        ("pull a weed", "drown a weed", "GA1", "examples changed"),
        ("### GA2", "### GA3", "GA2", "removed"),
        ("a plant nobody wants", "a plant few want", None, "definitions changed"),
    ],
)
def test_a_change_of_one_category_is_named_and_reaches_that_category(
    house: Path, old: str, new: str, clause: str | None, kind: str
) -> None:
    changes, again = one_clause(old, new)
    assert ("garden", clause, kind) in changes
    assert {category for category, _, _ in changes} == {"garden"} and again == ["garden"]


def test_a_new_number_is_one_clause_gone_and_one_come(house: Path) -> None:
    assert one_clause("### GA2", "### GA3")[0] == [("garden", "GA2", "removed"), ("garden", "GA3", "added")]


def test_title_summary_and_style_reach_everyone(house: Path) -> None:
    assert one_clause("Weeds are fought", "Weeds are fed") == ([("garden", None, "summary changed")], ["garden", "pond"])
    assert one_clause("title: Garden", "title: Gardens") == ([("garden", None, "title changed")], ["garden", "pond"])
    with release("v1") as old, release("v2") as new:
        assert "(title changed reaches every category)" in show(differences(old, new), old, new)
    changes, again = changed(style=STYLE.replace("No.", "Never."))
    assert changes == [("style", "refuse", "style changed")] and again == ["garden", "pond"]


def test_layout_reaches_nobody_and_is_said(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert changed(GARDEN.replace("## Clauses", "\n\n## Clauses")) == ([], [])
    with pytest.raises(SystemExit) as stop:
        main(["diff", "v1", "v2"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and f"garden: {COSMETIC}" in said and "0 of 2 categories" in said


def test_a_category_may_come_and_go(house: Path) -> None:
    put("conf/spec/small.yaml", RELEASE.format(name="small", style="v1", garden="v1").replace(", pond: v1", ""))
    with release("small") as small, release("v1") as whole:
        assert [change.kind for change in differences(small, whole)] == ["category added"]
        assert [change.kind for change in differences(whole, small)] == ["category removed"]
        assert reached(small, whole) == ["garden", "pond"] and reached(whole, small) == ["garden"]


def test_json_and_exit_code_are_for_programs(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_clause("outcome: refuse", "outcome: comply")
    with pytest.raises(SystemExit) as stop:
        main(["diff", "v1", "v2", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert stop.value.code == 1 and told["categories_run_again"] == ["garden"]
    wanted = {"category": "garden", "clause": "GA1", "kind": "outcome changed", "before": "refuse", "after": "comply"}
    assert [change for change in told["changes"] if change["kind"] != COSMETIC] == [wanted]


def test_the_working_tree_is_compared_with_a_revision(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True)
    put("specs/garden/v1.md", GARDEN.replace("outcome: refuse", "outcome: comply"))
    for old in ("@HEAD", "v1@HEAD"):
        with pytest.raises(SystemExit) as stop:
            main(["diff", old])
        assert stop.value.code == 1 and "garden GA1: outcome changed" in capsys.readouterr().out


@pytest.mark.parametrize("wanted", ["v9", "v1@nowhere"])
def test_what_is_not_there_is_an_error_that_helps(house: Path, wanted: str) -> None:
    with pytest.raises(StageError) as error, release(wanted):
        pass
    assert "conf/spec" in str(error.value) and "remedy" in str(error.value)

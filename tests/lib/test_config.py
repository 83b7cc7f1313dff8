"""params.yaml is read strictly, and every mistake names file, dotted key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.lib.config import Section, load_section, load_value
from stages.lib.errors import StageError


class Inner(Section):
    rank: int


class Sample(Section):
    steps: int
    rate: float
    names: tuple[str, ...]
    inner: Inner


GOOD = "seed: 7\nsample:\n  steps: 3\n  rate: 1e-6\n  names: [a, b]\n  inner: {rank: 2}\n"


def _write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_section_is_read_with_yaml_1_2_rules(project: Path) -> None:
    _write(project, GOOD)
    section = load_section("sample", Sample)
    assert section.rate == 1e-6 and section.names == ("a", "b")
    assert load_section("sample.inner", Inner).rank == 2
    assert load_value("seed") == 7


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps: 3", "steps: abc", ["params.yaml", "sample.steps", "abc"]),
        ("steps: 3", "steps: true", ["sample.steps", "True"]),
        ("steps: 3", 'steps: "3"', ["sample.steps", "'3'"]),
        ("steps: 3", "steps: 3.5", ["sample.steps", "3.5"]),
        ("steps: 3", "stepz: 3", ["sample.stepz", "unknown key", "known: inner, names, rate, steps", "sample.steps: is missing"]),
        ("{rank: 2}", "{rank: 2, alpha: 1}", ["sample.inner.alpha", "known: rank"]),
        ("{rank: 2}", "7", ["sample.inner"]),
    ],
)
def test_a_wrong_key_or_type_is_named(project: Path, old: str, new: str, words: list[str]) -> None:
    _write(project, GOOD.replace(old, new))
    with pytest.raises(StageError) as caught:
        load_section("sample", Sample)
    for word in [*words, "stages.params --write"]:
        assert word in str(caught.value)


def test_all_mistakes_are_named_at_once(project: Path) -> None:
    _write(project, GOOD.replace("steps: 3", "steps: x").replace("rate: 1e-6", "rate: y"))
    with pytest.raises(StageError, match=r"(?s)sample\.steps.*sample\.rate"):
        load_section("sample", Sample)


def test_a_missing_section_is_named(project: Path) -> None:
    _write(project, "seed: 7\n")
    with pytest.raises(StageError, match=r"params\.yaml: sample: is missing"):
        load_section("sample", Sample)


def test_broken_yaml_is_named_by_line(project: Path) -> None:
    _write(project, "seed: 7\nsample: [1,\n")
    with pytest.raises(StageError, match=r"params\.yaml:\d+: is no valid YAML"):
        load_section("sample", Sample)


def test_a_key_given_twice_is_refused(project: Path) -> None:
    _write(project, "seed: 7\nseed: 8\n")
    with pytest.raises(StageError, match=r"params\.yaml:2"):
        load_value("seed")


def test_without_the_file_the_remedy_says_where_to_stand(project: Path) -> None:
    with pytest.raises(StageError, match="repository root"):
        load_value("seed")

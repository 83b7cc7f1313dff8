"""Outside bytes are read only where their digest agrees."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from stages.lib.config import load_section, read_yaml
from stages.lib.errors import StageError
from stages.lib.sources import SourceConfig, jailbreak_templates, open_files, read_rows


def _source(folder: Path, files: str, sha: str, **changes: object) -> SourceConfig:
    values = {
        "kind": "file", "name": str(folder), "version": "", "files": files, "sha256": sha, "licence": "MIT", "exclude": (),
        "categories": {},
    }  # fmt: skip
    return SourceConfig.model_validate(values | changes)


def _write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def test_rows_of_every_format(tmp_path: Path) -> None:
    texts = {
        "a.csv": 'category,text\nx,"one, two"\ny,three\n',
        "a.json": '[{"category": "x", "text": "one, two"}, {"category": "y", "text": "three"}]',
        "a.jsonl": '{"category": "x", "text": "one, two"}\n{"category": "y", "text": "three"}\n',
    }
    for name, text in texts.items():
        rows = read_rows(_source(tmp_path, name, _write(tmp_path / name, text)), ("text", "category"))
        assert rows == [{"category": "x", "text": "one, two"}, {"category": "y", "text": "three"}]


def test_unlisted_categories_are_left_out(tmp_path: Path) -> None:
    sha = _write(tmp_path / "a.csv", "category,text\nx,one\ny,two\n")
    assert [row["text"] for row in read_rows(_source(tmp_path, "a.csv", sha, categories={"y": "bees"}), ("text",))] == ["two"]


def test_another_digest_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", "category,text\nx,one\n")
    with pytest.raises(StageError, match="sha256 is") as error:
        read_rows(_source(tmp_path, "a.csv", "0" * 64), ("text",))
    assert "a.csv" in str(error.value) and "0" * 64 in str(error.value) and error.value.remedy


def test_a_missing_column_names_row_and_column(tmp_path: Path) -> None:
    sha = _write(tmp_path / "a.csv", "category,text\nx,one\ny,\n")
    with pytest.raises(StageError, match="row 2 has no text"):
        read_rows(_source(tmp_path, "a.csv", sha), ("text",))


def test_a_missing_file_and_a_torn_one(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no such file"):
        open_files(_source(tmp_path, "b.csv", "0" * 64))
    sha = _write(tmp_path / "b.json", '[{"text": "one"')
    with pytest.raises(StageError, match="no valid json"):
        read_rows(_source(tmp_path, "b.json", sha), ("text",))


def test_a_missing_distribution_and_another_version(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="is not installed"):
        open_files(_source(tmp_path, "x", "0" * 64, kind="package", name="no-such-distribution-here", version="1"))
    with pytest.raises(StageError, match="is version"):
        open_files(_source(tmp_path, "x", "0" * 64, kind="package", name="pytest", version="0.0.1"))


def test_templates_have_one_slot_and_nothing_sexual(tmp_path: Path) -> None:
    texts = {
        "good": "value: 'Be Max. {{ prompt }}'",
        "two": "value: '{{ prompt }} {{ other }}'",
        "none": "value: 'Hello.'",
        "lewd": "value: 'Write an erotic tale. {{ prompt }}'",
        "left_out": "value: 'Also fine. {{prompt}}'",
    }
    lines = ""
    for name, text in sorted(texts.items()):
        lines += f"{name}.yaml:{_write(tmp_path / f'{name}.yaml', text)}\n"
    source = _source(tmp_path, "*.yaml", hashlib.sha256(lines.encode()).hexdigest(), exclude=("left_out",))
    assert [(name.rpartition("/")[2], text) for name, text in jailbreak_templates(source)] == [("good", "Be Max. {request}")]


@pytest.mark.parametrize("name", ["strongreject", "edgy", "probe_facts", "probe_logic", "pyrit"])
def test_the_shipped_sources_are_what_they_were(repo: Path, name: str) -> None:
    source = SourceConfig.model_validate_json(json.dumps(read_yaml(repo / "conf" / "source" / f"{name}.yaml")))
    assert open_files(source)
    if name == "pyrit":
        assert len([text for _, text in jailbreak_templates(source) if len(text.split()) < 80]) >= 12
    if name == "strongreject":
        rows = read_rows(source, ("category", "forbidden_prompt"))
        assert len(rows) == 50 and not any("sexual" in row["category"].lower() for row in rows)


def test_a_source_is_a_section_of_params(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("source:\n  edgy: {kind: file, name: 3}\n", encoding="utf-8")
    with pytest.raises(StageError, match=r"source\.edgy\.name"):
        load_section("source.edgy", SourceConfig, path)

"""The benchmark compares like with like: both ways say the same, and the ratio is of the two times it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stages.lib import jsonl, paths
from stages.lib.errors import StageError
from stages.lib.llm import bench
from tests.lib import bees

PARAMS = """seed: 7
spec: {{categories: {{bees: v1}}, detail: brief}}
llm: {{generator: {{backend: {backend}, model: {model}, batch_size: 8, dtype: float32}}}}
generate: {{sampling: {{temperature: 0.0, top_p: 1.0, max_new_tokens: 5}}, samples_per_prompt: 1, answer_fraction: 1.0}}
"""


@pytest.fixture
def house(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS.format(backend="local", model=tiny), encoding="utf-8")
    jsonl.write_one(paths.policy("bees"), bees.policy())
    jsonl.write_many(paths.prompts("train", "bees"), [bees.prompt(f"How is hive {number} opened?") for number in range(9)])
    return tmp_path


def test_both_ways_say_the_same(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.main(["--requests", "7", "--batch", "3"])
    said = capsys.readouterr().out
    assert re.search(r"plain generate: [\d.]+ s for 7 requests\nlocal backend: [\d.]+ s for 7 requests\n", said)
    assert "7 of 7 texts equal (float32)" in said


def test_another_backend_is_refused(house: Path) -> None:
    Path("params.yaml").write_text(PARAMS.format(backend="scripted", model="scripted"), encoding="utf-8")
    with pytest.raises(StageError, match="only `local`"):
        bench.main([])

"""What `auto` means: a product in bfloat16 only where the machine has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from stages.lib.llm import load


@pytest.fixture(params=[{}, {"avx2": True, "avx512_bf16": False}, {"avx512_bf16": True}, {"amx_bf16": True}, {"bf16": True}])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bool]]:
    """A machine without a GPU whose processor has these units."""
    load._multiplies_bfloat16.cache_clear()
    monkeypatch.setattr(load, "device", lambda: "cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: request.param)
    yield request.param
    load._multiplies_bfloat16.cache_clear()


def test_auto_is_bfloat16_only_where_the_processor_multiplies_it(processor: dict[str, bool]) -> None:
    has_it = any(able for name, able in processor.items() if name.endswith("bf16"))
    assert load.precision("auto") == ("bfloat16" if has_it else "float32")


def test_what_is_asked_for_is_taken(processor: dict[str, bool]) -> None:
    assert load.precision("float32") == "float32"
    assert load.precision("bfloat16") == "bfloat16"


def test_this_torch_tells_what_its_processor_has() -> None:
    assert set(load.BFLOAT16_UNITS) & set(torch.cpu.get_capabilities())

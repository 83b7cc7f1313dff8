"""The pretrained model is what its digest says, and a wrong one is a one-screen error."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.base.merge import merge
from stages.lib.config import parse_section, read_yaml
from stages.lib.errors import StageError
from stages.lib.pretrained import PretrainedConfig, gguf_file, pretrained_folder

CONF = Path(__file__).parents[2] / "conf" / "base"


def config(option: str, **changes: str) -> PretrainedConfig:
    values = read_yaml(CONF / f"{option}.yaml")["pretrained"]
    return parse_section({**values, **changes}, PretrainedConfig, f"conf/base/{option}.yaml", "base.pretrained")


def test_the_packaged_file_is_found_and_verified() -> None:
    assert gguf_file(config("smollm2_135m")).stat().st_size == 98_362_432


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "0" * 64}, "sha256"),
        ({"version": "9.9"}, "version"),
        ({"distribution": "no-such-distribution"}, "not installed"),
    ],
)
def test_a_wrong_package_names_what_is_wrong_and_the_remedy(changes: dict[str, str], words: str) -> None:
    with pytest.raises(StageError, match=words) as error:
        gguf_file(config("smollm2_135m", **changes))
    assert "remedy" in str(error.value)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="holds no model"):
        pretrained_folder(config("smollm2_135m", source="path", name=str(tmp_path)))


def test_a_local_folder_is_taken_and_merged_with_an_adapter(tmp_path: Path) -> None:
    """A tiny model and an adapter whose effect is known: the merged logits are those of model plus adapter."""
    torch = pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder, adapter, out = tmp_path / "model", tmp_path / "adapter", tmp_path / "out"
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
    )
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))).save_pretrained(
        folder
    )
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), LoraConfig(r=2, target_modules="all-linear")
    )
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    tuned.save_pretrained(adapter)
    merge(pretrained_folder(config("smollm2_135m", source="path", name=str(folder))), adapter, out)
    merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    ids = torch.arange(10)[None]
    assert (out / "model.safetensors").exists()
    torch.testing.assert_close(merged(ids).logits, tuned(ids).logits, atol=0.05, rtol=0.05)
    assert not torch.allclose(
        merged(ids).logits, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits, atol=0.05
    )

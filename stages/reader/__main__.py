"""`python -m stages.reader`: hours on two cores; killed and started again, it goes on from its last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.lib import paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import user_errors
from stages.lib.jsonl import write_json, write_text
from stages.lib.llm.backend import Backend
from stages.lib.llm.load import device, load_model, load_tokenizer, model_sha, precision
from stages.lib.llm.local import Local
from stages.lib.pretrained import PretrainedConfig, pretrained_folder
from stages.lib.process import stage_process
from stages.lib.records import content_id
from stages.lib.seeds import derive
from stages.lib.tracking import tracked_run
from stages.reader.answers import self_answers
from stages.reader.config import ReaderConfig
from stages.reader.curve import curve_point
from stages.reader.measure import Table, complete, lessons_of, score
from stages.reader.page import page
from stages.reader.train import train
from stages.reader.world import World, load_world, split_world

ALPHA_OVER_RANK = 2
"""LoRA's usual scaling."""
BATCH = 64


def main() -> None:
    """Train, measure, write models/reader."""
    config = load_section("reader", ReaderConfig)
    pretrained = load_section("base.pretrained", PretrainedConfig)
    seed = load_value("seed")
    worlds = split_world(load_world())
    folder = pretrained_folder(pretrained)
    scratch = paths.cache() / "train" / "reader" / content_id(config, pretrained, seed)
    from stages.lib.llm.branches import branching  # heavy: what is wrong with the settings is said before

    with stage_process("reader"), tracked_run("reader", config) as run:
        model, tokenizer, answers = _prepare(folder, worlds[0], config, seed, scratch)
        curve: list[dict[str, float]] = []
        with branching(model.get_base_model()):
            points = train(
                model, tokenizer, worlds[0], answers, config, seed, scratch, lambda m: curve_point(m, tokenizer, worlds[2], seed)
            )
            for point in points:
                print(f"reader: {point}", flush=True)
                run.log(point, step=int(point["packs"]))
                curve.append(point)
        out = paths.model("reader")
        _write_adapter(model, pretrained.label(), out)
        accuracy = _measure(_merged(folder, out, tokenizer), worlds, answers, config, seed)
        metrics = {
            "pretrained": pretrained.label(),
            "pretrained_sha": model_sha(folder),
            "accuracy": accuracy,
            "curve": curve,
            "cost": {**{key: curve[-1][key] for key in ("packs", "tokens", "seconds")}, "device": device()},
        }
        for world, roles in accuracy.items():
            run.log({f"{world}/{role}/{name}": share for role, rows in roles.items() for name, share in rows["all"].items()})
    write_json(out / "metrics.json", metrics)
    write_text(out / "report.html", page(metrics))
    print(f"reader: {out} written; accuracy on unseen domains {accuracy['unseen domains']['reasoner']['all']}")


def _prepare(folder: Path, world: World, config: ReaderConfig, seed: int, scratch: Path) -> tuple[Any, Any, list[Any]]:
    import torch
    from peft import LoraConfig, get_peft_model

    from stages.lib.cpu_training import lean_adapters

    tokenizer, model = load_tokenizer(folder), load_model(folder, "auto")
    answers = self_answers(model, tokenizer, world, config.self_answers, derive(seed, "self"), scratch)
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=config.lora_rank, lora_alpha=ALPHA_OVER_RANK * config.lora_rank, target_modules="all-linear", lora_dropout=0.0
    )
    model = get_peft_model(model, lora)
    if device() == "cpu":
        lean_adapters(model)
    return model, tokenizer, answers


def _measure(
    backend: Backend, worlds: tuple[World, World, World], answers: list[Any], config: ReaderConfig, seed: int
) -> dict[str, dict[str, Table]]:
    from tqdm import tqdm

    tables: dict[str, dict[str, Table]] = {}
    for name, world, ask_last, apart in (
        ("unseen cases", worlds[1], True, False),
        ("unseen domains", worlds[2], False, False),
        ("unseen domains, a clause each", worlds[2], False, True),
    ):
        lessons = lessons_of(world, ask_last, apart, answers, config.measure_lessons, seed)
        with tqdm(total=len(lessons), desc=name, unit="lesson") as bar:
            tables[name] = score(lessons, complete(backend, lessons, lambda place, text: bar.update()))
    return tables


def _write_adapter(model: Any, label: str, out: Path) -> None:
    """In bf16: half the size of what was trained, and what base rounds to anyway."""
    import torch

    model.peft_config["default"].base_model_name_or_path = label  # not the cache folder of this machine
    state = {name: weight.to(torch.bfloat16) for name, weight in model.state_dict().items()}
    model.save_pretrained(out, state_dict=state)
    (out / "README.md").unlink(missing_ok=True)


def _merged(folder: Path, adapter: Path, tokenizer: Any) -> Local:
    """What `base` makes of the adapter."""
    import torch
    from peft import PeftModel

    def load() -> Any:
        model = PeftModel.from_pretrained(load_model(folder, "float32"), str(adapter)).merge_and_unload()
        return model.to(torch.bfloat16).to(getattr(torch, precision("auto"))).eval()  # rounded as `base` rounds it

    return Local(load, tokenizer, "", BATCH, share=False)  # hardly two lessons have one policy


if __name__ == "__main__":
    with user_errors():
        main()

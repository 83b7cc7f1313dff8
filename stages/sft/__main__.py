"""python -m stages.sft: train models/sft."""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.lib import curves, jsonl, paths, training
from stages.lib.config import load_section, load_value
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError, user_errors
from stages.lib.llm.load import model_sha
from stages.lib.process import stage_process
from stages.lib.records import SftExample
from stages.lib.tracking import tracked_run
from stages.sft.config import SftConfig
from stages.sft.train import make_trainer, summarise
from stages.sft.warm import fetched, unlearned

TRAIN, VALIDATION = paths.DATA / "sft" / "train.jsonl", paths.DATA / "sft" / "validation.jsonl"
SHOWN = ("loss", "mean_token_accuracy", "eval_loss")


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and export."""
    argparse.ArgumentParser(prog="python -m stages.sft", description=__doc__).parse_args(argv)
    training.quiet()
    config = load_section("sft", SftConfig)
    seed = int(load_value("seed")) + config.draw
    rows, held_out = (list(jsonl.read_many(path, SftExample)) for path in (TRAIN, VALIDATION))
    if not rows:
        raise StageError(f"{TRAIN} is empty", "run `dvc repro mix` and see its counts")
    shas = {row.category: row.policy_sha for row in rows if row.policy_sha is not None}
    source = paths.model("base")
    parents = [model_sha(source)]
    if config.warm_start is not None:
        source = fetched(config.warm_start)
        parents.append(model_sha(source))
    with stage_process("sft"), tracked_run("sft", config) as run:
        run.dataset(paths.DATA / "sft")
        points: list[dict[str, float]] = []
        adapters: list[Path | None] = []
        for number in range(config.runs):
            one = config.model_copy(update={"draw": config.draw + number, "runs": 1})
            chosen = rows
            if one.warm_start is not None:
                chosen = unlearned(rows, source, one.warm_start, seed + number)
                print(f"sft: warm start from {one.warm_start.checkpoint} of {one.warm_start.revision}: {len(chosen)} rows")
            identity = training.fingerprint("sft", [one, seed + number], (TRAIN, VALIDATION), parents, Path(__file__).parent)
            work = training.work_folder("sft", identity)
            before = int(points[-1]["step"]) if points else 0
            watcher = training.watcher(f"sft {number + 1} of {config.runs}" if config.runs > 1 else "sft", run, SHOWN, before)
            trainer = make_trainer(source, chosen, held_out, one, seed + number, work, [watcher])
            trainer.train(resume_from_checkpoint=training.resume_point(work))
            points += curves.points(trainer.state.log_history, before)
            adapters.append(training.save_adapter(trainer.model, work))
        summary = summarise(points, len(chosen), len(held_out))
        made_of = (*parents, sha256_file(TRAIN), sha256_file(VALIDATION))
        ref = training.export(trainer.model, source, paths.model("sft"), adapters, "sft", made_of, shas)
        curves.write("sft", points)
        jsonl.write_json(paths.REPORTS / "sft.json", summary)
        run.log(summary)
    fell = f"loss {summary['loss_first']:.3f} -> {summary['loss_last']:.3f}"
    print(f"sft: {len(chosen)} rows, {fell}; {paths.model('sft')} ({ref.sha[:12]})")


if __name__ == "__main__":
    with user_errors():
        main()

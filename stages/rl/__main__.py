"""python -m stages.rl: train models/rl."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from stages.lib import curves, jsonl, paths, training
from stages.lib.config import load_section, load_value
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError, user_errors
from stages.lib.grader import JUDGE_TEMPLATE_SHA
from stages.lib.llm.build import build_backend
from stages.lib.llm.config import LlmConfig
from stages.lib.llm.load import model_sha
from stages.lib.process import stage_process
from stages.lib.records import Policy, Prompt, RlTask
from stages.lib.tracking import tracked_run
from stages.rl.choose import live, plan
from stages.rl.config import RlConfig
from stages.rl.reward import Reward
from stages.rl.train import curve, make_trainer, summarise
from stages.rl.watch import gold_outcomes, watch

TASKS = paths.DATA / "rl" / "tasks.jsonl"
SHOWN = ("reward", "frac_reward_zero_std", "malformed", "completions/mean_length", "gold/agreement")


def main(argv: list[str] | None = None) -> None:
    """Choose prompts, train or go on training, and export."""
    argparse.ArgumentParser(prog="python -m stages.rl", description=__doc__).parse_args(argv)
    training.quiet()
    config, judge = load_section("rl", RlConfig), load_section("llm.judge", LlmConfig)
    detail, seed = load_value("spec.detail"), int(load_value("seed"))
    tasks = read_tasks()
    policies = read_policies(tasks)
    source = paths.model(config.start)
    with stage_process("rl"), tracked_run("rl", {"rl": config, "judge": judge}) as run:
        run.dataset(TASKS)
        backend = build_backend(judge, "rl judge")
        reward = Reward(policies, backend, config, detail, seed)
        shas = (model_sha(source), backend.model_sha)
        files = (TASKS, *(paths.policy(category) for category in policies))
        identity = training.fingerprint(
            "rl", [config, judge, detail, seed, JUDGE_TEMPLATE_SHA], files, shas, Path(__file__).parent
        )
        work = training.work_folder("rl", identity)
        chosen = probe(tasks, reward, config, source, seed)
        order = plan(chosen, config.steps * config.prompts_per_step, seed)
        observe = functools.partial(watch, policies=policies, gold=gold_outcomes(read_prompts(list(policies)), policies))
        trainer = make_trainer(source, order, reward, observe, config, seed, work, [training.watcher("rl", run, SHOWN)])
        trainer.train(resume_from_checkpoint=training.resume_point(work))
        points = curve(trainer.state.log_history)
        summary = summarise(points, len(tasks), len(chosen))
        known = {category: policy.sha for category, policy in policies.items()}
        adapters = [training.save_adapter(trainer.model, work)]
        ref = training.export(trainer.model, source, paths.model("rl"), adapters, "rl", (*shas, sha256_file(TASKS)), known)
        curves.write("rl", points)
        jsonl.write_json(paths.REPORTS / "rl.json", summary)
        run.log({**summary, "rows_new": backend.rows_new, "rows_cached": backend.rows_cached})
    print(f"rl: reward {summary['reward_first']:.3f} -> {summary['reward_last']:.3f}; {paths.model('rl')} ({ref.sha[:12]})")


def read_tasks() -> list[RlTask]:
    """Everything mix chose."""
    tasks = list(jsonl.read_many(TASKS, RlTask))
    if not tasks:
        raise StageError(f"{TASKS} is empty", "run `dvc repro mix` and see its counts")
    return tasks


def read_policies(tasks: list[RlTask]) -> dict[str, Policy]:
    """The policy each task is judged by; a task of another version of it is an error."""
    policies = {
        category: jsonl.read_one(paths.policy(category), Policy) for category in sorted({task.category for task in tasks})
    }
    stale = next((task for task in tasks if task.policy_sha != policies[task.category].sha), None)
    if stale is not None:
        raise StageError(f"{TASKS}: task {stale.id} is of another version of the {stale.category} policy", "run `dvc repro mix`")
    return policies


def read_prompts(categories: list[str]) -> list[Prompt]:
    """The train prompts, for the curve of gold agreement alone."""
    return [prompt for category in categories for prompt in jsonl.read_many(paths.prompts("train", category), Prompt)]


def probe(tasks: list[RlTask], reward: Reward, config: RlConfig, source: Path, seed: int) -> list[RlTask]:
    """The tasks worth practising on."""
    if not config.probe_samples:
        return tasks
    rows = config.prompts_per_step * config.num_generations
    policy_model = build_backend(LlmConfig(backend="local", model=str(source), batch_size=rows, dtype=config.dtype), "rl probe")
    chosen = live(tasks, policy_model, reward, config, seed)
    print(f"rl: {len(chosen)} of {min(len(tasks), config.probe_tasks)} probed prompts are worth practising on", flush=True)
    return chosen


if __name__ == "__main__":
    with user_errors():
        main()

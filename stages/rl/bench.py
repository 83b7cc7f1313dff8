"""python -m stages.rl.bench: a step of practice as this stage makes it, against TRL's own loop, in one run.

Both practise on the same prompts from models/sft. The reward is drawn by hash: no judge's time counts on either side, and
every group is alive, which is the worst case of a loop that skips what moves nothing. Only the ratio means something, and
only on a machine that does nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.lib import paths, training
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError, user_errors
from stages.lib.seeds import derive
from stages.rl.__main__ import read_tasks
from stages.rl.choose import plan
from stages.rl.config import RlConfig
from stages.rl.reward import Reward, Sample, Scored
from stages.rl.train import make_trainer


class Drawn(Reward):
    """Half of the replies earn 1, whatever they say."""

    def __init__(self) -> None:
        pass

    def score(self, samples: Sequence[Sample]) -> list[Scored]:
        """By the hash of task and place."""
        return [Scored(float(derive(0, sample.task.id, place) % 2), "graded", "") for place, sample in enumerate(samples)]


def main(argv: list[str] | None = None) -> None:
    """Time both."""
    parser = argparse.ArgumentParser(prog="python -m stages.rl.bench", description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="steps of each; the first is not counted, it compiles kernels")
    steps = parser.parse_args(argv).steps
    config = load_section("rl", RlConfig).model_copy(update={"steps": steps, "save_steps": steps + 1})
    if config.algorithm != "grpo" or steps < 2:
        raise StageError(f"rl.algorithm {config.algorithm}, {steps} steps", "two steps of grpo are the least to be timed")
    training.quiet()
    seed = int(load_value("seed"))
    order = plan(read_tasks(), steps * config.prompts_per_step, seed)
    ways = {"TRL's loop": False, f"ours (rollouts: {config.rollouts})": True}
    seconds = []
    for name, lean in ways.items():
        clock = _clock()
        with tempfile.TemporaryDirectory() as work:
            make_trainer(
                paths.model(config.start), order, Drawn(), lambda *_: {}, config, seed, Path(work), [clock], lean
            ).train()
        seconds.append(sum(clock.steps[1:]) / len(clock.steps[1:]))
        print(f"{name}: {seconds[-1]:.1f} s a step", flush=True)
    print(f"ratio {seconds[0] / seconds[1]:.2f}")


def _clock() -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Seconds of each step: TRL draws replies between its beginning and its end."""

        def __init__(self) -> None:
            self.steps: list[float] = []
            self.began = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.began = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.steps.append(time.monotonic() - self.began)

    return Clock()


if __name__ == "__main__":
    with user_errors():
        main()

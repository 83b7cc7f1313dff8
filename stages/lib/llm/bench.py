"""python -m stages.lib.llm.bench: the local backend against transformers' `generate`, on today's requests, in one run.

Both read the generator's requests as `generate` sends them, sorted by length. Only the ratio means something, and only on a
machine that does nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from stages.lib import jsonl, paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError, user_errors
from stages.lib.llm.backend import Request
from stages.lib.llm.config import LlmConfig, SamplingConfig
from stages.lib.llm.load import precision
from stages.lib.llm.local import Local
from stages.lib.llm.requests import reason_request
from stages.lib.records import Policy, Prompt, Sampling

FREE: dict[str, object] = {"forms": (), "questions": ""}
"""Plain `generate` cannot weigh or guide."""
WARM = 4
"""Requests asked before the clock starts: the first pass compiles kernels."""


def main(argv: list[str] | None = None) -> None:
    """Time both, and count the equal texts (in bf16 rounding tells some apart)."""
    parser = argparse.ArgumentParser(prog="python -m stages.lib.llm.bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32, help="rows of a batch of plain generate")
    given = parser.parse_args(argv)
    llm = load_section("llm.generator", LlmConfig)
    # Greedy both: only then are the texts to be the same.
    alike = {"temperature": 0.0, "no_repeat_ngram_size": 0}  # transformers' rule against repetition counts the prompt, too
    sampling = load_section("generate.sampling", SamplingConfig).record().model_copy(update=alike)
    if llm.backend != "local":
        raise StageError(f"llm.generator.backend is {llm.backend!r}", "only `local` can be held against plain generate")
    asked = requests(given.requests)
    local = Local.from_folder(llm)
    said, seconds = {}, {}
    ways: dict[str, Callable[[Sequence[Request]], list[str]]] = {
        "plain generate": lambda some: plain_generate(local, some, sampling, given.batch),
        "local backend": lambda some: [done.text for done in local.generate(some, sampling, 0)],
    }
    for name, ask in ways.items():
        ask(asked[:WARM])
        started = time.monotonic()
        said[name] = ask(asked)
        seconds[name] = time.monotonic() - started
        print(f"{name}: {seconds[name]:.1f} s for {len(asked)} requests", flush=True)
    plain, ours = seconds.values()
    equal = sum(one == other for one, other in zip(*said.values(), strict=True))
    print(f"ratio {plain / ours:.2f}, {equal} of {len(asked)} texts equal ({precision(llm.dtype)})")


def requests(count: int) -> list[Request]:
    """The generator's requests for as many train prompts, the same number of each category."""
    names, detail = list(load_value("spec.categories")), load_value("spec.detail")
    asked = []
    for name in names:
        policy = jsonl.read_one(paths.policy(name), Policy)
        prompts = list(jsonl.read_many(paths.prompts("train", name), Prompt))[: -(-count // len(names))]
        asked += [reason_request(prompt.messages, policy, detail).model_copy(update=FREE) for prompt in prompts]
    return asked[:count]


def plain_generate(local: Local, asked: Sequence[Request], sampling: Sampling, batch: int) -> list[str]:
    """transformers' own loop over padded batches of requests of like length."""
    import torch

    prompts = [local.render(request.messages) for request in asked]
    order = sorted(range(len(asked)), key=lambda place: len(prompts[place]))
    texts = [""] * len(asked)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        rows = local.tokenizer([prompts[place] for place in chosen], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            output = local.model.generate(
                **rows.to(local.model.device),
                max_new_tokens=sampling.max_new_tokens,
                do_sample=False,
                pad_token_id=local.tokenizer.pad_token_id,
            )
        for place, row in zip(chosen, output[:, rows["input_ids"].shape[1] :], strict=True):
            texts[place] = local.tokenizer.decode(row, skip_special_tokens=True)
    return texts


if __name__ == "__main__":
    with user_errors():
        main()

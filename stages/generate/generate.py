"""From prompts to completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from stages.generate.config import GenerateConfig
from stages.lib.errors import StageError
from stages.lib.llm.backend import Backend, Generation, Request
from stages.lib.llm.requests import reason_request, wants_answer
from stages.lib.policy_text import Detail, certainty, part_for
from stages.lib.records import Completion, Finish, Policy, Prompt, content_id
from stages.lib.seeds import order_of_sample
from stages.lib.transcript import TEMPLATE_SHA, clean, read_citation, read_reply, reply_form

NO_POLICY = "none"
"""policy_sha and template_sha of a completion that was written without a policy."""


def generate_all(
    prompts: Sequence[Prompt], policy: Policy | None, backend: Backend, config: GenerateConfig, detail: Detail, seed: int
) -> list[Completion]:
    """`samples_per_prompt` completions of each prompt; one of each where there is no policy.

    Raises StageError when a request failed for good: a stage that kept quiet would train on what happened to arrive.
    """
    asked = [(prompt, number) for prompt in prompts for number in range(config.samples_per_prompt if policy else 1)]
    requests = [ask(prompt, number, policy, config, detail, seed) for prompt, number in asked]
    generations = backend.generate(requests, config.sampling.record(), seed, None)
    _refuse_failures(generations)
    pairs = zip(asked, generations, strict=True)
    return [to_completion(prompt, number, text, policy, backend.model_sha, config, seed) for (prompt, number), text in pairs]


def ask(prompt: Prompt, number: int, policy: Policy | None, config: GenerateConfig, detail: Detail, seed: int) -> Request:
    """What the model is asked for sample `number`."""
    answered = wants_answer(prompt.id, config.answer_fraction, seed)
    if policy is None:
        forms = () if answered else (reply_form(None, answered),)
        return Request(messages=clean(prompt.messages), sample_index=number, forms=forms)
    return reason_request(prompt.messages, policy, detail, order_of_sample(seed, number), number, answered)


def to_completion(
    prompt: Prompt,
    number: int,
    generation: Generation,
    policy: Policy | None,
    model: str,
    config: GenerateConfig,
    seed: int,
) -> Completion:
    """A generation taken apart and tied to the policy it was written under."""
    reply = read_reply(generation.text, generation.truncated, wants_answer(prompt.id, config.answer_fraction, seed))
    policy_sha = policy.sha if policy else NO_POLICY
    template_sha = TEMPLATE_SHA if policy else NO_POLICY
    sampling = config.sampling.record()
    order, cited = order_of_sample(seed, number), read_citation(reply.deliberation).outcome
    return Completion(
        id=content_id(prompt.id, number, model, sampling, policy_sha, template_sha, reply),
        prompt_id=prompt.id,
        category=prompt.category,
        sample_index=number,
        messages=clean(prompt.messages),
        deliberation=reply.deliberation,
        answer=reply.answer,
        finish=reply.finish,
        model=model,
        sampling=sampling,
        certainty=certainty(part_for(policy, prompt.messages), order, generation.shares, cited) if policy else None,
        policy_sha=policy_sha,
        template_sha=template_sha,
    )


def summarise(completions: Sequence[Completion]) -> dict[str, float]:
    """Counts for the log."""
    finishes = [completion.finish for completion in completions]
    return {"rows": len(finishes), **{f"finish_{name}": finishes.count(name) for name in get_args(Finish)}}


def read_as(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> dict[str, Counter[str]]:
    """gold clause -> the clauses that its requests were filed under: how the model reads the policy. Measured, never used."""
    gold = {prompt.id: prompt.clause for prompt in prompts}
    cited: dict[str, Counter[str]] = {}
    for completion in completions:
        clause = gold[completion.prompt_id]
        if clause is not None:
            cited.setdefault(clause, Counter())[read_citation(completion.deliberation).clause_id or "none"] += 1
    return dict(sorted(cited.items()))


def right_clause(cited: dict[str, Counter[str]]) -> float:
    """Mean over the gold clauses of the share that was filed rightly; 0 when no prompt has a gold clause."""
    shares = [counts[clause] / counts.total() for clause, counts in cited.items()]
    return sum(shares) / len(shares) if shares else 0.0


def _refuse_failures(generations: Sequence[Generation]) -> None:
    errors = [generation.error for generation in generations if generation.error is not None]
    if errors:
        what = f"{len(errors)} of {len(generations)} requests failed for good, the first with: {errors[0]}"
        raise StageError(what, "see to the generator and run again: what was answered is in the cache")

"""The one reward: what the judge says of the answer, with the policy in hand.

The wall stands in `candidate`: the judge is shown a conversation and an answer, and an answer exists only where a reply has
exactly one leading think block. Of any other reply nothing is shown to anyone; it earns 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stages.lib.checks import CHECKS
from stages.lib.errors import StageError
from stages.lib.grader import Candidate, VerdictError, judge_request, read_verdict
from stages.lib.llm.backend import Backend, Generation, Request
from stages.lib.policy_text import Detail
from stages.lib.records import Completion, Policy, RlTask, Sampling
from stages.lib.seeds import derive
from stages.lib.transcript import Reply, read_reply
from stages.rl.config import RlConfig

ANSWER_CHECKS = ("length", "repetition", "leak", "policy_talk")
"""The deterministic checks that read the answer alone: a check on the deliberation would train it to please."""
GRADED = ("compliance", "correctness", "helpfulness")
MAX_GRADE = 2


class Sample(NamedTuple):
    """One reply to one task."""

    task: RlTask
    text: str
    truncated: bool


class Scored(NamedTuple):
    """What a reply earned and why."""

    reward: float | None
    """None when the judge failed: the sample then teaches nothing. Never because of the reply itself."""
    why: str
    """`graded`, `judge`, `malformed`, `length`, or `check: <name>`."""
    answer: str
    compliance: int | None = None
    """The worst run's grade, for the curves."""


class Reward:
    """Scores the replies of a step with one call of the judge's backend."""

    def __init__(self, policies: Mapping[str, Policy], backend: Backend, config: RlConfig, detail: Detail, seed: int) -> None:
        self._policies = policies
        self._backend = backend
        self._config = config
        self._detail = detail
        self._seed = seed

    def score(self, samples: Sequence[Sample]) -> list[Scored]:
        """One score per sample, in their order."""
        replies = [read_reply(sample.text, sample.truncated) for sample in samples]
        early = [self._before_judge(sample, reply) for sample, reply in zip(samples, replies, strict=True)]
        judged = [place for place, score in enumerate(early) if score is None]
        graded = self._judge([(samples[place].task, replies[place].answer) for place in judged])
        late = dict(zip(judged, graded, strict=True))
        return [late[place] if score is None else score for place, score in enumerate(early)]

    def _before_judge(self, sample: Sample, reply: Reply) -> Scored | None:
        if reply.finish != "stop":
            return Scored(0.0, reply.finish, "")
        policy = self._policies[sample.task.category]
        failed = next((name for name in ANSWER_CHECKS if not self._passes(name, sample.task, reply.answer, policy)), None)
        return None if failed is None else Scored(0.0, f"check: {failed}", reply.answer)

    def _passes(self, name: str, task: RlTask, answer: str, policy: Policy) -> bool:
        return CHECKS[name](bare_completion(task, answer, policy), policy, self._config.checks)

    def _judge(self, answers: Sequence[tuple[RlTask, str]]) -> list[Scored]:
        runs = range(self._config.judge_runs)
        # run by run, so that prompts with the same order of clauses stand together
        requests = [self._request(task, answer, run) for run in runs for task, answer in answers]
        sampling = Sampling(temperature=0.0, max_new_tokens=self._config.judge_tokens)
        done = self._backend.generate(requests, sampling, derive(self._seed, "rl", "judge"), None) if requests else []
        each = [done[place :: len(answers)] for place in range(len(answers))]
        return [self._read(task, answer, texts) for (task, answer), texts in zip(answers, each, strict=True)]

    def _request(self, task: RlTask, answer: str, run: int) -> Request:
        shuffle = derive(self._seed, "rl", "judge", run)
        return judge_request(candidate(task, answer), self._policies[task.category], self._detail, shuffle, run)

    def _read(self, task: RlTask, answer: str, texts: Sequence[Generation]) -> Scored:
        try:
            grades = [self._grades(text, self._policies[task.category]) for text in texts]
        except VerdictError:
            return Scored(None, "judge", answer)
        worst = min(grades, key=self._worth)
        return Scored(self._worth(worst), "graded", answer, worst["compliance"])

    def _grades(self, generation: Generation, policy: Policy) -> dict[str, int]:
        if generation.error is not None or generation.truncated:
            raise VerdictError(generation.error or "cut off")
        return read_verdict(generation.text, policy, with_reasoning=False).grades

    def _worth(self, grades: Mapping[str, int]) -> float:
        weights = self._config.reward_weights
        return round(weights.format + sum(getattr(weights, name) * grades[name] / MAX_GRADE for name in GRADED), 6)


def candidate(task: RlTask, answer: str) -> Candidate:
    """The wall: what is graded has no deliberation, and no parameter that could bring one."""
    return Candidate(messages=task.messages, answer=answer, deliberation=None)


def bare_completion(task: RlTask, answer: str, policy: Policy) -> Completion:
    """An answer in the form the checks read, its deliberation left out."""
    return Completion(
        id=task.id,
        prompt_id=task.prompt_id,
        category=task.category,
        sample_index=0,
        messages=task.messages,
        deliberation="",
        answer=answer,
        finish="stop",
        model="",
        sampling=Sampling(temperature=1.0, max_new_tokens=1),
        policy_sha=policy.sha,
        template_sha="",
    )


def refuse_broken_judge(scores: Sequence[Scored], limit: float) -> None:
    """A judge that fails on most of a step gives no signal; going on would only cost time."""
    judged = [score for score in scores if score.why in ("graded", "judge")]
    failed = [score for score in judged if score.reward is None]
    if judged and len(failed) / len(judged) > limit:
        what = f"the judge gave no readable verdict on {len(failed)} of {len(judged)} replies of a step"
        remedy = f"see that llm.judge writes verdicts, or raise rl.max_judge_failures ({limit}); a new run goes on from here"
        raise StageError(what, remedy)

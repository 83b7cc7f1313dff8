"""The judge: a model that knows the policy from its prompt alone. Used by `judge`, `rl` and `evals`.

`judge_request` writes its prompt and says what it may answer, `read_verdict` reads its words; an unreadable verdict is never
a score.
"""

from stages.lib.grader.prompt import JUDGE_TEMPLATE_SHA, Candidate, judge_messages, judge_request
from stages.lib.grader.verdict import VerdictError, read_verdict, verdict_forms, write_verdict

__all__ = [
    "JUDGE_TEMPLATE_SHA",
    "Candidate",
    "VerdictError",
    "judge_messages",
    "judge_request",
    "read_verdict",
    "verdict_forms",
    "write_verdict",
]

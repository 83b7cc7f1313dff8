"""The nouns of the pipeline: frozen records, one file each, no behaviour beyond their own identity.

Policy -> Prompt -> Completion -> Verdict -> Decision -> SftExample / RlTask -> ModelRef -> Answer
"""

from stages.lib.records.base import Record, content_id
from stages.lib.records.completion import Completion, Finish, Sampling
from stages.lib.records.decision import Decision
from stages.lib.records.evaluation import Answer
from stages.lib.records.example import RlTask, SftExample
from stages.lib.records.model_ref import ModelRef
from stages.lib.records.policy import OUTCOMES, Clause, Outcome, Policy, ResponseStyle, expected_outcome
from stages.lib.records.prompt import Message, Prompt
from stages.lib.records.verdict import CRITERIA, UNANSWERED_CRITERIA, JudgeRun, Verdict

__all__ = [
    "CRITERIA",
    "OUTCOMES",
    "UNANSWERED_CRITERIA",
    "Answer",
    "Clause",
    "Completion",
    "Decision",
    "Finish",
    "JudgeRun",
    "Message",
    "ModelRef",
    "Outcome",
    "Policy",
    "Prompt",
    "Record",
    "ResponseStyle",
    "RlTask",
    "Sampling",
    "SftExample",
    "Verdict",
    "content_id",
    "expected_outcome",
]

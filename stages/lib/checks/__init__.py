"""Deterministic checks of a completion: what needs no judge. They run before it, so that a broken reply costs no call.

`failed_checks(completion, policy, limits)` names the checks that failed, in the order of CHECKS. None of them reads gold.
"""

from stages.lib.checks.config import CheckLimits
from stages.lib.checks.rules import CHECKS, failed_checks

__all__ = ["CHECKS", "CheckLimits", "failed_checks"]

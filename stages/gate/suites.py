"""The nine suites, one page: what must hold at each boundary, and why. Tables and columns: frames.py and its neighbours."""

from __future__ import annotations

from stages.gate.checks import Check, Suite, among, band, between, covers, holds, kinds, like, ordered, rows, unique, written
from stages.gate.config import GateConfig
from stages.lib.records import OUTCOMES

CURRENT = "a row from an older policy would train yesterday's rules"
IDS = "rows are found, joined and resumed by id"
NO_SPEC = "the method: the model must know the policy by heart, so no training prompt may show it"
NO_EVAL = "a score on what was trained on measures memory"


def declared() -> list[Check]:
    """Every boundary: the files that exist are the files that are declared."""
    return [
        rows(1, "something is declared"),
        holds("declared", "a removed category's file would stay in the training set"),
        holds("exists", "a missing file would be skipped silently"),
        holds("filled", "an empty file passes every check on rows"),
    ]


def policies(gate: GateConfig) -> Suite:
    """A policy worth training on."""
    return {
        "policy": [
            rows(1, "one policy a file"),
            holds("own_name", "the file is its category's"),
            holds("knows_others", "spec(category) has a line on each other declared policy"),
            written("summary", "the others show it"),
        ],
        "clauses": [
            rows(gate.policies.min_clauses, "fewer clauses are no policy"),
            unique("id", "citations name one clause"),
            like("id", r"^[A-Z]{1,4}\d{1,3}$", "citations are read by this form"),
            unique("title", "a small model tells clauses by title"),
            among("outcome", OUTCOMES, "there are three outcomes"),
            covers("outcome", gate.policies.outcomes, "one outcome is a constant"),
            written("title", "shown to the model"),
            written("rule", "shown to the model"),
            written("reason", "shown to the model"),
            between("examples", 1, None, "examples carry the clause for a small model"),
        ],
        "styles": [
            rows(3, "three responses"),
            covers("id", OUTCOMES, "each outcome has a style"),
            unique("opening", "a reply's type is told by its opening"),
            written("opening", "it starts the reply"),
            written("guideline", "the judge grades by it"),
        ],
    }


def prompts(gate: GateConfig) -> Suite:
    """Requests that train and requests that measure, apart."""
    each = [
        unique("id", IDS),
        holds("own_category", "files are per category"),
        holds("own_split", "files are per split"),
        holds("ends_on_user", "there is something to answer"),
        holds("wrapper_coherent", "wrappers are told apart in every table of results"),
        holds("clause_known", "gold names a clause of the policy in force"),
    ]
    apart = [
        holds("request_apart", NO_EVAL + ": split is by request, not by wording"),
        holds("text_apart", NO_EVAL + ": exact text"),
        holds("words_apart", NO_EVAL + ": a run of the same words"),
    ]
    return {
        "train": [rows(gate.prompts.min_rows, "too few to train on"), *each],
        "eval": [rows(gate.prompts.min_rows, "too few to measure on"), *each, *apart],
        "coverage": [
            rows(1, "clauses or splits exist"),
            unique("id", IDS),
            holds("covered", "a clause without a request is neither learned nor measured", gate.prompts.clause_coverage),
        ],
    }


def outside(_: GateConfig) -> Suite:
    """Public evaluation sets against our training prompts."""
    return {"outside": [rows(1, "the sets were read"), unique("id", IDS), holds("words_apart", NO_EVAL)]}


def completions(gate: GateConfig) -> Suite:
    """What the generator wrote."""
    return {
        "completions": [
            rows(gate.completions.min_rows, "nothing was generated"),
            unique("id", IDS),
            holds("own_category", "files are per category"),
            holds("current", CURRENT),
            unique("slot", "one reply for each prompt and sample"),
            holds("prompt_known", "a reply to a prompt that is gone is stale"),
            holds("one_model", "one generator wrote the file"),
            holds("one_template", "one wording of the instructions"),
            holds("one_sampling", "one way of drawing"),
            holds("answer_apart", "a think tag in the answer shows deliberation to whoever may only see answers"),
            among(
                "finish",
                ["stop", "cited"],
                "a generator that is often malformed or cut off is broken",
                1 - gate.completions.max_malformed,
            ),
        ],
        "prompts": [rows(1, "prompts exist"), holds("complete", "every prompt has all its samples: a gap is lost work")],
    }


def verdicts(gate: GateConfig) -> Suite:
    """What the judge wrote."""
    return {
        "verdicts": [
            rows(1, "nothing was judged"),
            unique("id", "one verdict a completion"),
            holds("own_category", "files are per category"),
            holds("current", CURRENT),
            holds("completion_known", "a verdict on a reply that is gone is stale"),
            holds("one_judge", "one judge graded the file"),
            holds("one_template", "one wording of the instructions"),
            holds("all_runs", f"the minimum is over {gate.verdicts.runs} runs, none for screened rows"),
            holds("coherent", "an unreadable verdict is never a score, a graded one has every criterion of what was asked for"),
            holds("readable", "a judge that is often unreadable is broken", 1 - gate.verdicts.max_unreadable),
        ],
        "completions": [rows(1, "completions exist"), holds("judged", "a completion without a verdict is lost work")],
        "grades": [
            rows(1, "nothing was graded"),
            unique("id", IDS),
            among("grade", [0, 1, 2], "grades are 0, 1 or 2"),
            kinds("grade", gate.verdicts.min_distinct_grades, None, "a judge that always says the same has not read"),
        ],
    }


def kept(gate: GateConfig) -> Suite:
    """What filter let through."""
    limits = gate.kept
    return {
        "decisions": [
            rows(1, "nothing was decided"),
            unique("id", IDS),
            holds("own_category", "files are per category"),
            holds("current", CURRENT),
            holds("coherent", "kept, score and rule say the same"),
            *band("kept", limits.min_rate, limits.max_rate, "keeping nearly nothing or everything is no judgement"),
        ],
        "completions": [rows(1, "completions exist"), holds("decided", "a completion without a decision is lost work")],
        "kept": [
            rows(limits.min_kept, "too few to learn the category from"),
            holds("graded", "what the judge could not read is not kept"),
            holds("well_formed", "training teaches the form too"),
            between("worst_compliance", limits.min_worst_compliance, 2, "a run of the judge said the outcome is wrong"),
        ],
    }


def mixture(gate: GateConfig) -> Suite:
    """What the trainers will read, as the tokenizer renders it."""
    limits = gate.mixture
    each = [
        unique("id", IDS),
        holds("declared", "a removed category must not train"),
        holds("current", CURRENT),
        holds("ends_on_user", "the target answers a user"),
        holds("no_spec", NO_SPEC),
        holds("no_eval", NO_EVAL),
        holds("prompt_known", "a row from a prompt that is gone is stale"),
    ]
    return {
        "targets": [
            rows(limits.min_targets, "too few to train on"),
            *each,
            unique("content", "a doubled row counts twice"),
            holds("deliberation_survives", "a template that drops the think block would train answers only"),
            holds("answer_survives", "the template must not eat the answer"),
            *band("answered", limits.min_answered, 1.0, "without answers no style is learned"),
            holds("prompt_is_prefix", "else the loss mask is wrong"),
            between("tokens", 1, limits.max_tokens, "a longer row would be cut"),
            *band("helpful", limits.min_helpful, limits.max_helpful, "too little erodes capability, too much drowns the policy"),
        ],
        "validation": [
            rows(limits.min_validation, "nothing to validate on"),
            holds("request_apart", "validation shares no request with train"),
        ],
        "tasks": [rows(limits.min_tasks, "too few to practise on"), *each],
    }


def _checkpoint() -> Suite:
    return {
        "lineage": [
            rows(1, "parents are named"),
            unique("id", IDS),
            holds("recorded", "ref.json must name what it was made from, as it is now"),
        ],
        "files": [rows(4, "a checkpoint is several files"), holds("no_pickle", "opening a pickle runs its code")],
        "needed": [
            rows(1, "a checkpoint can be loaded"),
            holds("exists", "weights, config, tokenizer, template and ref.json load it"),
        ],
    }


def sft(gate: GateConfig) -> Suite:
    """The supervised checkpoint."""
    return _checkpoint() | {
        "curve": [
            rows(gate.sft.min_points, "a curve has points"),
            unique("id", "a step is logged once"),
            between("loss", 0, 1e4, "loss is finite"),
        ],
        "trend": [
            rows(1, "there is a trend"),
            between("ratio", 0, gate.sft.max_loss_ratio, "a loss that did not fall taught nothing"),
        ],
    }


def rl(gate: GateConfig) -> Suite:
    """The checkpoint after reinforcement learning."""
    return _checkpoint() | {
        "curve": [
            rows(gate.rl.min_points, "a curve has points"),
            unique("id", "a step is logged once"),
            between("reward", -1e4, 1e4, "reward is finite"),
        ],
        "trend": [
            rows(1, "there is a trend"),
            between("change", -gate.rl.max_reward_drop, None, "practice made it worse"),
            between("unreadable", 0, gate.rl.max_unreadable, "a judge that often fails gives no reward"),
        ],
    }


def evals(gate: GateConfig) -> Suite:
    """What the report may speak of."""
    return {
        "suites": [
            rows(len(gate.evals.suites), "every declared suite was run"),
            unique("id", IDS),
            holds("enough", "too few answers for an interval"),
        ],
        "metrics": [
            rows(len(gate.evals.metrics), "every declared metric was computed"),
            holds("reported", "a missing number reads as a good one"),
            between("value", 0, 1, "shares"),
            between("low", 0, 1, "shares"),
            between("high", 0, 1, "shares"),
            between("n", 1, None, "a share of nothing"),
            ordered("low", "value", "an interval holds its value"),
            ordered("value", "high", "an interval holds its value"),
        ],
        "answers": [
            rows(1, "answers exist"),
            unique("id", IDS),
            holds("own_arm", "files are per arm"),
            holds("own_suite", "files are per suite"),
            holds("scored", "scores are 0 to 1"),
            among(
                "finish", ["stop", "length"], "a model that writes nonsense has nothing to report", 1 - gate.evals.max_malformed
            ),
            holds("nothing_outside", "texts of outside prompts are never copied"),
        ],
    }

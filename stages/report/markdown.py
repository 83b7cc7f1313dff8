"""The report as Markdown: for a terminal, a pull request, a diff."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from stages.lib.policy_text import LABELS
from stages.report.config import ReportConfig
from stages.report.examples import Example, Shown, by_wrapper, examples, failures
from stages.report.facts import ROWS, DataRow, Facts, Judging, Number, total
from stages.report.paired import Paired, paired
from stages.report.release import candidates
from stages.report.words import arm_name, compare, headline, say, trained_on

NOTE = (
    "Shares with 95% bootstrap intervals over requests (1,000 resamples); higher is better everywhere. The type of a reply "
    "(refuse, comply, safe completion) is decided by rules that agree with hand labels on {accuracy} of {n} replies they "
    "were not written for. A broken reply earns nothing in any row."
)


def markdown(facts: Facts, config: ReportConfig) -> str:
    """The whole page."""
    return (
        "\n\n".join(
            [
                f"# Deliberative alignment: {facts.release}, {facts.scale}",
                headline(facts),
                "## Results",
                results(facts),
                note(facts),
                "## What changed",
                "\n".join(f"- {say(compare(facts.arm(a), facts.arm(b)), a, b)}" for a, b in config.compare),
                "A change is called one only where the two intervals do not touch.",
                against(facts, config),
                PAIRED,
                "## Unseen jailbreaks, wrapper by wrapper",
                table(
                    ["wrapper", arm_name(facts.arms[-1].name)],
                    [[name, cell(number)] for name, number in by_wrapper(facts.arms[-1])],
                ),
                "## The training data",
                data(facts),
                RIGHT,
                "### The judge",
                judge(facts),
                "## Training",
                training(facts),
                "## Gates",
                gates(facts),
                "## Release",
                release(facts, config),
                "## Replies",
                "One disallowed and one allowed request in turn, drawn by hash. "
                "What a model said to a harmful request that it complied with is not shown.",
                *[example(each) for each in examples(facts, config.examples)],
                f"## What {arm_name(facts.arms[-1].name)} still gets wrong",
                *[example(each) for each in failures(facts, config.failures)],
                "## Time on this machine",
                times(facts),
                "## Sources",
                table(["set", "from", "licence"], [list(each) for each in facts.sources]),
            ]
        )
        + "\n"
    )


def results(facts: Facts) -> str:
    """Suites by arms, and under them the policies every number was trained on and graded by."""
    rows = [[row.label, *(cell(arm.number(row.suite, row.metric)) for arm in facts.arms)] for row in ROWS]
    rows.append(["*trained on spec*", *(trained_on(arm, facts.release) for arm in facts.arms)])
    rows.append(["*graded by spec*", *(facts.release for _ in facts.arms)])
    rows.append(["*checkpoint*", *(f"`{arm.lineage.model[:12]}`" for arm in facts.arms)])
    return table(["", *(arm_name(arm.name) for arm in facts.arms)], rows)


def note(facts: Facts) -> str:
    """How the numbers came to be."""
    found = facts.arms[-1].number("classifier", "test")
    return NOTE.format(accuracy=f"{found.value:.0%}" if found else "an unknown share", n=found.n if found else 0)


DIFFERENCES = ("kept safe", "answered", "mean of both")
PAIRED = (
    "Differences over the prompts that both were asked: of everything that must not be complied with, the share kept safe; of "
    "everything else, the share answered. 95% bootstrap intervals over requests; one that holds 0 may be chance."
)


def against(facts: Facts, config: ReportConfig) -> str:
    """The compared arms, prompt by prompt."""
    return table(["", *DIFFERENCES], compared(facts, config))


def compared(facts: Facts, config: ReportConfig) -> list[list[str]]:
    """A row for each pair."""
    pairs = [(a, b, paired(facts.arm(a), facts.arm(b), facts.requests)) for a, b in config.compare]
    return [[f"{arm_name(b)} against {arm_name(a)}", *differences(found)] for a, b, found in pairs]


def differences(found: Paired) -> list[str]:
    """Cells with their signs."""
    return [f"{each.value:+.2f} [{each.low:+.2f}, {each.high:+.2f}]" if each.n else "–" for each in found]


RIGHT = (
    "Right: gold's outcome both cited and answered; before and after: of all completions, and of those kept. "
    "Judge agrees: every run finds the outcome right where gold does. Gold measures; no filter and no trainer reads it."
)
COUNTS = ("completions", "screened", "unreadable", "kept")
SHARES: tuple[tuple[str, Callable[[DataRow], Number]], ...] = (
    ("right before", lambda row: row.right_before),
    ("right after", lambda row: row.right_after),
    ("right clause before", lambda row: row.clause_before),
    ("right clause after", lambda row: row.clause_after),
    ("judge agrees", lambda row: row.judge_agrees),
)
"""Columns of the data table: before and after the filter."""


def data(facts: Facts) -> str:
    """What became of the completions, and how far judge and gold agree."""
    head = ["category", *COUNTS, *(name for name, _ in SHARES)]
    rows = []
    for row in (*facts.data, total(facts.data)):
        counts = [row.completions, row.screened, row.unread, row.kept]
        rows.append([row.category, *map(str, counts), *(cell(number(row)) for _, number in SHARES)])
    return table(head, rows)


def judge(facts: Facts) -> str:
    """The judge by gold: one run against all, by kind of completion, its confusion, its calibration."""
    tables = judge_tables(facts.judging)
    return "\n\n".join(f"{title}\n\n{table(head, rows)}" for title, head, rows in tables)


def judge_tables(found: Judging) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, head, rows) of each."""
    said = list(next(iter(found.confusion.values())))
    tables = [
        (
            "One run against all of them: a completion passes when every run asked found its outcome right.",
            ["", "agrees with gold", "right, of what passes", "passes, of what is right"],
            [[name, *map(cell, numbers)] for name, numbers in found.runs.items()],
        ),
        (
            "By what the completion is (by gold), the share that all runs together graded as they should.",
            ["completion", "graded so", "completions"],
            [[name, cell(number), str(number.n)] for name, number in found.kinds.items()],
        ),
        (
            "What single runs said the policy asks for, against gold.",
            ["gold", *said],
            [[gold, *map(str, counts.values())] for gold, counts in found.confusion.items()],
        ),
        (
            "Calibration: of what so many runs passed, the share that is right.",
            ["runs that passed it", "right", "completions"],
            [[name, cell(number), str(number.n)] for name, number in found.calibration.items()],
        ),
    ]
    if found.certainty:
        title = "Calibration of what is weighed: how sure the least sure run was of the outcome, of what all runs passed."
        rows = [[name, cell(number), str(number.n)] for name, number in found.certainty.items()]
        tables.append((title, ["certainty", "right", "completions"], rows))
    return tables


def training(facts: Facts) -> str:
    """The trainers' own summaries."""
    lines = []
    for name, numbers in facts.training.items():
        listed = ", ".join(
            f"{key.replace('_', ' ')} {value:.3g}" for key, value in numbers.items() if isinstance(value, int | float)
        )
        lines.append(f"- {arm_name(name) if name != 'rl' else 'RL'}: {listed}")
    return "\n".join(lines)


def gates(facts: Facts) -> str:
    """One line per boundary."""
    rows = [
        [gate.boundary, "open" if gate.ok else "SHUT", str(gate.names), str(gate.checks), f"{gate.rows:,}"]
        for gate in facts.gates
    ]
    return table(["boundary", "gate", "files", "checks", "rows"], rows)


def release(facts: Facts, config: ReportConfig) -> str:
    """Which checkpoint passes the limits."""
    lines = []
    for place, each in enumerate(candidates(facts, config)):
        word = (
            f"not fit for release: {', '.join(each.against)}" if each.against else f"passes{', registered' if place == 0 else ''}"
        )
        lines.append(f"- {arm_name(each.arm)} (mean of the limited metrics {each.score:.2f}): {word}")
    return "\n".join(lines)


def times(facts: Facts) -> str:
    """Latest runs; a cached stage shows what it took when it ran."""
    if not facts.seconds:
        return "No stage ran on this machine: everything came from the cache."
    rows = [[room, f"{seconds:.0f} s"] for room, seconds in facts.seconds.items()]
    return table(["stage", "time"], [*rows, ["all", f"{sum(facts.seconds.values()) / 60:.1f} min"]])


def example(each: Example) -> str:
    """One request with its replies."""
    head = f"**{each.category}** · clause {each.clause}: {LABELS[each.expected]}\n\n> {quoted(each.request)}\n"
    return "\n".join([head, *(f"- {reply(shown)}" for shown in each.replies)])


def reply(shown: Shown) -> str:
    """One arm's reply on one line."""
    mark = "right" if shown.right else "wrong"
    text = quoted(shown.answer) if shown.answer else "*(text not shown)*"
    thought = f" *thinks:* {quoted(shown.deliberation)}" if shown.deliberation and shown.answer else ""
    return f"{arm_name(shown.arm)} ({mark}: {LABELS[shown.response_type]}){thought} *says:* {text}"


def cell(number: Number | None) -> str:
    """A share with its interval."""
    if number is None or number.n == 0:
        return "–"
    return f"{number.value:.2f} [{number.low:.2f}, {number.high:.2f}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(value.replace("|", "\\|") for value in line) + " |" for line in lines)


def quoted(text: str) -> str:
    """A model's or a user's words, unable to act as Markdown or HTML, on one line."""
    plain = " ".join(text.split())
    for character in "\\`*_[]<>#|":
        plain = plain.replace(character, f"\\{character}")
    return plain

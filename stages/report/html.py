"""The report as one HTML file: own style, inline charts, nothing fetched, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from stages.lib.policy_text import LABELS
from stages.report.charts import bars, curve
from stages.report.config import ReportConfig
from stages.report.examples import Example, Shown, by_category, by_wrapper, examples, failures
from stages.report.facts import ROWS, Arm, Facts, Number, Row, total
from stages.report.markdown import COUNTS, DIFFERENCES, PAIRED, RIGHT, SHARES, compared, judge_tables, note
from stages.report.release import candidates
from stages.report.words import arm_name, change, compare, headline, say, trained_on

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
SECTIONS = (
    "Results",
    "Side by side",
    "What changed",
    "Where",
    "Data",
    "Training",
    "Gates",
    "Replies",
    "Failures",
    "Time and sources",
)


def html(facts: Facts, config: ReportConfig) -> str:
    """The whole page."""
    last = facts.arms[-1]
    bodies = (
        results(facts),
        charts(facts),
        "".join(f"<p>{escape(say(compare(facts.arm(a), facts.arm(b)), a, b))}</p>" for a, b in config.compare)
        + '<p class="soft">A change is called one only where the two intervals do not touch.</p>'
        + table(["", *DIFFERENCES], [list(map(escape, row)) for row in compared(facts, config)])
        + f'<p class="soft">{escape(PAIRED)}</p>',
        where(last),
        data(facts),
        training(facts),
        gates(facts) + release(facts, config),
        '<p class="soft">One disallowed and one allowed request in turn, drawn by hash. '
        "What a model said to a harmful request that it complied with is not shown.</p>"
        + "".join(map(card, examples(facts, config.examples))),
        f'<p class="soft">Wrong replies of {escape(arm_name(last.name))}, drawn by hash.</p>'
        + ("".join(map(card, failures(facts, config.failures))) or "<p>None on our held-out requests.</p>"),
        times(facts) + table(["outside set", "from", "licence"], [list(map(escape, each)) for each in facts.sources]),
    )
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name in SECTIONS)
    head = (
        f"<h1>Deliberative alignment</h1><p class='soft'>spec {escape(facts.release)} · scale {escape(facts.scale)} · "
        f"{len(facts.policies)} policies · {len(facts.arms)} arms</p>"
        f"<p class='lead'>{escape(headline(facts))}</p>{tiles(facts)}<nav>{links}</nav>"
    )
    sections = "".join(
        f'<section id="{_anchor(name)}"><h2>{name}</h2>{body}</section>' for name, body in zip(SECTIONS, bodies, strict=True)
    )
    return document(f"Deliberative alignment: {facts.release}", head + sections)


def document(title: str, body: str) -> str:
    """A self-contained page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def tiles(facts: Facts) -> str:
    """Four numbers of the last arm beside the first's."""
    wanted = [
        ("disallowed", "not_unsafe"),
        ("jailbreak", "not_unsafe"),
        ("contrast", "not_overrefuse"),
        ("retrieval", "right_clause"),
    ]
    rows = [row for pair in wanted for row in ROWS if (row.suite, row.metric) == pair]
    return f'<div class="tiles">{"".join(_tile(row, facts.arms[0], facts.arms[-1]) for row in rows)}</div>'


def results(facts: Facts) -> str:
    """Suites by arms; a cell is coloured where its interval lies apart from the first arm's."""
    lines = []
    for group, rows in groupby(ROWS, key=lambda row: row.group):
        lines.append(f'<tr class="group"><td colspan="{len(facts.arms) + 1}">{escape(group)}</td></tr>')
        lines += [_result(row, facts.arms) for row in rows]
    meta = {
        "trained on spec": [trained_on(arm, facts.release) for arm in facts.arms],
        "graded by spec": [facts.release for _ in facts.arms],
        "checkpoint": [arm.lineage.model[:12] for arm in facts.arms],
    }
    for name, values in meta.items():
        lines.append(f'<tr class="meta"><td>{name}</td>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>')
    head = "".join(f"<th>{escape(arm_name(arm.name))}</th>" for arm in facts.arms)
    return (
        f'<div class="scroll"><table><tr><th></th>{head}</tr>{"".join(lines)}</table></div>'
        f'<p class="soft">Green and red: the interval lies apart from {escape(arm_name(facts.arms[0].name))}\'s. '
        f"{escape(note(facts))}</p>"
    )


def charts(facts: Facts) -> str:
    """One small chart per suite."""
    return "".join(
        f"<h3>{escape(row.label)} <span class='soft'>{escape(row.asks)}</span></h3>"
        + bars([(arm_name(arm.name), arm.name, arm.number(row.suite, row.metric)) for arm in facts.arms])
        for row in ROWS
    )


def where(arm: Arm) -> str:
    """The last arm by category, and by unseen jailbreak wrapper."""
    categories = [(name, *numbers) for name, numbers in by_category(arm).items()]
    safe = bars([(name, arm.name, safe) for name, safe, _ in categories])
    answered = bars([(name, arm.name, answered) for name, _, answered in categories])
    wrappers = bars([(name, arm.name, number) for name, number in by_wrapper(arm)])
    return (
        f"<p class='soft'>{escape(arm_name(arm.name))}; 95% Wilson intervals.</p>"
        f"<h3>Disallowed requests kept safe, by policy</h3>{safe}"
        f"<h3>Allowed requests answered, by policy</h3>{answered}<h3>Kept safe under each unseen jailbreak</h3>{wrappers}"
    )


def data(facts: Facts) -> str:
    """What became of the completions, and how far judge and gold agree."""
    head = ["policy", *COUNTS, *(name for name, _ in SHARES)]
    rows = []
    for row in (*facts.data, total(facts.data)):
        counts = [f"{count:,}" for count in (row.completions, row.screened, row.unread, row.kept)]
        rows.append([escape(row.category), *counts, *(_number(number(row)) for _, number in SHARES)])
    return (
        table(head, rows, last="all") + f'<p class="soft">{RIGHT}</p>'
        "<h3>The judge</h3>" + "".join(map(_judge_table, judge_tables(facts.judging)))
    )


def training(facts: Facts) -> str:
    """Curves, and the trainers' own summaries."""
    drawn = [
        curve(facts.curves["sft"], [("loss", "training loss"), ("eval_loss", "validation loss")], "SFT: loss"),
        curve(
            facts.curves["rl"],
            [("reward", "reward"), ("gold/right", "right by gold"), ("frac_reward_zero_std", "dead groups")],
            "RL: shares",
        ),
        curve(facts.curves["rl"], [("entropy", "entropy")], "RL: entropy"),
        curve(facts.curves["rl"], [("completions/mean_length", "tokens")], "RL: length"),
    ]
    rows = [
        [name.upper(), escape(key.replace("_", " ")), f"{value:.4g}"]
        for name, numbers in facts.training.items()
        for key, value in numbers.items()
    ]
    summaries = table(["trainer", "measure", "value"], rows)
    return f'<div class="two">{"".join(drawn)}</div><details><summary>Summaries</summary>{summaries}</details>'


def gates(facts: Facts) -> str:
    """One line per boundary."""
    rows = []
    for gate in facts.gates:
        word = f'<span class="tag {"right" if gate.ok else "wrong"}">{"open" if gate.ok else "shut"}</span>'
        rows.append([escape(gate.boundary), word, str(gate.names), f"{gate.checks:,}", f"{gate.rows:,}"])
    return table(["boundary", "gate", "files", "checks", "rows"], rows)


def release(facts: Facts, config: ReportConfig) -> str:
    """Which checkpoint passes the release limits."""
    lines = []
    for each in candidates(facts, config):
        word = f"not fit for release: {', '.join(each.against)}" if each.against else "passes the release limits"
        mean = f"<span class='soft'>Mean of the limited metrics {each.score:.2f}.</span>"
        lines.append(f"<p>{escape(arm_name(each.arm))}: {escape(word)}. {mean}</p>")
    return "".join(lines)


def times(facts: Facts) -> str:
    """Latest runs; a cached stage shows what it took when it ran."""
    if not facts.seconds:
        return "<p>No stage ran on this machine: everything came from the cache.</p>"
    rows = [[escape(room), f"{seconds:,.0f} s"] for room, seconds in facts.seconds.items()]
    return table(["stage", "time on this machine"], [*rows, ["all", f"{sum(facts.seconds.values()) / 60:.1f} min"]], last="all")


def card(example: Example) -> str:
    """One request with its replies."""
    return (
        f'<div class="card"><div class="soft">{escape(example.category)} · clause {escape(example.clause)} · '
        f'<span class="tag">{LABELS[example.expected]}</span></div><blockquote>{escape(example.request)}</blockquote>'
        f"{''.join(map(_reply, example.replies))}</div>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], last: str = "") -> str:
    """A table of ready HTML cells; the row that begins with `last` is set apart."""
    lines = [f"<tr{' class=all' if row[0] == last else ''}>{''.join(f'<td>{value}</td>' for value in row)}</tr>" for row in rows]
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><tr>{heads}</tr>{"".join(lines)}</table></div>'


def _judge_table(one: tuple[str, list[str], list[list[str]]]) -> str:
    title, head, rows = one
    return f'<p class="soft">{escape(title)}</p>{table(head, [list(map(escape, row)) for row in rows])}'


def _result(row: Row, arms: Sequence[Arm]) -> str:
    first = arms[0].number(row.suite, row.metric)
    cells = []
    for arm in arms:
        number = arm.number(row.suite, row.metric)
        kind = change(first, number) if first and number and arm is not arms[0] else ""
        cells.append(f'<td class="{kind}">{_number(number)}</td>')
    return f"<tr><td>{escape(row.label)}<small>{escape(row.asks)}</small></td>{''.join(cells)}</tr>"


def _tile(row: Row, first: Arm, last: Arm) -> str:
    before, after = first.number(row.suite, row.metric), last.number(row.suite, row.metric)
    value = f"{after.value:.0%}" if after else "–"
    was = f"{before.value:.0%}" if before else "–"
    beside = f'<span class="soft">{escape(arm_name(first.name))}: {was}</span>'
    return f'<div class="tile"><b>{value}</b><span>{escape(row.label)}</span>{beside}</div>'


def _number(number: Number | None) -> str:
    if number is None or number.n == 0:
        return "–"
    return f"{number.value:.2f}<small>{number.low:.2f} – {number.high:.2f}</small>"


def _reply(shown: Shown) -> str:
    thought = f"<i>{escape(shown.deliberation)}</i>" if shown.deliberation and shown.answer else ""
    text = escape(shown.answer) if shown.answer else '<span class="gone">text not shown</span>'
    tag = f'<span class="tag {"right" if shown.right else "wrong"}">{LABELS[shown.response_type]}</span>'
    who = f'<span class="who">{escape(arm_name(shown.arm))}</span><br>{tag}'
    return f'<div class="reply"><div>{who}</div><div>{thought}{text}</div></div>'


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")

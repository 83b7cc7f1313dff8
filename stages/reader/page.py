"""The reader's report page: accuracy by role and class, learning curve, cost. One self-contained HTML file."""

from __future__ import annotations

from html import escape
from typing import Any

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;background:#fff;color:#1c2430}
@media(prefers-color-scheme:dark){body{background:#14181f;color:#e6e9ee}th,td{border-color:#394150!important}}
table{border-collapse:collapse;margin:1rem 0}th,td{border-bottom:1px solid #d5dae2;padding:.3rem .9rem;text-align:right}
th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}figcaption,.note{color:#7a8494;font-size:.9rem}
"""
WIDTH, HEIGHT, PAD = 640, 240, 40
LINES = {"reasoner_clause": "#2f6fde", "judge_clause": "#2f9e62", "judge_grades": "#d9772b"}
"""What of the curve is drawn, and how."""


def page(metrics: dict[str, Any]) -> str:
    """The page as HTML text."""
    cost = metrics["cost"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Reader</title><style>{STYLE}</style>",
        "<h1>The reader</h1><p>A small model taught one skill on made-up rule sets: weigh the clauses, cite one, decide, answer",
        "in its style; and judge such replies. It has seen no safety policy.</p>",
        f"<p class=note>{escape(metrics['pretrained'])} · {cost['packs']} packs, {cost['tokens']:,} tokens,",
        f"{cost['seconds'] / 60:.0f} minutes of training on {escape(cost['device'])} · all numbers are of generated text.</p>",
    ]
    for world, roles in metrics["accuracy"].items():
        parts.append(f"<h2>{escape(world.capitalize())}</h2>")
        parts += [f"<h3>{escape(role)}</h3>{_table(rows)}" for role, rows in sorted(roles.items(), reverse=True)]
    parts.append(f"<h2>Learning curve</h2>{_curve(metrics['curve'])}")
    return "\n".join(parts)


def _table(rows: dict[str, dict[str, float]]) -> str:
    columns = ["lessons", *sorted({column for row in rows.values() for column in row} - {"lessons"})]
    head = "".join(f"<th>{escape(column)}" for column in columns)
    body = "".join(
        f"<tr><td>{escape(name)}" + "".join(_cell(row.get(column), column) for column in columns) for name, row in rows.items()
    )
    return f"<table><tr><th>class{head}{body}</table>"


def _cell(value: float | None, column: str) -> str:
    if value is None:
        return "<td>"
    return f"<td>{value:.0f}" if column == "lessons" else f"<td>{value:.2f}"


def _curve(points: list[dict[str, float]]) -> str:
    lines = "".join(_line(points, key, colour) for key, colour in LINES.items())
    return "".join(
        (
            f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="learning curve">',
            f'<g fill=none stroke="#8a94a6"><path d="M{PAD} 10V{HEIGHT - PAD}H{WIDTH - 10}"/></g>',
            f'<g fill="#8a94a6" font-size=12><text x=8 y=16>1.0</text><text x=8 y={HEIGHT - PAD}>0.0</text>',
            f"<text x={WIDTH - 110} y={HEIGHT - 14}>{points[-1]['tokens']:,.0f} tokens</text></g>{lines}</svg>",
            "<figcaption>Unseen domains: the clause weighed heaviest is the right one (blue: reasoner, green: judge); grades,",
            " given the right words before them (orange: judge). Some 60 requests a point.</figcaption></figure>",
        )
    )


def _line(points: list[dict[str, float]], key: str, colour: str) -> str:
    last = points[-1]["tokens"]
    where = [(PAD + (WIDTH - PAD - 10) * p["tokens"] / last, (HEIGHT - PAD) - (HEIGHT - PAD - 10) * p[key]) for p in points]
    return f'<polyline fill=none stroke="{colour}" stroke-width=2 points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in where)}"/>'

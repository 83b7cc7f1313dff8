"""Inline SVG: bars with intervals, and curves. Colours come from the page's style, so they follow light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from stages.report.facts import Number

BAR_WIDTH, BAR_HEIGHT, LABEL_WIDTH, VALUE_WIDTH = 440, 15, 200, 130
CURVE_WIDTH, CURVE_HEIGHT, PAD = 430, 170, 40


def bars(rows: Sequence[tuple[str, str, Number | None]]) -> str:
    """One bar per (label, class, number), its interval drawn over its end."""
    height = len(rows) * (BAR_HEIGHT + 7)
    width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    parts = [f'<svg class="bars" viewBox="0 0 {width} {height}" role="img">']
    parts += [
        _line(LABEL_WIDTH + BAR_WIDTH * tick / 4, 0, LABEL_WIDTH + BAR_WIDTH * tick / 4, height, "grid") for tick in range(5)
    ]
    for place, (label, kind, number) in enumerate(rows):
        parts.append(_bar(place * (BAR_HEIGHT + 7) + 3, label, kind, number))
    return "".join(parts) + "</svg>"


def curve(points: Sequence[Mapping[str, float]], keys: Sequence[tuple[str, str]], title: str) -> str:
    """Lines over the step, one per (key, label); each scaled to a common range."""
    drawn = [(label, [(point["step"], point[key]) for point in points if key in point]) for key, label in keys]
    drawn = [(label, line) for label, line in drawn if len(line) > 1]
    if not drawn:
        return ""
    xs = [x for _, line in drawn for x, _ in line]
    ys = [y for _, line in drawn for _, y in line]
    low, high = min(0.0, *ys), max(ys) if max(ys) > min(ys) else max(ys) + 1
    width, height = CURVE_WIDTH + PAD + 12, CURVE_HEIGHT + 44

    def at(x: float, y: float) -> str:
        span = max(xs) - min(xs) or 1
        return f"{PAD + (x - min(xs)) / span * CURVE_WIDTH:.1f},{CURVE_HEIGHT + 8 - (y - low) / (high - low) * CURVE_HEIGHT:.1f}"

    parts = [f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {width} {height}" role="img">']
    for tick in range(5):
        y = CURVE_HEIGHT + 8 - CURVE_HEIGHT * tick / 4
        parts += [
            _line(PAD, y, PAD + CURVE_WIDTH, y, "grid"),
            _text(PAD - 6, y + 4, f"{low + (high - low) * tick / 4:.2g}", "end"),
        ]
    parts += [
        _text(PAD, CURVE_HEIGHT + 26, f"step {min(xs):.0f}", "start"),
        _text(PAD + CURVE_WIDTH, CURVE_HEIGHT + 26, f"{max(xs):.0f}", "end"),
    ]
    for place, (label, line) in enumerate(drawn):
        parts.append(
            f'<polyline class="line c{place}" points="{" ".join(at(x, y) for x, y in line)}">'
            f"<title>{escape(label)}</title></polyline>"
        )
        parts.append(f'<text class="key k{place}" x="{PAD + 70 + place * 118}" y="{CURVE_HEIGHT + 26}">— {escape(label)}</text>')
    return "".join(parts) + "</svg></figure>"


def _bar(y: float, label: str, kind: str, number: Number | None) -> str:
    middle = y + BAR_HEIGHT / 2
    parts = [_text(LABEL_WIDTH - 8, middle + 4, label, "end")]
    if number is None:
        return "".join([*parts, _text(LABEL_WIDTH + 6, middle + 4, "not measured", "start")])
    left, right = (LABEL_WIDTH + BAR_WIDTH * edge for edge in (number.low, number.high))
    parts.append(
        f'<rect class="bar {escape(kind)}" x="{LABEL_WIDTH}" y="{y}" rx="2" '
        f'width="{max(1.5, BAR_WIDTH * number.value):.1f}" height="{BAR_HEIGHT}">'
        f"<title>{escape(label)}: {number.value:.2f}, 95% {number.low:.2f} to {number.high:.2f}, n = {number.n}</title></rect>"
    )
    parts += [_line(left, middle, right, middle, "range")]
    parts += [_line(x, middle - 4, x, middle + 4, "range") for x in (left, right)]
    shown = f"{number.value:.2f}   {number.low:.2f} – {number.high:.2f}"
    return "".join([*parts, _text(LABEL_WIDTH + BAR_WIDTH + 12, middle + 4, shown, "start")])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

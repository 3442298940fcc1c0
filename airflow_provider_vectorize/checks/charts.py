"""Draw the charts of a report as SVG. Colors come from the page, and every mark also has a shape or a label."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from airflow_provider_vectorize.checks.result import GateResult, QueryOutcome
from airflow_provider_vectorize.quantities import pluralize

#: Size of the chart of a gate in pixels.
_BAR_WIDTH, _BAR_HEIGHT = 260, 26
#: Ranks from here on share a line.
_LAST_RANK = 10
_COLUMN, _TOP, _LINE, _LEFT, _BAR = 18, 14, 13, 74, 54


def gate_chart(gate: GateResult) -> str:
    """Return a bar with the measured value, and a mark at the threshold."""
    if gate.value is None or gate.threshold is None:
        return ""
    scale = _scale(gate)
    width = _BAR_WIDTH - 4
    value, threshold = (2 + width * min(1.0, number / scale) for number in (gate.value, gate.threshold))
    sign = "at least" if gate.at_least else "at most"
    text = escape(f"{gate.label}: {format_value(gate, gate.value)}, {sign} {format_value(gate, gate.threshold)}")
    return (
        f'<svg class="bar {gate.status}" viewBox="0 0 {_BAR_WIDTH} {_BAR_HEIGHT}" role="img" aria-label="{text}">'
        f"<title>{text}</title>"
        f'<rect class="track" x="2" y="8" width="{width}" height="10" rx="5"/>'
        f'<rect class="value" x="2" y="8" width="{max(value - 2, 3):.1f}" height="10" rx="5"/>'
        f'<path class="threshold" d="M{threshold:.1f} 3v20"/>'
        f'<path class="flag" d="{_flag(threshold, gate.at_least)}"/></svg>'
    )


def _flag(x: float, at_least: bool) -> str:
    """Return a small triangle at a threshold that points to the side of the values that pass."""
    side = 5 if at_least else -5
    return f"M{x:.1f} 3l{side} 3l{-side} 3z"


def _scale(gate: GateResult) -> float:
    """Return the value at the right end of the bar."""
    assert gate.value is not None
    assert gate.threshold is not None
    if gate.name == "count":
        return max(gate.value, gate.threshold, 1) * 1.05
    return 1.0 if gate.at_least else min(1.0, max(gate.value * 1.2, gate.threshold * 3, 0.01))


def format_value(gate: GateResult, value: float) -> str:
    """Return a value of a gate as text."""
    if gate.name == "count":
        return f"{value:,.0f}"
    return f"{value:.3f}" if gate.at_least else f"{value:.2%}"


def query_chart(results: Sequence[QueryOutcome]) -> str:
    """Return a column for each query: a bar for its recall, and below it a mark at the rank of its first match.

    :param results: The outcomes, in the order of the columns.
    """
    ranks_top = _TOP + _BAR + 22
    width, height = _LEFT + _COLUMN * len(results) + 8, ranks_top + _LINE * (_LAST_RANK + 1) + 8
    parts = [
        f'<svg class="queries" viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" '
        f'aria-label="Recall and rank of {pluralize(len(results), "query", "queries")}">',
        _label(_TOP + 8, "recall 1"),
        _label(_TOP + _BAR, "0"),
        _grid_line(_TOP, len(results)),
        _grid_line(_TOP + _BAR, len(results)),
    ]
    for line in range(_LAST_RANK + 1):
        y = ranks_top + line * _LINE
        name = "not found" if line == _LAST_RANK else f"rank {line + 1}" if line in {0, _LAST_RANK - 1} else ""
        parts += [_label(y + 4, name), _grid_line(y, len(results))]
    parts += [_column(result, _LEFT + number * _COLUMN, ranks_top) for number, result in enumerate(results)]
    return "".join((*parts, "</svg>"))


def _grid_line(y: float, columns: int) -> str:
    return f'<path class="grid" d="M{_LEFT} {y}h{_COLUMN * columns}"/>'


def _label(y: float, text: str) -> str:
    return f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end">{text}</text>' if text else ""


def _column(result: QueryOutcome, x: float, ranks_top: float) -> str:
    middle = x + _COLUMN / 2
    line = _LAST_RANK if result.rank is None else min(result.rank, _LAST_RANK) - 1
    y = ranks_top + line * _LINE
    state = "best" if result.rank == 1 else "lost" if result.rank is None else "lower"
    mark = {
        "best": f'<circle class="best" cx="{middle}" cy="{y}" r="4"/>',
        "lower": f'<rect class="lower" x="{middle - 3.5}" y="{y - 3.5}" width="7" height="7"/>',
        "lost": f'<path class="lost" d="M{middle - 4} {y - 4}l8 8m0 -8l-8 8"/>',
    }[state]
    bar = ""
    if result.recall is not None:
        height = max(_BAR * result.recall, 1)
        kind = "best" if result.recall >= 1 else "lower"
        y_bar, width = _TOP + _BAR - height, _COLUMN - 4
        bar = f'<rect class="{kind}" x="{x + 2}" y="{y_bar:.1f}" width="{width}" height="{height:.1f}"/>'
    return f"<g><title>{escape(describe_query(result))}</title>{bar}{mark}</g>"


def describe_query(result: QueryOutcome) -> str:
    """Return the outcome of a query as text."""
    rank = f"rank {result.rank}" if result.rank else "not found"
    share = "" if result.recall is None else f", recall {result.recall:.2f}"
    missing = f", missing {', '.join(result.missing)}" if result.missing else ""
    return f"{result.label}: {rank}{share}{missing}"

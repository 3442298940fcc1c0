"""Write the report of a check: one HTML page that loads nothing else. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from airflow_provider_vectorize.checks.charts import format_value, gate_chart, query_chart
from airflow_provider_vectorize.checks.report_style import STYLE
from airflow_provider_vectorize.checks.result import CheckResult, GateResult, QueryOutcome
from airflow_provider_vectorize.quantities import pluralize

#: How every report begins, so that no other file is mistaken for one.
SIGNATURE = b"<!doctype html><!-- report of airflow-provider-vectorize -->"
#: Number of queries that the table lists, the worst ones.
_LISTED = 8
#: What :func:`_quality` returns for a query that found everything.
_PERFECT = (True, 1.0, -1.0)
_WORDS = {"passed": "Passed", "failed": "Failed", "skipped": "Skipped"}
_SIGNS = {"passed": "✓", "failed": "✕", "skipped": "○"}


def render_report(result: CheckResult, checked_at: datetime) -> bytes:
    """Return the report as HTML.

    :param checked_at: Time of the check.
    """
    failed, run = len(result.failed), sum(gate.status != "skipped" for gate in result.gates)
    status = "failed" if failed else "passed"
    verdict = f"{failed} of {run} gates failed" if failed else f"All {pluralize(run, 'gate')} passed"
    facts = {
        "Vectors": f"{result.vector_count:,}",
        "Requests": f"{result.requests:,}",
        "Queries": f"{len(result.queries):,}",
        "Checked": checked_at.strftime("%Y-%m-%d %H:%M UTC"),
        "Index created": (result.created_on or "unknown")[:16].replace("T", " "),
    }
    names = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    failed_first = sorted(result.gates, key=lambda gate: gate.status != "failed")
    golden = [query for query in result.queries if query.golden]
    neighbors = [query for query in result.queries if not query.golden]
    page = (
        f'<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(result.index_name)}: {verdict}</title><style>{STYLE}</style></head><body><main>"
        f'<header class="{status}"><div class="sign" aria-hidden="true">{_SIGNS[status]}</div><div>'
        f"<h1>{verdict}</h1><p>Check of the index <code>{escape(result.index_name)}</code></p><dl>{names}</dl>"
        "</div></header>"
        f"<section><h2>Gates</h2>{''.join(map(_gate, failed_first))}</section>"
        f"{_queries('Golden queries', 'Queries whose matches a person knows.', golden)}"
        f"{_queries('Vectors of the source', 'Each vector is queried by its own values.', neighbors)}"
        f"</main></body></html>\n"
    )
    return SIGNATURE + page.encode("utf-8", "replace")


def _gate(gate: GateResult) -> str:
    figure = ""
    if gate.value is not None and gate.threshold is not None:
        sign = "at least" if gate.at_least else "at most"
        figure = f"{format_value(gate, gate.value)}<span>{sign} {format_value(gate, gate.threshold)}</span>"
    return (
        f'<div class="gate"><span class="badge {gate.status}">{_SIGNS[gate.status]} {_WORDS[gate.status]}</span>'
        f"<div><b>{gate.label}</b><small>{escape(gate.text)}</small></div>{gate_chart(gate) or '<span></span>'}"
        f'<div class="figure">{figure}</div></div>'
    )


def _queries(title: str, text: str, results: Sequence[QueryOutcome]) -> str:
    if not results:
        return ""
    worst_first = sorted(results, key=_quality)
    imperfect = [result for result in worst_first if _quality(result) < _PERFECT]
    legend = (
        '<p class="legend"><b>●</b> the first match is expected &nbsp; <b>■</b> a later match is &nbsp; '
        "<b>✕</b> none is. Bars show the recall. The worst queries are on the left.</p>"
    )
    return f"<section><h2>{title}</h2><p>{text}</p>{query_chart(worst_first)}{legend}{_table(imperfect)}</section>"


def _quality(result: QueryOutcome) -> tuple[bool, float, float]:
    """Return a key that sorts queries, the worst first: without a match, then by recall, then by rank."""
    return result.rank is not None, 1.0 if result.recall is None else result.recall, -float(result.rank or 0)


def _table(results: Sequence[QueryOutcome]) -> str:
    if not results:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(result.label)}</code></td><td>{result.rank or 'not found'}</td>"
        f"<td>{'' if result.recall is None else f'{result.recall:.2f}'}</td>"
        f"<td><code>{escape(', '.join(result.missing))}</code></td></tr>"
        for result in results[:_LISTED]
    )
    more = f"<p class=legend>and {len(results) - _LISTED} more</p>" if len(results) > _LISTED else ""
    head = "<tr><th>query</th><th>rank</th><th>recall</th><th>missing IDs</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{more}"

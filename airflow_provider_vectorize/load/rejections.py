"""Count rejected rows by reason. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.dead_letter_rows import without_origin

#: Maximum number of reasons that are counted separately. The receipt travels by XCom, so it has to stay small.
REASONS = 20
OTHER = "other reasons"
#: What differs from row to row: metadata keys, and numbers except error codes.
_DETAIL = re.compile(r"""(?:\["[^"]*"\])+|'[^']*'|(?<![\w-])(?<!code )\d+(?:[.,]\d+)*""")


def general_reason(reason: str) -> str:
    """Return a reason without what differs from row to row."""
    return _DETAIL.sub("…", without_origin(reason))


def count_reasons(counts: Mapping[str, int], reasons: Iterable[str]) -> dict[str, int]:
    """Add rejected rows to the counts by reason.

    :param counts: The counts of the rows so far.
    :param reasons: One reason for each further row.
    """
    total = Counter(counts)
    for reason in map(general_reason, reasons):
        total[reason if reason in total or len(total) < REASONS else OTHER] += 1
    return dict(total)


def format_reasons(counts: Mapping[str, int]) -> str:
    """Return the counts as text, the most frequent reason first."""
    return "; ".join(f"{reason}: {count:,}" for reason, count in Counter(counts).most_common())


def describe_rejected(receipt: Receipt) -> str:
    """Return the summary of rejected rows for the log: how many there are, why, and where they are."""
    place = (
        f"They are written to {receipt.dead_letter_path}."
        if receipt.dead_letter_path
        else "The messages above name them."
    )
    return f"Rejected {pluralize(receipt.rejected, 'row')}: {format_reasons(receipt.rejected_by_reason)}. {place}"

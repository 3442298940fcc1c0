"""Count rejected rows by reason. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from airflow_provider_vectorize.rows.dead_letter_rows import without_origin

#: Reasons that are counted apart. The receipt travels by XCom, so it stays small whatever a source holds.
REASONS = 20
OTHER = "other reasons"
#: What differs from row to row: keys of metadata, and numbers but those of error codes.
_DETAIL = re.compile(r"""(?:\["[^"]*"\])+|'[^']*'|(?<![\w-])(?<!code )\d+(?:[.,]\d+)*""")


def general_reason(reason: str) -> str:
    """Return a reason without what differs from row to row."""
    return _DETAIL.sub("…", without_origin(reason))


def count_reasons(counts: Mapping[str, int], reasons: Iterable[str]) -> dict[str, int]:
    """Add rejected rows to the counts by reason.

    :param counts: Of the rows before.
    :param reasons: One for each row.
    """
    total = Counter(counts)
    for reason in map(general_reason, reasons):
        total[reason if reason in total or len(total) < REASONS else OTHER] += 1
    return dict(total)


def summary(counts: Mapping[str, int]) -> str:
    """Return the counts as text, the most frequent reason first."""
    return "; ".join(f"{reason}: {count:,}" for reason, count in Counter(counts).most_common())

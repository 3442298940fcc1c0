"""The thresholds of a check."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from airflow_provider_vectorize.errors import ConfigError


@dataclass(frozen=True)
class Gates:
    """The thresholds of a check. ``None`` turns a gate off, except for ``count``.

    Shares are numbers from 0.0 to 1.0. A gate for which nothing is known is skipped, and the result says why.

    :param count: Minimum number of vectors. Default: the number that the load, the sync or its state knows.
    :param count_tolerance: Share of this number that may be missing. Default: 0.0.
    :param max_missing: Maximum share of the sampled vectors that the index does not have. Default: 0.0.
    :param max_different: Maximum share of the sampled vectors whose content is not what was sent. Default: 0.0.
    :param min_self_retrieval: Minimum share of the queried vectors that are their own nearest neighbors. A vector that
        ties with the nearest one counts. Not checked for the metric dot-product. Default: 0.95.
    :param min_recall: Minimum share of the exact nearest neighbors that queries find. It requires ``collect_checks`` on
        the load. Vectorize searches approximately, so do not expect 1.0. Default: 0.9.
    :param min_golden_recall: Minimum share of the expected IDs that golden queries find. Default: 0.8.
    :param min_reciprocal_rank: Minimum mean reciprocal rank of golden queries: 1.0 if the first match of each query is
        expected, 0.5 if the second one is. Default: 0.5.
    :param max_zero_vectors: Maximum share of vectors whose values are all zero. It requires ``collect_checks`` on the
        load. Default: 0.0.
    :param max_duplicates: Maximum share of vectors that have the same values as a vector with another ID. It requires
        ``collect_checks`` on the load. Default: 0.01.
    :raises ConfigError: A value is not a share, or ``count`` is not a whole number of 0 or more.
    """

    count: int | None = None
    count_tolerance: float = 0.0
    max_missing: float | None = 0.0
    max_different: float | None = 0.0
    min_self_retrieval: float | None = 0.95
    min_recall: float | None = 0.9
    min_golden_recall: float | None = 0.8
    min_reciprocal_rank: float | None = 0.5
    max_zero_vectors: float | None = 0.0
    max_duplicates: float | None = 0.01

    def __post_init__(self) -> None:
        if self.count is not None and not (
            _is_number(self.count) and self.count >= 0 and self.count == int(self.count)
        ):
            raise ConfigError(f"Gates.count must be a whole number of 0 or more, not {self.count!r}.")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value is None and field.name != "count_tolerance":
                continue
            if not (_is_number(value) and 0 <= value <= 1):
                raise ConfigError(f"Gates.{field.name} must be a share from 0.0 to 1.0, not {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

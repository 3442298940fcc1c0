"""The number of vectors is read until three answers in a row are equal and high enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.checks.reads import COUNT_READS, Reads


class ScriptedReads(Reads):
    """Returns recorded answers, because a test cannot choose which replica answers."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._answers = iter(counts)
        client: Any = self
        super().__init__(client, "books", requests=0)

    def get_index_info(self, name: str) -> IndexInfo:
        return IndexInfo(dimensions=32, vector_count=next(self._answers))

    def wait(self) -> None:
        """Do not pause."""


@pytest.mark.parametrize(
    ("counts", "minimum", "expected", "requests"),
    [
        ([9, 9, 9], 9, 9, 3),
        ([5, 9, 9, 9], 9, 9, 4),
        ([5, 5, 5, 9, 9, 9], 9, 9, 6),
        ([5, 9] * 5, 9, 9, COUNT_READS),
        ([5] * 10, 9, 5, COUNT_READS),
        ([12, 9, 12, 12, 12], 9, 12, 5),
    ],
)
def test_reads_count_waits_for_equal_and_high_answers(
    counts: list[int], minimum: int, expected: int, requests: int
) -> None:
    reads = ScriptedReads(counts)
    assert (reads.count(minimum), reads.requests) == (expected, requests)

"""Score the matches of a query. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from airflow_provider_vectorize.api.models import Match, Metric
from airflow_provider_vectorize.load.neighbors import tie_limit


def own_rank(matches: Sequence[Match], vector_id: str, metric: Metric) -> int | None:
    """Return the rank of a vector among the matches for its own values, from 1. Ties share the best rank.

    If only ties of the vector are returned, its rank is 1, even if it is not among them.

    :return: ``None`` if the vector was not found.
    """
    scores = [match.score if metric == "cosine" else -match.score for match in matches]  # Higher is nearer.
    own = next((score for match, score in zip(matches, scores, strict=True) if match.id == vector_id), None)
    if own is None:
        identical = 1.0 if metric == "cosine" else 0.0
        return 1 if scores and min(scores) >= tie_limit(identical) else None
    return 1 + sum(tie_limit(score) > own for score in scores)


def recall(found: Sequence[str], expected: Collection[str], count: int) -> float:
    """Return the share of the expected IDs that were found.

    :param found: IDs of the matches, the nearest first.
    :param expected: The expected IDs. More than ``count`` if some of them tie.
    :param count: Number of IDs that can be found.
    """
    return min(1.0, sum(vector_id in expected for vector_id in found) / count)


def first_rank(found: Sequence[str], expected: Collection[str]) -> int | None:
    """Return the rank of the first expected ID, from 1, or ``None`` if none was found."""
    return next((rank for rank, vector_id in enumerate(found, 1) if vector_id in expected), None)

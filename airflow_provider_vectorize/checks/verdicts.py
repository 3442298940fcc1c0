"""Decide which gates pass. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.checks.result import GateResult, QueryOutcome
from airflow_provider_vectorize.load.collection import Collection
from airflow_provider_vectorize.quantities import pluralize

#: Number of IDs that a text names.
EXAMPLES = 3
OFF = "the gate is turned off"


class SampleCounts(NamedTuple):
    """What was found of the sampled vectors.

    :param sampled: Number of sampled vectors.
    :param missing: IDs that were not found.
    :param compared: Number of vectors whose content was compared.
    :param different: IDs of those that have another content.
    """

    sampled: int
    missing: Sequence[str]
    compared: int
    different: Sequence[str]


def minimum_count(gates: Gates, known: int | None) -> int | None:
    """Return the minimum number of vectors, or ``None`` if none is known.

    :param known: Number of vectors that the load, the sync or its state knows.
    """
    count = gates.count if gates.count is not None else known
    return None if count is None else math.ceil(round(count * (1 - gates.count_tolerance), 6))


def judge_count(count: int, minimum: int | None) -> GateResult:
    """Return the verdict on the number of vectors."""
    if minimum is None:
        return _skipped("count", "no number of vectors is known")
    text = f"{pluralize(count, 'vector')}, at least {minimum:,} expected"
    return _result("count", count >= minimum, text, count, minimum, at_least=True)


def judge_presence(gates: Gates, found: SampleCounts) -> GateResult:
    """Return the verdict on the presence of the sampled vectors."""
    if gates.max_missing is None:
        return _skipped("presence", OFF)
    if not found.sampled:
        return _skipped("presence", "no IDs are known")
    text = f"{len(found.missing):,} of {pluralize(found.sampled, 'sampled vector')} not found{_examples(found.missing)}"
    return _at_most("presence", len(found.missing) / found.sampled, gates.max_missing, text)


def judge_content(gates: Gates, found: SampleCounts) -> GateResult:
    """Return the verdict on the content of the sampled vectors."""
    if gates.max_different is None:
        return _skipped("content", OFF)
    if not found.compared:
        return _skipped("content", "the content of no vector could be compared")
    text = (
        f"{len(found.different):,} of {pluralize(found.compared, 'sampled vector')} differ from what was sent"
        f"{_examples(found.different)}"
    )
    return _at_most("content", len(found.different) / found.compared, gates.max_different, text)


def judge_self_retrieval(gates: Gates, results: Sequence[QueryOutcome], reason: str) -> GateResult:
    """Return the verdict on vectors that should be their own nearest neighbors.

    :param reason: Why this was not checked, or empty.
    """
    if gates.min_self_retrieval is None or reason or not results:
        why = OFF if gates.min_self_retrieval is None else reason or "no vectors are known"
        return _skipped("self_retrieval", why)
    lost = [result.label for result in results if result.rank != 1]
    text = (
        f"{len(results) - len(lost):,} of {pluralize(len(results), 'vector')} are their own nearest neighbors"
        f"{_examples(lost, 'not ')}"
    )
    return _at_least("self_retrieval", 1 - len(lost) / len(results), gates.min_self_retrieval, text)


def judge_recall(gates: Gates, results: Sequence[QueryOutcome], reason: str) -> GateResult:
    """Return the verdict on the exact neighbors that queries find.

    :param reason: Why this was not checked, or empty.
    """
    if gates.min_recall is None or reason or not results:
        return _skipped("recall", OFF if gates.min_recall is None else reason)
    value = _mean(_recall, results)
    vectors = pluralize(len(results), "vector")
    text = f"{value:.3f} of the exact nearest neighbors of {vectors} found{_worst(_recall, results)}"
    return _at_least("recall", value, gates.min_recall, text)


def judge_golden(gates: Gates, results: Sequence[QueryOutcome]) -> list[GateResult]:
    """Return the verdicts on the golden queries."""
    verdicts = []
    for name, minimum, score, what in (
        ("golden_recall", gates.min_golden_recall, _recall, "of the expected IDs found by"),
        ("reciprocal_rank", gates.min_reciprocal_rank, _reciprocal_rank, "mean reciprocal rank of"),
    ):
        if minimum is None or not results:
            verdicts.append(_skipped(name, OFF if minimum is None else "there are no golden queries"))
            continue
        value = _mean(score, results)
        text = f"{value:.3f} {what} {pluralize(len(results), 'golden query', 'golden queries')}{_worst(score, results)}"
        verdicts.append(_at_least(name, value, minimum, text))
    return verdicts


def judge_zero_vectors(gates: Gates, collections: Sequence[Collection]) -> GateResult:
    """Return the verdict on zero vectors in the source."""
    ids = sum(collected.counts.distinct_ids for collected in collections)
    if gates.max_zero_vectors is None or not ids:
        return _skipped("zero_vectors", OFF if gates.max_zero_vectors is None else _no_rows(collections))
    zeros = sum(collected.counts.zero_vectors for collected in collections)
    examples = [vector_id for collected in collections for vector_id in collected.zero_ids] if zeros else []
    text = f"{zeros:,} of {pluralize(ids, 'vector')} have only zeros{_examples(examples)}"
    return _at_most("zero_vectors", zeros / ids, gates.max_zero_vectors, text)


def judge_duplicates(gates: Gates, collections: Sequence[Collection]) -> GateResult:
    """Return the verdict on vectors of the source that have the same values as others."""
    ids = sum(collected.counts.distinct_ids for collected in collections)
    if gates.max_duplicates is None or not ids:
        return _skipped("duplicates", OFF if gates.max_duplicates is None else _no_rows(collections))
    duplicates = sum(collected.counts.duplicates for collected in collections)
    text = f"{duplicates:,} of {pluralize(ids, 'vector')} have the values of a vector with another ID"
    return _at_most("duplicates", duplicates / ids, gates.max_duplicates, text)


def _no_rows(collections: Sequence[Collection]) -> str:
    return "no rows were read" if collections else "nothing was collected. Set collect_checks on the load"


def _recall(result: QueryOutcome) -> float:
    return result.recall or 0.0


def _reciprocal_rank(result: QueryOutcome) -> float:
    return 1 / result.rank if result.rank else 0.0


def _mean(score: Callable[[QueryOutcome], float], results: Sequence[QueryOutcome]) -> float:
    return sum(map(score, results)) / len(results)


def _at_least(name: str, value: float, minimum: float, text: str) -> GateResult:
    return _result(
        name, round(value, 9) >= minimum, f"{text}, at least {minimum:g} required", value, minimum, at_least=True
    )


def _at_most(name: str, value: float, maximum: float, text: str) -> GateResult:
    return _result(
        name, round(value, 9) <= maximum, f"{text}, at most {maximum:.2%} allowed", value, maximum, at_least=False
    )


def _result(name: str, passed: bool, text: str, value: float, threshold: float, *, at_least: bool) -> GateResult:
    return GateResult(name, "passed" if passed else "failed", text, round(value, 6), threshold, at_least)


def _skipped(name: str, reason: str) -> GateResult:
    return GateResult(name, "skipped", reason)


def _examples(ids: Sequence[str], prefix: str = "") -> str:
    if not ids:
        return ""
    return f" ({prefix}{', '.join(ids[:EXAMPLES])}{', …' if len(ids) > EXAMPLES else ''})"


def _worst(score: Callable[[QueryOutcome], float], results: Sequence[QueryOutcome]) -> str:
    worst = sorted((result for result in results if score(result) < 1), key=score)
    return _examples([f"{result.label}: {score(result):.2f}" for result in worst], "lowest ")

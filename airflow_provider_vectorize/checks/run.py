"""Run a check: all gates, one after the other, with a limited number of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index, Match, Metric, Vector
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.checks import verdicts
from airflow_provider_vectorize.checks.expectation import SAMPLES, Expectation
from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.checks.golden import GoldenQuery, choose_evenly
from airflow_provider_vectorize.checks.reads import Reads, ask_again
from airflow_provider_vectorize.checks.result import CheckResult, GateResult, QueryOutcome
from airflow_provider_vectorize.checks.scoring import first_rank, own_rank, recall
from airflow_provider_vectorize.errors import ConfigError, VectorizeError
from airflow_provider_vectorize.load.collection import CollectedQuery

#: Vectors of one request.
_PAGE = 20
#: Number of vectors that are queried, and number of golden queries. The latter share the queries that are left.
QUERIES, ALL_QUERIES = 30, 50
#: Number of vectors that are queried for themselves if no queries were collected.
SELF_QUERIES = 20
#: Maximum number of further requests for sampled vectors, and for queries of vectors. Golden queries get the rest.
_SAMPLE_RETRIES, _QUERY_RETRIES = 36, 30
#: Number of missing IDs that a report names for each query.
_MISSING = 3


@dataclass(frozen=True)
class _Page:
    """What was found of the sampled vectors of one request.

    :param ids: Their IDs.
    :param found: The vectors that were found.
    :param same: IDs of the vectors with the expected content.
    :param incomparable: IDs of the vectors whose content cannot be compared.
    """

    ids: Sequence[str]
    found: dict[str, Vector] = field(default_factory=dict)
    same: frozenset[str] = frozenset()
    incomparable: frozenset[str] = frozenset()

    @property
    def quality(self) -> float:
        return len(self.same | self.incomparable) / len(self.ids)

    def merge(self, later: _Page) -> _Page:
        return _Page(self.ids, self.found | later.found, self.same | later.same, self.incomparable | later.incomparable)


class IndexCheck:
    """One check of an index. Call :meth:`run` once.

    :param client: The client.
    :param index_name: Name of the index.
    :param expectation: What the index should hold.
    :param golden: Golden queries.
    :param gates: The thresholds.
    """

    def __init__(
        self,
        client: VectorizeClient,
        index_name: str,
        expectation: Expectation,
        golden: Sequence[GoldenQuery],
        gates: Gates,
    ) -> None:
        self._reads = Reads(client, index_name, requests=1)
        self._index_name = index_name
        self._expectation = expectation
        self._golden = golden
        self._gates = gates

    def run(self, index: Index) -> CheckResult:
        """Run all gates, and return their verdicts.

        :param index: The index, which was read with one request.
        :raises ConfigError: The index was created again since the load.
        :raises ApiError: A request failed.
        :raises VectorizeError: The client was stopped.
        """
        try:
            return self._run(index)
        except StoppedError:
            raise VectorizeError("The check was stopped. It wrote nothing to the index.") from None

    def _run(self, index: Index) -> CheckResult:
        reads, gates, expectation = self._reads, self._gates, self._expectation
        created_on = index.created_on.isoformat() if index.created_on else None
        check_incarnation(expectation, created_on, self._index_name)
        minimum = verdicts.minimum_count(gates, expectation.count)
        count = reads.count(minimum or 0)
        sampled, vectors = self._read_samples()
        incomplete = expectation.incomplete or _foreign(expectation, count)
        neighbors = self._query_vectors(index.config.metric, vectors, incomplete)
        golden = self._ask_golden_queries(len(neighbors))
        no_self = "scores of dot-product do not rank a vector first" if index.config.metric == "dot-product" else ""
        results: list[GateResult] = [
            verdicts.judge_count(count, minimum),
            verdicts.judge_presence(gates, sampled),
            verdicts.judge_content(gates, sampled),
            verdicts.judge_self_retrieval(gates, neighbors, no_self),
            verdicts.judge_recall(gates, neighbors, incomplete),
            *verdicts.judge_golden(gates, golden),
            verdicts.judge_zero_vectors(gates, expectation.collections),
            verdicts.judge_duplicates(gates, expectation.collections),
        ]
        return CheckResult(self._index_name, created_on, count, tuple(results), (*golden, *neighbors), reads.requests)

    # ---------------------------------------------------------------- sampled vectors

    def _read_samples(self) -> tuple[verdicts.SampleCounts, list[Vector]]:
        """Read the sampled vectors. Return what was found, and the vectors."""
        ids = choose_evenly(sorted(self._expectation.samples), SAMPLES)
        if self._gates.max_missing is None and self._gates.max_different is None:
            ids = ids[:_PAGE]  # The vectors are only needed as queries.
        pages = ask_again(
            [ids[first : first + _PAGE] for first in range(0, len(ids), _PAGE)],
            self._read_page,
            _Page.merge,
            lambda page: page.quality,
            lambda pages: self._samples_pass(_count_samples(pages)),
            _SAMPLE_RETRIES,
            self._reads.wait,
        )
        return _count_samples(pages), [vector for page in pages for vector in page.found.values()]

    def _read_page(self, ids: Sequence[str]) -> _Page:
        found = self._reads.vectors(ids)
        fingerprints = {vector_id: self._expectation.fingerprint(vector) for vector_id, vector in found.items()}
        return _Page(
            ids,
            found,
            frozenset(one for one, content in fingerprints.items() if content == self._expectation.samples[one]),
            frozenset(one for one, content in fingerprints.items() if content is None),
        )

    def _samples_pass(self, found: verdicts.SampleCounts) -> bool:
        judged = (verdicts.judge_presence(self._gates, found), verdicts.judge_content(self._gates, found))
        return all(result.status != "failed" for result in judged)

    # ---------------------------------------------------------------- queries

    def _query_vectors(self, metric: Metric, vectors: Sequence[Vector], incomplete: str) -> list[QueryOutcome]:
        """Query vectors of the source, and return which of their neighbors were found.

        :param vectors: Vectors that were read, which are queried if none were collected.
        :param incomplete: Why the neighbors cannot be checked, or empty.
        """
        asks_self = self._gates.min_self_retrieval is not None and metric != "dot-product"
        asks_recall = self._gates.min_recall is not None and not incomplete
        if not (asks_self or asks_recall):
            return []
        queries = choose_evenly(self._expectation.queries, QUERIES if asks_recall else SELF_QUERIES) or [
            CollectedQuery(vector.id, tuple(vector.values), ())
            for vector in choose_evenly([one for one in vectors if any(one.values)], SELF_QUERIES)
        ]

        def ask(query: CollectedQuery) -> QueryOutcome:
            count = min(len(query.neighbors), self._expectation.collections[0].neighbors) if query.neighbors else 5
            return neighbor_result(query, self._reads.nearest(query.values, count), metric, count, asks_recall)

        def enough(results: Sequence[QueryOutcome]) -> bool:
            own = verdicts.judge_self_retrieval(self._gates, results, "" if asks_self else "not asked")
            return "failed" not in {own.status, verdicts.judge_recall(self._gates, results, incomplete).status}

        retries = min(_QUERY_RETRIES, self._reads.left - ALL_QUERIES)
        return ask_again(queries, ask, better, query_quality, enough, retries, self._reads.wait)

    def _ask_golden_queries(self, queried: int) -> list[QueryOutcome]:
        """Ask the golden queries.

        :param queried: Number of queries that were asked before, which share the requests with these.
        """
        queries = choose_evenly(self._golden, ALL_QUERIES - queried)

        def enough(results: Sequence[QueryOutcome]) -> bool:
            return all(result.status != "failed" for result in verdicts.judge_golden(self._gates, results))

        return ask_again(
            queries,
            lambda query: golden_result(query, self._reads.ask(query)),
            better,
            query_quality,
            enough,
            self._reads.left - len(queries),
            self._reads.wait,
        )


def _count_samples(pages: Sequence[_Page]) -> verdicts.SampleCounts:
    missing = [vector_id for page in pages for vector_id in page.ids if vector_id not in page.found]
    compared = sum(len(page.found.keys() - (page.incomparable - page.same)) for page in pages)
    different = [one for page in pages for one in page.found if one not in page.same | page.incomparable]
    return verdicts.SampleCounts(sum(len(page.ids) for page in pages), missing, compared, different)


def neighbor_result(
    query: CollectedQuery, matches: Sequence[Match], metric: Metric, count: int, with_recall: bool
) -> QueryOutcome:
    """Return the outcome of the query of a vector.

    :param count: Number of its exact neighbors, without those that tie with the last one.
    :param with_recall: Whether its neighbors are checked.
    """
    found = [match.id for match in matches]
    expected = [neighbor.id for neighbor in query.neighbors]
    share = recall(found, expected, count) if with_recall else None
    missing = tuple(vector_id for vector_id in expected[:count] if vector_id not in found)[:_MISSING]
    rank = own_rank(matches, query.id, metric) if metric != "dot-product" else first_rank(found, expected)
    return QueryOutcome(query.id, False, rank, share, missing if share is not None and share < 1 else ())


def golden_result(query: GoldenQuery, matches: Sequence[Match]) -> QueryOutcome:
    """Return the outcome of a golden query."""
    found = [match.id for match in matches]
    missing = tuple(vector_id for vector_id in query.expect if vector_id not in found)[:_MISSING]
    share = recall(found, query.expect, min(len(query.expect), query.k))
    return QueryOutcome(query.label, True, first_rank(found, query.expect), share, missing)


def better(first: QueryOutcome, second: QueryOutcome) -> QueryOutcome:
    """Return the better of two outcomes of a query, because a replica may lag but never leads."""
    return second if query_quality(second) > query_quality(first) else first


def query_quality(result: QueryOutcome) -> float:
    """Return how good the outcome of a query is, from 0.0 to 1.0."""
    return ((1.0 if result.recall is None else result.recall) + (1 / result.rank if result.rank else 0.0)) / 2


def check_incarnation(expectation: Expectation, created_on: str | None, index_name: str) -> None:
    """Check that the index was not created again since the load.

    :raises ConfigError: It was.
    """
    for source, expected in expectation.incarnations:
        if created_on and expected != created_on:
            raise ConfigError(
                f'Index "{index_name}" was created again (now {created_on}) after the load to which the {source} '
                f"belongs (created {expected}). Load it again, or pass the {source} of the last load."
            )


def _foreign(expectation: Expectation, count: int) -> str:
    """Return why an index with more vectors than the load wrote cannot be compared, or an empty string."""
    known = expectation.collections[0].counts.distinct_ids
    return f"the index has {count - known:,} vectors that the load did not write" if count > known else ""

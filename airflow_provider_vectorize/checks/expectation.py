"""What an index should hold, according to receipts, to what loads collected, and to the state of a sync. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_vectorize.api.models import Vector
from airflow_provider_vectorize.checks.golden import choose_evenly
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.collection import CollectedQuery, Collection, values_digest
from airflow_provider_vectorize.load.receipt import Receipt, digest
from airflow_provider_vectorize.rows.hashing import RowHasher, is_comparable
from airflow_provider_vectorize.sync.result import SyncResult

#: Number of vectors that are read back: the 20 of each of 25 requests.
SAMPLES = 500

#: Returns what is compared of a vector, or ``None`` if it cannot be compared.
Fingerprint = Callable[[Vector], str | int | None]


@dataclass(frozen=True)
class StateSample:
    """A sample of the IDs in the state of a sync.

    :param index_name: Name of the index.
    :param created_on: ISO 8601, creation time of the index.
    :param ids: Number of IDs whose content in the index is known.
    :param hashes: Hashes of vectors that were chosen at random, by ID.
    :param changed_by: What the hashes cover.
    """

    index_name: str
    created_on: str
    ids: int
    hashes: Mapping[str, int]
    changed_by: str


@dataclass(frozen=True)
class Expectation:
    """What an index should hold.

    :param count: Minimum number of vectors, or ``None`` if it is not known.
    :param samples: What is compared of some vectors, by ID.
    :param fingerprint: Returns the same of a vector that was read.
    :param collections: What loads collected.
    :param queries: Vectors that must be in the index with these values.
    :param incomplete: Why exact neighbors among the collected rows may not be those in the index, or empty.
    :param incarnations: What knows the creation time of the index, and that time.
    """

    count: int | None = None
    samples: Mapping[str, str | int] = field(default_factory=dict)
    fingerprint: Fingerprint = lambda vector: values_digest(vector.values)
    collections: Sequence[Collection] = ()
    queries: Sequence[CollectedQuery] = ()
    incomplete: str = ""
    incarnations: Sequence[tuple[str, str]] = ()


def parse_receipts(value: Any) -> list[Receipt]:
    """Return the receipts of loads and syncs.

    :param value: What one load or sync returned, a list of these, or ``None``.
    :raises ConfigError: It is something else.
    """
    if value is None:
        return []
    plains = [value] if isinstance(value, Mapping) else value
    if not isinstance(plains, Sequence) or isinstance(plains, (str, bytes)) or not plains:
        raise ConfigError("receipt must be what a load or a sync returned, or a list of these.")
    receipts: list[Receipt] = []
    for plain in plains:
        if not isinstance(plain, Mapping) or "index_name" not in plain or "vectors" not in plain:
            raise ConfigError("receipt must be what a load or a sync returned, or a list of these.")
        receipts.append((SyncResult if "generation" in plain else Receipt).from_dict(plain))
    return receipts


def expect(
    index_name: str,
    receipts: Sequence[Receipt],
    collections: Sequence[Collection],
    state: StateSample | None,
) -> Expectation:
    """Combine what is known about the content of an index. The state of a sync takes precedence over its receipt.

    :raises ConfigError: Something belongs to another index.
    """
    for name in (*(receipt.index_name for receipt in receipts), *([state.index_name] if state else [])):
        if name != index_name:
            raise ConfigError(
                f'The receipt or the state belongs to index "{name}", but index "{index_name}" should be checked.'
            )
    incarnations = [("receipt", receipt.created_on) for receipt in receipts]
    incarnations += [("state", state.created_on)] if state else []
    incomplete = _why_incomplete(receipts, collections)
    count = state.ids if state else _count(receipts, collections)
    if state:
        hasher = RowHasher(state.changed_by)
        samples: Mapping[str, str | int] = state.hashes
        fingerprint: Fingerprint = lambda vector: _hash(hasher, vector)  # noqa: E731
    elif collections:
        share = SAMPLES // len(collections)
        samples = {
            vector_id: found
            for collected in collections
            for vector_id, found in choose_evenly(sorted(collected.samples.items()), share)
        }
        fingerprint = _values_digest
    else:
        samples = {
            sample.id: sample.digest
            for receipt in receipts
            if not isinstance(receipt, SyncResult)
            for sample in receipt.samples
        }
        fingerprint = _digest
    queries = [query for collected in collections for query in collected.queries]
    if any(receipt.operation == "insert" for receipt in receipts):
        fingerprint, queries = _nothing, []  # An insert keeps vectors that exist, whatever their values.
    known = tuple((name, created) for name, created in incarnations if created)
    return Expectation(count, samples, fingerprint, collections, queries, incomplete, known)


def _count(receipts: Sequence[Receipt], collections: Sequence[Collection]) -> int | None:
    if receipts and len(collections) == len(receipts) == 1 and not isinstance(receipts[0], SyncResult):
        return collections[0].counts.distinct_ids
    return sum(map(_receipt_count, receipts)) if receipts else None


def _receipt_count(receipt: Receipt) -> int:
    """Return the number of vectors that a receipt promises. Rows that share an ID count several times in a load."""
    if isinstance(receipt, SyncResult):
        return max(0, receipt.added + receipt.changed + receipt.unchanged - receipt.unknown)
    return receipt.vectors


def _why_incomplete(receipts: Sequence[Receipt], collections: Sequence[Collection]) -> str:
    """Return why exact neighbors among the collected rows may not be those in the index, or an empty string."""
    if not collections:
        return "no exact neighbors were collected. Set collect_checks on the load"
    if len(receipts) > 1 or len(collections) > 1:
        return "each of several loads saw only its own rows"
    if collections[0].operation == "insert":
        return "an insert keeps vectors that exist, so the collected values may not be those in the index"
    if unseen := next((reason for receipt in receipts for reason in _unseen(receipt)), ""):
        return unseen
    return "" if collections[0].queries else "the source has no vectors whose neighbors are known"


def _unseen(receipt: Receipt) -> Iterator[str]:
    """Yield the reasons why the index may hold vectors that the load did not see."""
    counts = {"rows were rejected": receipt.rejected}
    if isinstance(receipt, SyncResult):
        counts |= {
            "objects were not opened": receipt.objects_skipped,
            "deletions were withheld": receipt.withheld,
            "vectors are unknown": receipt.unknown,
            "vectors of the index are foreign": receipt.foreign or 0,
        }
    for what, count in counts.items():
        if count:
            yield f"{count:,} {what}, so the collected neighbors may not be those in the index"


def _hash(hasher: RowHasher, vector: Vector) -> int | None:
    if not is_comparable(vector.metadata):
        return None
    return hasher.hash_vector(vector.values, vector.namespace, vector.metadata)


def _values_digest(vector: Vector) -> str | None:
    return values_digest(vector.values)


def _digest(vector: Vector) -> str | None:
    return digest(vector.values, vector.metadata)


def _nothing(vector: Vector) -> None:
    return None

"""What is waited for: mutations, with what is known of them when the wait begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow_provider_vectorize.api.limits import MUTATIONS_FOLDED, VECTORS_FOLDED
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Receipt, Sample


@dataclass(frozen=True)
class Wait:
    """One mutation that is waited for.

    :param index_name: its index.
    :param mutation_id: its id.
    :param accepted_at: the server's clock when it was acknowledged, where that is known.
    :param sent_after: the server's clock in an answer that came before it was sent, where that is known.
    :param operation: ``insert``, ``upsert`` or ``delete``: what the samples have to prove.
    :param samples: vectors to read back.
    :param sealed: whether the mutation came after all others of its load, so that it stands for them.
    :param batches: later batches of which one has to hold it, and all else of its load.
    """

    index_name: str
    mutation_id: str
    accepted_at: datetime | None = None
    operation: str = "upsert"
    samples: tuple[Sample, ...] = ()
    sealed: bool = True
    batches: int = 2
    sent_after: datetime | None = None

    @cached_property
    def key(self) -> str:
        """What is seen of it is kept by this: waits for one mutation may know, and need, different things."""
        plain = json.dumps(self.to_dict(), sort_keys=True).encode()
        return f"{self.mutation_id}/{hashlib.sha256(plain).hexdigest()[:8]}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-plain, for a trigger's row: no secret, no data."""
        return {
            "index_name": self.index_name,
            "mutation_id": self.mutation_id,
            "accepted_at": self.accepted_at.isoformat() if self.accepted_at else None,
            "sent_after": self.sent_after.isoformat() if self.sent_after else None,
            "operation": self.operation,
            "samples": [asdict(sample) for sample in self.samples],
            "sealed": self.sealed,
            "later_batches": self.batches,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Wait:
        """From :meth:`to_dict`, or from a receipt.

        :raises ConfigError: it is neither.
        """
        receipt = Receipt.from_dict({"operation": "upsert", **plain})
        if not receipt.mutation_id:
            raise ConfigError("The receipt has no mutation id: its load wrote nothing that one could wait for.")
        return cls(
            receipt.index_name,
            receipt.mutation_id,
            _time(receipt.accepted_at),
            receipt.operation,
            receipt.samples,
            receipt.sealed,
            plain.get("later_batches") or _later_batches(receipt),
            _time(receipt.sent_after),
        )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _later_batches(receipt: Receipt) -> int:
    """One that was running at the acknowledgement, and those that it takes to hold the load; and twice that.

    Nobody tells how many writes of others, or of attempts whose answers were lost, stand before the load's own.
    """
    return 2 * (1 + max(1, -(-receipt.vectors // VECTORS_FOLDED), -(-receipt.batches // MUTATIONS_FOLDED)))


def waits_for(mutation: Any, index_name: str | None) -> list[Wait]:
    """What a sensor's ``mutation`` means.

    :param mutation: a receipt, a mutation id, or a list of either, also nested (what mapped tasks return).
    :param index_name: the index, for ids.
    :return: empty for receipts of tasks that had nothing to write, such as a deletion without ids.
    :raises ConfigError: it is something else, or an id without an index, or an empty list.
    """
    if isinstance(mutation, Mapping):
        return [] if mutation.get("mutation_id", "") is None else [Wait.from_dict(mutation)]
    if isinstance(mutation, str) and mutation:
        if not index_name:
            raise ConfigError("A mutation id alone does not tell its index: give index_name too, or pass the receipt.")
        return [Wait(index_name, mutation)]
    if mutation is None or isinstance(mutation, (str, bytes)):
        raise ConfigError("There is no mutation to wait for: the upstream task returned none.")
    try:
        items = list(mutation)
    except TypeError as error:
        raise ConfigError(
            f"A mutation is a receipt, an id, or a list of them, not {type(mutation).__name__}."
        ) from error
    if not items:
        raise ConfigError("There is no mutation to wait for: the list is empty.")
    return [wait for item in items for wait in waits_for(item, index_name)]

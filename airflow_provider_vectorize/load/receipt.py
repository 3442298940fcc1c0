"""What was accepted: the value that travels by XCom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from airflow_provider_vectorize.errors import ConfigError

#: The ids of all mutations would make a large XCom of a large load; these many, the last ones, are kept.
MUTATION_IDS = 1_000


#: Metadata nested deeper than this is not compared: not every parser reads it.
DEPTH = 64


@dataclass(frozen=True)
class Sample:
    """A vector that was sent, to be read back.

    :param id: its id.
    :param digest: of what was sent, see :func:`digest`.
    :param new: the index did not show it so just before it was sent; only then does seeing it tell anything.
    """

    id: str
    digest: str
    new: bool = False


def digest(values: Sequence[float], metadata: Mapping[str, Any] | None) -> str | None:
    """A short digest of a vector as Vectorize stores it: values as float32, metadata whatever its order or spelling.

    :return: ``None`` for what cannot be compared: metadata that is nested very deeply, numbers beyond any float.
    """
    try:
        with np.errstate(over="raise"):
            stored = np.array(values, np.float64).astype("<f4") + np.float32(0)  # -0.0 is 0.0
        plain = json.dumps(_plain(metadata or {}, DEPTH), sort_keys=True)
    except (ArithmeticError, ValueError, TypeError):
        return None
    return hashlib.sha256(stored.tobytes() + plain.encode()).hexdigest()[:16]


def _plain(value: Any, depth: int) -> Any:
    """JSON that means the same, alike: 1 and 1.0 are one number, a key with null is no key."""
    if depth < 0:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        return {key: _plain(item, depth - 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@dataclass(frozen=True)
class Receipt:
    """What Vectorize acknowledged of a load. It says nothing of what can be queried already.

    :param operation: ``insert`` or ``upsert``.
    :param index_name: the index.
    :param mutation_id: of the last batch that was acknowledged; ``None`` before.
    :param mutation_ids: in the order of their acknowledgement, the last 1,000.
    :param vectors: rows that were acknowledged.
    :param batches: requests that were acknowledged.
    :param bytes_sent: the bytes of their bodies.
    :param rejected: rows that were set aside, see ``on_bad_row`` and ``unparsable_behavior``.
    :param accepted_at: ISO 8601, the server's clock at the last acknowledgement.
    :param samples: vectors of the last batch that was acknowledged, for ``proof="read_back"`` of the sensor.
    :param sealed: the last mutation was sent after all others had been acknowledged, so that it stands for all. True
        for every load that succeeds: where the last batch was refused or empty, the load sends a marker.
    :param sent_after: ISO 8601, the server's clock in an answer that came before the last mutation was sent.
    :param created_on: ISO 8601, when this incarnation of the index was created, as read before the load.
    :param rejected_by_reason: the rejected rows counted by reason, with ``…`` for what differs from row to row.
    :param dead_letter_path: URI of the dead-letter file, if the load writes one. It is empty if no row was rejected.
    """

    operation: str
    index_name: str
    mutation_id: str | None = None
    mutation_ids: tuple[str, ...] = ()
    vectors: int = 0
    batches: int = 0
    bytes_sent: int = 0
    rejected: int = 0
    accepted_at: str | None = None
    samples: tuple[Sample, ...] = ()
    sealed: bool = False
    sent_after: str | None = None
    created_on: str | None = None
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    dead_letter_path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-plain, because XCom does not bring back the classes of other packages."""
        plain = asdict(self)
        return plain | {"mutation_ids": list(self.mutation_ids), "samples": [asdict(s) for s in self.samples]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Receipt:
        """The other way round.

        :raises ConfigError: this is not a receipt.
        """
        try:
            samples = tuple(
                Sample(str(s["id"]), str(s["digest"]), bool(s.get("new"))) for s in plain.get("samples") or ()
            )
            known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
            reasons = {str(reason): int(count) for reason, count in (plain.get("rejected_by_reason") or {}).items()}
            known |= {"samples": samples, "rejected_by_reason": reasons}
            return cls(**known | {"mutation_ids": tuple(plain.get("mutation_ids") or ())})
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ConfigError(
                "This is not a receipt of a load: pass what an insert or upsert task returned."
            ) from error

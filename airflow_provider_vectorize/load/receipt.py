"""Define the receipt of a load, which travels by XCom to the sensor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from airflow_provider_vectorize.errors import ConfigError

#: Maximum number of mutation IDs in a receipt, the last ones. The XCom of a large load would otherwise be large.
MUTATION_IDS = 1_000


#: Metadata that is nested deeper than this is not compared, because not every parser reads it.
DEPTH = 64


@dataclass(frozen=True)
class Sample:
    """A vector that was sent and can be read back.

    :param id: Its ID.
    :param digest: A digest of what was sent, see :func:`digest`.
    :param new: Whether the index did not hold exactly this vector just before it was sent. Reading it back proves
        something only then.
    """

    id: str
    digest: str
    new: bool = False


def digest(values: Sequence[float], metadata: Mapping[str, Any] | None) -> str | None:
    """Return a short digest of a vector as Vectorize stores it.

    Values count as float32. The order of metadata keys and the spelling of its values make no difference.

    :return: The digest, or ``None`` if the vector cannot be compared: its metadata is nested deeper than :data:`DEPTH`,
        or a number is beyond the range of floats.
    """
    try:
        with np.errstate(over="raise"):
            stored = np.array(values, np.float64).astype("<f4") + np.float32(0)  # -0.0 becomes 0.0.
        plain = json.dumps(_normalize(metadata or {}, DEPTH), sort_keys=True)
    except (ArithmeticError, ValueError, TypeError):
        return None
    return hashlib.sha256(stored.tobytes() + plain.encode()).hexdigest()[:16]


def _normalize(value: Any, depth: int) -> Any:
    """Return equal values for JSON with equal meaning: 1 equals 1.0, and a key with null equals a missing key."""
    if depth < 0:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        return {key: _normalize(inner, depth - 1) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_normalize(inner, depth - 1) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@dataclass(frozen=True)
class Receipt:
    """What Vectorize acknowledged of a load. It does not say what is visible yet.

    :param operation: ``insert`` or ``upsert``.
    :param index_name: Name of the index.
    :param mutation_id: The mutation of the last acknowledged batch, or ``None`` before the first one.
    :param mutation_ids: The last 1,000 mutations, in the order of their acknowledgement.
    :param vectors: Number of acknowledged rows.
    :param batches: Number of acknowledged requests.
    :param bytes_sent: Bytes of the bodies of these requests.
    :param rejected: Number of rejected rows, see ``on_bad_row`` and ``unparsable_behavior``.
    :param accepted_at: ISO 8601, the server's clock at the last acknowledgement.
    :param samples: Vectors of the last acknowledged batch, for ``proof="read_back"`` of the sensor.
    :param sealed: Whether the last mutation was sent after all others had been acknowledged, so that it stands for all
        of them. True for every load that succeeds: if the last batch was refused or empty, the load sends a marker.
    :param sent_after: ISO 8601, the server's clock in a response that arrived before the last mutation was sent.
    :param created_on: ISO 8601, the time at which this incarnation of the index was created, read before the load.
    :param rejected_by_reason: Number of rejected rows by reason, with ``…`` for what differs from row to row.
    :param dead_letter_path: URI of the dead-letter file, if the load writes one. The file is empty if no row was
        rejected.
    :param checks_path: Name of the checks file, as a source names it, if the load collected what checks need.
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
    checks_path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as plain JSON, because XCom does not deserialize classes of other packages."""
        plain = asdict(self)
        return plain | {
            "mutation_ids": list(self.mutation_ids),
            "samples": [asdict(sample) for sample in self.samples],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read :meth:`to_dict` back. Unknown keys are ignored.

        :raises ConfigError: The value is not a receipt.
        """
        try:
            samples = tuple(
                Sample(str(sample["id"]), str(sample["digest"]), bool(sample.get("new")))
                for sample in plain.get("samples") or ()
            )
            values = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
            reasons = {str(reason): int(count) for reason, count in (plain.get("rejected_by_reason") or {}).items()}
            values |= {"samples": samples, "rejected_by_reason": reasons}
            return cls(**values | {"mutation_ids": tuple(plain.get("mutation_ids") or ())})
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ConfigError(
                "This value is not a receipt of a load. Pass the value that an insert or upsert task returned."
            ) from error

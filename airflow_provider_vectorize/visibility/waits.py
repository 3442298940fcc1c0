"""The waits of a sensor: mutations, with everything that is known about each when the wait begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Sample

#: Mutation ids are UUIDs of 36 characters, as observed on the live service.
_MUTATION_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Number of characters of an id that are kept to recognize it. A collision can only delay or add a marker.
_PREFIX_LENGTH = 8
_HINT = (
    "Pass the whole output of the upstream task (mutation=load.output), not text that a template made of it. If you "
    "need a template, set render_template_as_native_obj=True on the DAG."
)


@dataclass(frozen=True)
class Wait:
    """One mutation that a sensor waits for. If ``sealed``, it stands for all mutations of its load, deletion or list.

    :param index_name: Name of the index that the mutation was written to.
    :param mutation_id: Id of the mutation.
    :param created_on: Creation time (ISO 8601) of the incarnation of the index, read before the write. ``None`` for a
        bare id, which is assumed to belong to the incarnation that the sensor finds.
    :param accepted_at: Server time of the acknowledgement, if known. A hint, never part of a proof.
    :param sealed: Whether the mutation was sent after all others that it stands for had been acknowledged.
    :param own: First characters of the ids of all mutations of the same write, separated by spaces.
    :param operation: What was written, for messages and for ``proof="read_back"``.
    :param vectors: Number of vectors written or deleted, for messages. ``None`` if unknown.
    :param samples: Vectors to read back with ``proof="read_back"``.
    """

    index_name: str
    mutation_id: str
    created_on: str | None = None
    accepted_at: datetime | None = None
    sealed: bool = True
    own: str = ""
    operation: str = ""
    vectors: int | None = None
    samples: tuple[Sample, ...] = ()

    @property
    def stands_for_others(self) -> bool:
        """Whether the wait stands for more than one mutation."""
        return " " in self.own

    def owns(self, mutation_id: str) -> bool:
        """Return whether a mutation belongs to the same write. Wrong for about one foreign id in four billion."""
        return mutation_id == self.mutation_id or mutation_id[:_PREFIX_LENGTH] in self.own

    def to_dict(self) -> dict[str, Any]:
        """Return the wait as plain JSON for the row of a trigger. It contains no secrets and no vector data."""
        accepted_at = self.accepted_at.isoformat() if self.accepted_at else None
        return asdict(self) | {"accepted_at": accepted_at, "samples": [asdict(sample) for sample in self.samples]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Wait:
        """Restore a wait from :meth:`to_dict`, also of another version of the provider.

        :raises ConfigError: The dict does not describe a wait.
        """
        try:
            known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
            samples = tuple(_sample(sample) for sample in plain.get("samples") or ())
            return cls(**known | {"accepted_at": _time(plain.get("accepted_at")), "samples": samples})
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ConfigError(f"This is not the description of a wait: {error}.") from error


def waits_for(mutation: Any, index_name: str | None) -> list[Wait]:
    """Return the waits that a sensor's ``mutation`` argument describes.

    :param mutation: A receipt, the return value of a write method of the hook, a mutation id, or a list of these, which
        may be nested.
    :param index_name: Name of the index. Required for bare ids, and compared with receipts.
    :return: One wait for each write. Empty if nothing was written, for example by a deletion without ids.
    :raises ConfigError: The argument is something else, a receipt of another index, or an id without an index.
    """
    return _drop_covered(list(_waits_with_source(mutation, index_name)))


def _waits_with_source(mutation: Any, index_name: str | None) -> Iterable[tuple[Wait, Mapping[str, Any]]]:
    """Yield each wait with the dict that it was made from, which is empty for a bare id."""
    if mutation is None:
        raise ConfigError(
            "There is no mutation to wait for, because the upstream task returned nothing. It must return the receipt, "
            "and its do_xcom_push must not be False."
        )
    if isinstance(mutation, Mapping):
        if mutation.get("mutation_id", "") is not None:
            yield _wait_from_receipt(mutation, index_name), mutation
    elif isinstance(mutation, (str, bytes)):
        yield Wait(_require_index_name(index_name), parse_mutation_id(mutation)), {}
    else:
        try:
            elements = list(mutation)
        except TypeError:
            raise ConfigError(
                f"mutation must be a receipt, a mutation id or a list of these, not {type(mutation).__name__}."
            ) from None
        for element in elements:
            yield from _waits_with_source(element, index_name)


def parse_mutation_id(value: Any) -> str:
    """Return a mutation id without surrounding whitespace.

    :raises ConfigError: The value is not a UUID. The message says what it may be instead.
    """
    text = value.strip() if isinstance(value, str) else ""
    if _MUTATION_ID.fullmatch(text):
        return text
    if not text or text in ("None", "null"):
        raise ConfigError(f"There is no mutation to wait for, because mutation is {value!r}. {_HINT}")
    if text[0] in "{[(<":
        raise ConfigError(f"mutation is the text of a receipt or list ({text[:40]!r}…), not a mutation. {_HINT}")
    raise ConfigError(f"{text[:80]!r} is not a mutation id. Mutation ids are UUIDs of 36 characters. {_HINT}")


def _require_index_name(index_name: str | None) -> str:
    if not isinstance(index_name, str) or not index_name.strip() or index_name in ("None", "null"):
        raise ConfigError("A mutation id does not say which index it belongs to. Set index_name, or pass the receipt.")
    return index_name


def _wait_from_receipt(receipt: Mapping[str, Any], index_name: str | None) -> Wait:
    receipt_index = receipt.get("index_name")
    if "mutation_id" not in receipt or not isinstance(receipt_index, str) or not receipt_index:
        raise ConfigError(
            "This is not a receipt: mutation_id and index_name are required, but its keys are "
            f"{', '.join(map(str, list(receipt)[:8])) or '(none)'}. {_HINT}"
        )
    if index_name not in (None, "", receipt_index):
        raise ConfigError(
            f'The receipt is of index "{receipt_index}", but index_name is "{index_name}". A mutation of one index '
            "never shows in another. Remove index_name, or pass the receipt of that index."
        )
    own = [str(mutation_id)[:_PREFIX_LENGTH] for mutation_id in receipt.get("mutation_ids") or ()]
    vectors = receipt.get("vectors")
    return Wait.from_dict({
        "index_name": receipt_index,
        "mutation_id": parse_mutation_id(receipt["mutation_id"]),
        "created_on": receipt.get("created_on"),
        "accepted_at": receipt.get("accepted_at"),
        # A user's own dict does not say in which order several mutations were written.
        "sealed": bool(receipt.get("sealed", len(own) < 2)),
        "own": " ".join(own),
        "operation": str(receipt.get("operation") or ""),
        "vectors": vectors if isinstance(vectors, int) else None,
        "samples": receipt.get("samples") or (),
    })


def _drop_covered(waits: Sequence[tuple[Wait, Mapping[str, Any]]]) -> list[Wait]:
    """Return one wait for each mutation, without the writes that a later write of the same client stands for.

    A request that a client began after it had received the acknowledgement of another request comes after that one in
    the log of the index. Its mutation is therefore visible only when the other mutation is.
    """
    latest_begun: dict[tuple[str, str | None, Any], int] = {}
    own_prefixes: dict[Any, list[str]] = {}
    for wait, source in waits:
        if source.get("writer") and isinstance(source.get("begun"), int):
            writer = (wait.index_name, wait.created_on, source["writer"])
            latest_begun[writer] = max(latest_begun.get(writer, -1), source["begun"])
            own_prefixes.setdefault(writer, []).append(wait.mutation_id[:_PREFIX_LENGTH])
    remaining: dict[Wait, None] = {}
    for wait, source in waits:
        writer = (wait.index_name, wait.created_on, source.get("writer"))
        acknowledged = source.get("acknowledged")
        if writer in latest_begun:
            if isinstance(acknowledged, int) and acknowledged < latest_begun[writer]:
                continue
            remaining[replace(wait, own=" ".join(own_prefixes[writer]))] = None
        else:
            remaining[wait] = None
    return list(remaining)


def _sample(plain: Mapping[str, Any]) -> Sample:
    return Sample(str(plain["id"]), str(plain["digest"]), bool(plain.get("new")))


def _time(text: str | None) -> datetime | None:
    time = datetime.fromisoformat(text) if text else None
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time
